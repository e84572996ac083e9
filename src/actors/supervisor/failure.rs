//! Interprets the errors of actors.

use ractor::{ActorProcessingErr, SpawnErr};

use crate::backend::BackendError;
use crate::engine::EngineFailure;
use crate::error::{EngineError, Error, SteeringError};
use crate::event::FailureKind;

/// Returns the kind of a failure. Errors have the types of this crate; anything else is the message
/// of a panic.
pub(super) fn kind_of(error: &ActorProcessingErr) -> FailureKind {
    match error.downcast_ref::<EngineFailure>() {
        Some(EngineFailure::Panic(_)) => FailureKind::ThreadPanic,
        Some(EngineFailure::Hung { .. }) => FailureKind::Hung,
        Some(EngineFailure::Backend(BackendError::WorkerDied { .. })) => FailureKind::WorkerDied,
        Some(_) => FailureKind::Error,
        None if error.is::<Error>() || error.is::<SteeringError>() => FailureKind::Error,
        None => FailureKind::Panic,
    }
}

/// Extracts the typed error from the error of an actor's start.
pub(crate) fn startup_error(error: SpawnErr) -> Error {
    let SpawnErr::StartupFailed(inner) = error else {
        return Error::failed("the start of the runtime", error);
    };
    let inner = match inner.downcast::<Error>() {
        Ok(error) => return *error,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<SteeringError>() {
        Ok(error) => return Error::Steering(*error),
        Err(inner) => inner,
    };
    match inner.downcast::<EngineFailure>() {
        Ok(failure) => match *failure {
            EngineFailure::Backend(error) => Error::Backend(error),
            EngineFailure::Template(error) => Error::Engine(EngineError::Template(error)),
            EngineFailure::ChatFormat(error) => Error::ChatFormat {
                source: error.into(),
            },
            failure @ EngineFailure::TemplateFile { .. } => Error::ChatFormat {
                source: failure.into(),
            },
            other => Error::failed("the engine", other),
        },
        Err(other) => Error::failed("the start of the runtime", other),
    }
}
