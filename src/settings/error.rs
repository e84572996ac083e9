//! What can be wrong with settings.

use std::io;
use std::path::PathBuf;

use super::origin::Origin;
use crate::emotion::EmotionError;

/// Something that is wrong with the settings, with the field and the place where it was set.
///
/// No variant holds a line of `.env`, which may have secrets in it.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum SettingsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    #[strum(props(
        hint = "check the path, and who may read it; a relative one counts from the working directory"
    ))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    #[strum(props(
        hint = "the file must be TOML: a section such as [model], then lines such as path = \"model.gguf\""
    ))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// `.env` could not be parsed. The line itself is left out: it may hold a secret.
    #[error("entry {entry} of {} is not of the form NAME=value", path.display())]
    #[strum(props(
        hint = "comments and empty lines do not count; a value with spaces stands in quotes"
    ))]
    DotenvSyntax {
        /// The file.
        path: PathBuf,
        /// The entry, counted from 1, comments and empty lines left out.
        entry: usize,
    },
    /// A name that is no setting.
    #[error("unknown setting {name} in {place}{}", hint(.suggestion.as_deref()))]
    #[strum(to_string = "unknown-setting")]
    Unknown {
        /// The name as it was written.
        name: String,
        /// The file, or `the environment`.
        place: String,
        /// The nearest known name, where one is near.
        suggestion: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{name} must be a value of type {expected}, but is {found} (from {origin})")]
    WrongType {
        /// The setting.
        name: String,
        /// The type that it takes.
        expected: String,
        /// What was found.
        found: String,
        /// Where it was set.
        origin: Box<Origin>,
    },
    /// A number outside its range.
    #[error("{name} is {value}, but must be {limit} (from {origin})")]
    OutOfRange {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// The range.
        limit: String,
        /// Where it was set.
        origin: Box<Origin>,
    },
    /// A word that is none of the allowed ones.
    #[error("{name} is `{value}`, but must be one of {choices} (from {origin}){}", hint(.suggestion.as_deref()))]
    NotAChoice {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// The allowed words.
        choices: String,
        /// The nearest of them, where one is near.
        suggestion: Option<String>,
        /// Where it was set.
        origin: Box<Origin>,
    },
    /// Two settings, or the parts of one, that do not go together.
    #[error("{name} is {value}, but must be {rule} (from {origin})")]
    Conflict {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
        /// Where it was set.
        origin: Box<Origin>,
    },
    /// An environment variable of ours that is not UTF-8.
    #[error("{variable} in the environment is not UTF-8")]
    NotUnicode {
        /// The variable.
        variable: String,
    },
    /// The emotion layer refused its configuration.
    #[error("emotion settings: {0}")]
    Emotion(#[from] EmotionError),
    /// A model path at which there is nothing.
    #[error("there is no model at {}", path.display())]
    #[strum(props(
        hint = "correct model.path, a relative path counts from the working directory; without it the bundled model runs"
    ))]
    MissingModel {
        /// The path.
        path: PathBuf,
    },
    /// A model that is neither a path nor a Hugging Face id.
    #[error("`{text}` is neither an existing path nor a Hugging Face id: {reason}")]
    #[strum(props(
        hint = "name a file, a folder, or a model of the Hub as `org/name` or `org/name:file.gguf`"
    ))]
    InvalidModel {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Several things at once, in the order of the layers.
    #[error("{} settings are wrong: {}", .0.len(), join(.0))]
    Many(Vec<SettingsError>),
}

impl SettingsError {
    /// Names the error for a metric label.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the single errors: those of [`Many`](Self::Many), otherwise this one.
    pub fn all(&self) -> &[SettingsError] {
        match self {
            Self::Many(errors) => errors,
            single => std::slice::from_ref(single),
        }
    }

    /// Makes one result of what was collected.
    pub(super) fn collect(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Many(errors)),
        }
    }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

fn join(errors: &[SettingsError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
