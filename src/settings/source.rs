//! Resolves `model.path`.

use std::path::Path;

use elpis_backend::ModelSource;
use elpis_hub::is_file_in_repo;

use super::error::SettingsError;

/// Reads a model path: an existing file or folder, otherwise a Hugging Face id, `org/name` or
/// `org/name:file.gguf`.
///
/// An existing path always wins over an id. A text that can only be a path (absolute, with a
/// leading `.` or `~`, with a backslash, or with the extension of a model file) is never read as an
/// id.
///
/// # Errors
/// [`SettingsError::MissingModel`] for a path that does not exist, [`SettingsError::InvalidModel`]
/// for a text that is neither a path nor an id.
pub fn parse_model_source(text: &str) -> Result<ModelSource, SettingsError> {
    let invalid = |reason| SettingsError::InvalidModel {
        text: text.to_owned(),
        reason,
    };
    if text.trim().is_empty() {
        return Err(invalid("it is empty"));
    }
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(ModelSource::Folder(path.to_owned()));
    }
    if path.exists() {
        return Ok(ModelSource::File(path.to_owned()));
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
    Ok(ModelSource::Hub {
        repo: repo.to_owned(),
        file: file.map(str::to_owned),
    })
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
