//! Errors of settings.

use std::io;
use std::path::PathBuf;

use super::origin::Origin;
use crate::emotion::EmotionError;

/// An error in the settings, with the field and the place where it was set.
///
/// No variant holds a line of `.env`, which may contain secrets.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum SettingsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    #[strum(props(
        hint = "check the path and its permissions; a relative path starts at the working directory"
    ))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
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
        /// The parser's message.
        message: String,
    },
    /// `.env` could not be parsed. The line itself is left out: it may hold a secret.
    #[error("entry {entry} of {} is not of the form NAME=value", path.display())]
    #[strum(props(
        hint = "comments and empty lines are not counted; quote a value that contains spaces"
    ))]
    DotenvSyntax {
        /// The file.
        path: PathBuf,
        /// The entry, counted from 1 without comments and empty lines.
        entry: usize,
    },
    /// A name is not a setting.
    #[error("unknown setting {name} in {place}{}", hint(.suggestion.as_deref()))]
    #[strum(to_string = "unknown-setting")]
    Unknown {
        /// The name as it was written.
        name: String,
        /// The file, or `the environment`.
        place: String,
        /// The nearest known name, if one is similar.
        suggestion: Option<String>,
    },
    /// A value has the wrong type.
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
    /// A number is outside its range.
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
    /// A word is not among the allowed ones.
    #[error("{name} is `{value}`, but must be one of {choices} (from {origin}){}", hint(.suggestion.as_deref()))]
    NotAChoice {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// The allowed words.
        choices: String,
        /// The nearest of them, if one is similar.
        suggestion: Option<String>,
        /// Where it was set.
        origin: Box<Origin>,
    },
    /// Two settings, or parts of one, cannot be combined.
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
    /// An `ELPIS_` environment variable is not UTF-8.
    #[error("{variable} in the environment is not UTF-8")]
    NotUnicode {
        /// The variable.
        variable: String,
    },
    /// The emotion layer refused its configuration.
    #[error("emotion settings: {0}")]
    Emotion(#[from] EmotionError),
    /// There is nothing at the model path.
    #[error("there is no model at {}", path.display())]
    #[strum(props(
        hint = "correct model.path; a relative path starts at the working directory; without it, the bundled model runs"
    ))]
    MissingModel {
        /// The path.
        path: PathBuf,
    },
    /// The model is neither a path nor a Hugging Face id.
    #[error("`{text}` is neither an existing path nor a Hugging Face id: {reason}")]
    #[strum(props(
        hint = "name a file, a folder, or a model of the Hub as `org/name` or `org/name:file.gguf`"
    ))]
    InvalidModel {
        /// The given text.
        text: String,
        /// Why it is not an id.
        reason: &'static str,
    },
    /// Several errors, in the order of the layers.
    #[error("{} settings are wrong: {}", .0.len(), join(.0))]
    Many(Vec<SettingsError>),
}

impl SettingsError {
    /// Names the error for a metric label.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the individual errors: those of [`Many`](Self::Many), otherwise this one.
    pub fn all(&self) -> &[SettingsError] {
        match self {
            Self::Many(errors) => errors,
            single => std::slice::from_ref(single),
        }
    }

    /// Combines collected errors into one result.
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
