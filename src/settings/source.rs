//! What `model.path` stands for.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::SettingsError;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelSource {
    /// The model inside this crate (feature `bundled-model`).
    Bundled,
    /// A file on disk.
    File(PathBuf),
    /// A folder on disk, in the form of a Hugging Face repository.
    Folder(PathBuf),
    /// A repository of the Hugging Face Hub.
    Hub {
        /// The repository, `org/name`.
        repo: String,
        /// The file within it; `None` lets the resolver choose.
        file: Option<String>,
    },
}

impl ModelSource {
    /// Reads a model path: an existing file or folder, otherwise a Hugging Face id, `org/name` or
    /// `org/name:file.gguf`.
    ///
    /// An existing path always wins over an id. A text that can only be a path (absolute, with a leading `.`
    /// or `~`, with a backslash, or with the ending of a model file) is never taken for an id.
    ///
    /// # Errors
    /// [`SettingsError::MissingModel`] for a path at which there is nothing, [`SettingsError::InvalidModel`] for
    /// a text that is neither.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let invalid = |reason| SettingsError::InvalidModel {
            text: text.to_owned(),
            reason,
        };
        if text.trim().is_empty() {
            return Err(invalid("it is empty"));
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if path.exists() {
            return Ok(Self::File(path.to_owned()));
        }
        if is_surely_a_path(text) {
            return Err(SettingsError::MissingModel {
                path: path.to_owned(),
            });
        }
        let (repo, file) = match text.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (text, None),
        };
        let Some((org, name)) = repo.split_once('/') else {
            return Err(invalid("an id is written org/name"));
        };
        if name.contains('/') {
            return Err(match file {
                None => SettingsError::MissingModel {
                    path: path.to_owned(),
                },
                Some(_) => invalid("an id has one slash, before the name"),
            });
        }
        if !is_repo_part(org) || !is_repo_part(name) {
            return Err(invalid(
                "an id is made of letters, digits, `-`, `_` and `.`",
            ));
        }
        if let Some(file) = file
            && !is_file_in_repo(file)
        {
            return Err(invalid(
                "the file must be a relative path inside the repository",
            ));
        }
        Ok(Self::Hub {
            repo: repo.to_owned(),
            file: file.map(str::to_owned),
        })
    }

    /// Reads an optional model path; `None` is the bundled model.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_setting(path: Option<&str>) -> Result<Self, SettingsError> {
        path.map_or(Ok(Self::Bundled), Self::parse)
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("the bundled model"),
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Hub { repo, file: None } => f.write_str(repo),
            Self::Hub {
                repo,
                file: Some(file),
            } => write!(f, "{repo}:{file}"),
        }
    }
}

fn is_surely_a_path(text: &str) -> bool {
    let bare = !text.contains(':');
    let ends_like_a_model = [".gguf", ".safetensors", ".bin", ".json"]
        .iter()
        .any(|ending| text.ends_with(ending));
    Path::new(text).is_absolute()
        || text.starts_with(['/', '.', '~'])
        || text.contains('\\')
        || (bare && (ends_like_a_model || text.ends_with('/')))
}

fn is_repo_part(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty()
        && part.len() <= 96
        && part.chars().all(allowed)
        && !part.starts_with(['.', '-'])
        && !part.contains("..")
}

/// Longest path of a file in a repository, and longest part of it, in bytes.
const MAX_FILE_IN_REPO: (usize, usize) = (1024, 255);

/// Tells whether a file name may be put behind a repository: it becomes a path in the local cache, and is shown.
pub(crate) fn is_file_in_repo(file: &str) -> bool {
    let (longest, longest_part) = MAX_FILE_IN_REPO;
    file.len() <= longest
        && !file.contains(|c: char| matches!(c, '\\' | ':') || c.is_control() || turns_text(c))
        && file.split('/').all(|part| {
            !part.is_empty() && part.len() <= longest_part && part != "." && part != ".."
        })
}

/// Whether a character changes the direction of the text around it.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
