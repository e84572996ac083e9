//! Hints on settings.

use super::{Hint, say};
use elpis::settings::{SettingsError, fields};

/// Where all settings are described.
const REFERENCE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/settings.md");

const TILDE: &str = "`~` is the shell's, and is not known in settings: write the whole path";

pub(super) fn settings(error: &SettingsError) -> Hint {
    match error {
        SettingsError::Unreadable { source, .. }
            if source.kind() == std::io::ErrorKind::InvalidData =>
        {
            say("it must be a text in UTF-8")
        }
        SettingsError::Unreadable { .. } => say(
            "check the path, and who may read it; a relative one counts from the working directory",
        ),
        SettingsError::Syntax { .. } => say(
            "the file must be TOML: a section such as [model], then lines such as path = \"model.gguf\"",
        ),
        SettingsError::DotenvSyntax { .. } => {
            say("comments and empty lines do not count; a value with spaces stands in quotes")
        }
        SettingsError::Unknown { .. } => Some(format!("all settings are listed in {REFERENCE}")),
        SettingsError::WrongType { name, .. }
        | SettingsError::OutOfRange { name, .. }
        | SettingsError::NotAChoice { name, .. } => Some(described(name)),
        SettingsError::Conflict { name, .. } => Some(described(name)),
        SettingsError::NotUnicode { variable } => Some(format!("unset {variable}, or set it anew")),
        SettingsError::Emotion(_) => Some(format!(
            "the [emotion] settings are described in {REFERENCE}"
        )),
        SettingsError::MissingModel { path } if path.starts_with("~") => say(TILDE),
        SettingsError::InvalidModel { text, .. } if text.starts_with('~') => say(TILDE),
        SettingsError::MissingModel { .. } => say(
            "correct model.path, a relative path counts from the working directory; without it the bundled \
             model runs",
        ),
        SettingsError::InvalidModel { .. } => say(
            "name a file, a folder, or a model of the Hub as `org/name` or `org/name:file.gguf`",
        ),
        // Its parts are asked one by one.
        _ => None,
    }
}

fn described(name: &str) -> String {
    let default = fields()
        .find(|field| field.full_name() == name)
        .map(|field| format!("the default of {name} is {}; ", field.default_text()))
        .unwrap_or_default();
    format!("{default}{REFERENCE} says what it does")
}
