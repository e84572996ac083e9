//! Hints: the next step after a failure.
//!
//! Errors are told apart by their types, never by their words. `None` is for errors that say
//! themselves what to do, and for those of programs that a user of the command never meets.

mod command;
mod model;
mod runtime;
mod settings;
mod steering;
mod store;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;

use super::error::CliError;
use elpis::backend::BackendError;
use elpis::engine::EngineFailure;
use elpis::error::{EngineError, Error, SteeringError};
use elpis::hub::HubError;
use elpis::inference::RequestError;
use elpis::settings::SettingsError;
use elpis::steering::{FormatError, LibraryError, VectorError};
use elpis::store::StoreError;
use elpis::training::{PairsError, TrainingError};

const ANOTHER_TEMPLATE: &str = "choose another template with model.chat_format: llama-3, chatml, \
    mistral, gemma, phi-3, zephyr or a file";

/// The advice, in words; `None` where the error itself gives it.
type Hint = Option<String>;

/// What to do about an error, from the outermost of its causes that knows.
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
        for hint in error.all().iter().filter_map(settings::settings) {
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
        ($($Type:ty => $hint:path),+ $(,)?) => {
            $(if let Some(error) = error.downcast_ref::<$Type>() {
                return $hint(error);
            })+
        };
    }
    first_of!(
        Error => runtime::error,
        EngineError => runtime::engine,
        RequestError => runtime::request,
        EngineFailure => runtime::engine_failure,
        BackendError => model::backend,
        HubError => model::hub,
        StoreError => store::store,
        SteeringError => steering::steering,
        LibraryError => steering::library,
        FormatError => steering::format,
        VectorError => steering::vector,
        TrainingError => steering::training,
        PairsError => steering::pairs,
        CliError => command::error,
    );
    None
}

/// A hint of fixed words.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside `None`")]
fn say(words: &str) -> Hint {
    Some(words.to_owned())
}
