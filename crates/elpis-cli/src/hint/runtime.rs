//! Hints on the runtime and its generations.

use super::{ANOTHER_TEMPLATE, Hint, model, say, settings, steering, store};
use elpis::engine::EngineFailure;
use elpis::error::{EngineError, Error, MetricsFault};
use elpis::inference::{ConstraintError, RequestError};

pub(super) fn error(error: &Error) -> Hint {
    match error {
        Error::Settings(error) => settings::settings(error),
        Error::Engine(error) => engine(error),
        Error::Backend(error) => model::backend(error),
        Error::Steering(error) => steering::steering(error),
        Error::Hub(error) => model::hub(error),
        Error::Store(error) => store::store(error),
        Error::Hardware { asked, .. } => Some(format!(
            "set model.hardware_backend = \"auto\", or build with `cargo install elpis-cli --features {asked}`; \
             `elpis doctor` shows the devices"
        )),
        Error::TooManyEvents { .. } => say("send fewer, or raise emotion.events_per_minute"),
        Error::Metrics { fault, .. } => metrics(*fault),
        Error::TooManySessions { .. } => say(
            "set store.path, so that unused sessions leave memory, or raise runtime.max_sessions",
        ),
        // What led to it may know.
        Error::Failed { source, .. }
        | Error::Stopped {
            source: Some(source),
            ..
        } => {
            let hints = super::hints(&**source);
            hints.into_iter().next().or_else(stopped)
        }
        Error::Stopped { source: None, .. } => stopped(),
        Error::Uncertain { .. } => say("look at the state, and send it again if it is missing"),
        // They name what is allowed.
        _ => None,
    }
}

fn metrics(fault: MetricsFault) -> Hint {
    match fault {
        MetricsFault::InUse => say(
            "another program listens there, perhaps another elpis: choose another port, or unset metrics.listen",
        ),
        MetricsFault::NotThere => say(
            "this machine does not have the address: a port alone listens on this machine, 0.0.0.0:PORT everywhere",
        ),
        MetricsFault::Forbidden => {
            say("ports below 1024 are for the system: choose one above, such as 9464")
        }
        MetricsFault::Other => say("choose another metrics.listen, or unset it"),
        // They name the way out.
        _ => None,
    }
}

fn stopped() -> Hint {
    say("`elpis doctor` tries the same settings; ELPIS_LOG=debug shows what led to it")
}

pub(super) fn engine(error: &EngineError) -> Hint {
    match error {
        EngineError::Request(error) => request(error),
        EngineError::Template(_) => say(ANOTHER_TEMPLATE),
        EngineError::Overloaded { .. } => {
            say("try again later, or raise runtime.n_parallel or runtime.queue_limit")
        }
        EngineError::Timeout { .. } => {
            say("raise runtime.request_timeout_seconds, or ask for fewer tokens")
        }
        EngineError::Backend(error) => model::backend(error),
        EngineError::Constraint(error) => constraint(error),
        EngineError::EngineRestarted => {
            say("ask again; with runtime.resume_generations = true a reply goes on by itself")
        }
        EngineError::Stopped { .. } => stopped(),
        // Nothing that a user of the command can change.
        _ => None,
    }
}

pub(super) fn request(error: &RequestError) -> Hint {
    match error {
        RequestError::PromptTooLong { .. } => say(
            "shorten the message, or raise model.context_length; with model.context_overflow = \"drop-oldest\" earlier messages make room",
        ),
        RequestError::ControlToken { .. } => say(
            "take it out of the text, or set model.control_tokens = \"text\", which has the model read it as letters",
        ),
        RequestError::EmptyPrompt => say(ANOTHER_TEMPLATE),
        RequestError::Constraint(error) => constraint(error),
        // They name the value and what is allowed.
        _ => None,
    }
}

fn constraint(error: &ConstraintError) -> Hint {
    match error {
        ConstraintError::Unfinished { .. } => {
            say("raise --max-tokens or model.max_tokens, or make the schema smaller")
        }
        ConstraintError::Refused { .. } => {
            say("leave that out of the schema; docs/tools.md lists what can be enforced")
        }
        // They name the value, or what a build needs, or cannot be helped.
        _ => None,
    }
}

pub(super) fn engine_failure(failure: &EngineFailure) -> Hint {
    match failure {
        EngineFailure::Backend(error) => model::backend(error),
        EngineFailure::Template(_) => say(ANOTHER_TEMPLATE),
        EngineFailure::TemplateFile { .. } => {
            say("check model.chat_format: the path, and who may read the file")
        }
        EngineFailure::Hung { .. } => {
            say("raise runtime.watchdog_seconds above the longest step of this machine")
        }
        EngineFailure::Panic(_) | EngineFailure::Deserted | EngineFailure::Spawn(_) => stopped(),
        // It names the known ones.
        _ => None,
    }
}
