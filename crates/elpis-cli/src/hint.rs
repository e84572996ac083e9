//! Hints: the next step after a failure.
//!
//! Errors are distinguished by their types, never by their messages. A fixed hint is defined with
//! its error, as the property `hint`; this module has the hints that depend on the error's fields
//! or on the machine. An error without a hint either says itself what to do, or never reaches a
//! user of the command.

mod model;
mod runtime;
mod steering;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::io::ErrorKind;

use strum::EnumProperty;

use super::error::CliError;
use elpis::backend::BackendError;
use elpis::hub::HubError;
use elpis::inference::RequestError;
use elpis::internal::EngineFailure;
use elpis::settings::SettingsError;
use elpis::steering::{FormatError, LibraryError, VectorError};
use elpis::store::StoreError;
use elpis::training::{PairsError, TrainingError};
use elpis::{EngineError, Error, SteeringError};

const ANOTHER_TEMPLATE: &str = "choose another template with model.chat_format: llama-3, chatml, \
    mistral, gemma, phi-3, zephyr or a file";

/// The advice; `None` if the error itself gives it.
type Hint = Option<String>;

/// An error with a hint on what to do about it.
trait Hinted: EnumProperty {
    /// Computes a hint from the error's fields; the fixed one is used if this returns `None`.
    fn computed(&self) -> Hint {
        None
    }

    fn hint(&self) -> Hint {
        self.computed()
            .or_else(|| self.get_str("hint").map(str::to_owned))
    }
}

/// The hints for an error, from the outermost of its causes that has any.
pub(super) fn hints(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let found = of(error);
        if !found.is_empty() {
            return found;
        }
        next = error.source();
    }
    Vec::new()
}

fn of(error: &(dyn StdError + 'static)) -> Vec<String> {
    // Several settings may be wrong at once.
    let settings_error = match error.downcast_ref() {
        Some(Error::Settings(error)) => Some(error),
        _ => error.downcast_ref::<SettingsError>(),
    };
    if let Some(error) = settings_error {
        let mut found: Vec<String> = Vec::new();
        for hint in error.all().iter().filter_map(Hinted::hint) {
            if !found.contains(&hint) {
                found.push(hint);
            }
        }
        return found;
    }
    one(error).into_iter().collect()
}

fn one(error: &(dyn StdError + 'static)) -> Hint {
    macro_rules! first_of {
        ($($Type:ty),+ $(,)?) => {
            $(if let Some(error) = error.downcast_ref::<$Type>() {
                return error.hint();
            })+
        };
    }
    first_of!(
        Error,
        EngineError,
        RequestError,
        BackendError,
        HubError,
        StoreError,
        SteeringError,
        LibraryError,
        FormatError,
        VectorError,
        TrainingError,
        PairsError,
        CliError,
    );
    runtime::engine_failure(error.downcast_ref::<EngineFailure>()?)
}

/// A fixed hint.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside `None`")]
fn say(words: &str) -> Hint {
    Some(words.to_owned())
}

impl Hinted for CliError {
    fn computed(&self) -> Hint {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                ErrorKind::NotFound => {
                    say("check the path; a relative path starts at the working directory")
                }
                ErrorKind::PermissionDenied => say("check who may read it"),
                ErrorKind::IsADirectory => say("name a file in that folder"),
                ErrorKind::InvalidData => say("it must be a text in UTF-8"),
                _ => None,
            },
            Self::Unwritable { source, .. } => match source.kind() {
                ErrorKind::NotFound => say("make the folder first"),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    say("check who may write there, or choose another place")
                }
                ErrorKind::StorageFull => say("make room, or choose another place"),
                ErrorKind::AlreadyExists => say("name a file that is not there yet"),
                _ => None,
            },
            Self::Soak {
                growth_alone: true, ..
            } => say(
                "caches and allocators settle for minutes: try --seconds 600, and --fault-every 0 beside it",
            ),
            _ => None,
        }
    }
}
