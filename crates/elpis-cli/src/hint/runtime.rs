//! Hints on the runtime, its settings and its store.

use super::{ANOTHER_TEMPLATE, Hint, Hinted, say};
use elpis::inference::{ConstraintError, RequestError};
use elpis::internal::EngineFailure;
use elpis::settings::{SettingsError, fields};
use elpis::store::StoreError;
use elpis::{EngineError, Error, MetricsErrorKind};

/// The description of all settings.
const REFERENCE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/settings.md");

const TILDE: &str = "`~` is only expanded by the shell, not in settings: write the whole path";

impl Hinted for ConstraintError {}
impl Hinted for MetricsErrorKind {}

impl Hinted for Error {
    fn computed(&self) -> Hint {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Backend(error) => error.hint(),
            Self::Steering(error) => error.hint(),
            Self::Hub(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Metrics { kind, .. } => kind.hint(),
            Self::Hardware { asked, .. } => Some(format!(
                "set model.hardware_backend = \"auto\", or build with `cargo install elpis-cli --features {asked}`; \
                 `elpis doctor` shows the devices"
            )),
            // Its cause may have a hint.
            Self::Failed { source, .. }
            | Self::Stopped {
                source: Some(source),
                ..
            } => {
                let hints = super::hints(&**source);
                hints.into_iter().next().or_else(stopped)
            }
            Self::Stopped { source: None, .. } => stopped(),
            _ => None,
        }
    }
}

fn stopped() -> Hint {
    say("`elpis doctor` tries the same settings; ELPIS_LOG=debug shows the cause")
}

impl Hinted for EngineError {
    fn computed(&self) -> Hint {
        match self {
            Self::Request(error) => error.hint(),
            Self::Template(_) => say(ANOTHER_TEMPLATE),
            Self::Backend(error) => error.hint(),
            Self::Constraint(error) => error.hint(),
            Self::Stopped { .. } => stopped(),
            _ => None,
        }
    }
}

impl Hinted for RequestError {
    fn computed(&self) -> Hint {
        match self {
            Self::EmptyPrompt => say(ANOTHER_TEMPLATE),
            Self::Constraint(error) => error.hint(),
            _ => None,
        }
    }
}

pub(super) fn engine_failure(failure: &EngineFailure) -> Hint {
    match failure {
        EngineFailure::Backend(error) => error.hint(),
        EngineFailure::Template(_) => say(ANOTHER_TEMPLATE),
        EngineFailure::TemplateFile { .. } => {
            say("check the path in model.chat_format and the file's permissions")
        }
        EngineFailure::Hung { .. } => {
            say("raise runtime.watchdog_seconds above the longest step of this machine")
        }
        EngineFailure::Panic(_) | EngineFailure::Deserted | EngineFailure::Spawn(_) => stopped(),
        // The error itself lists the known names.
        _ => None,
    }
}

impl Hinted for SettingsError {
    fn computed(&self) -> Hint {
        match self {
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                say("it must be a UTF-8 text file")
            }
            Self::Unknown { .. } => Some(format!("all settings are listed in {REFERENCE}")),
            Self::WrongType { name, .. }
            | Self::OutOfRange { name, .. }
            | Self::NotAChoice { name, .. } => Some(described(name)),
            Self::Conflict { name, .. } => Some(described(name)),
            Self::NotUnicode { variable } => Some(format!("unset {variable}, or set it again")),
            Self::Emotion(_) => Some(format!(
                "the [emotion] settings are described in {REFERENCE}"
            )),
            Self::MissingModel { path } if path.starts_with("~") => say(TILDE),
            Self::InvalidModel { text, .. } if text.starts_with('~') => say(TILDE),
            _ => None,
        }
    }
}

fn described(name: &str) -> String {
    let default = fields()
        .find(|field| field.full_name() == name)
        .map(|field| format!("the default of {name} is {}; ", field.default_text()))
        .unwrap_or_default();
    format!("{default}{REFERENCE} describes it")
}

impl Hinted for StoreError {
    fn computed(&self) -> Hint {
        match self {
            Self::Damaged { file, .. } => Some(format!(
                "copy {file} and {file}-wal before anything else; `elpis store check` checks the copy that you restore"
            )),
            Self::DamagedSession { file, .. } => Some(format!(
                "`elpis store check {file}` names every damaged session, `elpis store export {file} --session ID` saves \
                 the others"
            )),
            Self::Failed { file, .. } => Some(format!(
                "check that the folder of {file} exists and is writable; `elpis store check {file}` looks for damage"
            )),
            _ => None,
        }
    }
}
