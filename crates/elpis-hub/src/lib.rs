//! Fetches models from the Hugging Face Hub (feature `client`).
//!
//! Downloads go into the cache that all Hugging Face tools share, so a model that another tool has fetched is not
//! fetched again. The usual variables apply: `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT`,
//! `HF_HUB_OFFLINE`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, and those of proxies (`HTTPS_PROXY`, `NO_PROXY`). They are read
//! from the process environment, not from `.env`.
//!
//! A Hub is not trusted, because it may be a mirror. It cannot choose a path outside the
//! repository's folder in the cache or send more than it lists. It receives the token only at its
//! own address, and content with a known SHA-256 is checked.

#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "client")]
mod address;
#[cfg(feature = "client")]
mod cache;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod environment;
#[cfg(feature = "client")]
mod fetch;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "client")]
mod protocol;
mod select;

#[cfg(feature = "client")]
pub use client::Hub;
pub use select::QUANTISATION_PREFERENCE;

/// The format that a backend loads, which decides the files that are taken from a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelFormat {
    /// One GGUF file, or all parts of a split one.
    Gguf,
    /// A folder with `config.json`, tokenizer and safetensors.
    Transformers,
}

/// Receives the progress of a download. Calls come from the downloading thread and must not block.
pub trait DownloadProgress: Send + Sync {
    /// A file's download begins; `done` of `total` bytes exist from an earlier attempt.
    fn started(&self, file: &str, done: u64, total: u64);

    /// `done` of `total` bytes are downloaded.
    fn advanced(&self, file: &str, done: u64, total: u64);

    /// The file is complete and checked.
    fn finished(&self, file: &str);

    /// A request failed and will be retried.
    fn repeating(&self, _error: &HubError) {}
}

/// Ignores the progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl DownloadProgress for NoProgress {
    fn started(&self, _file: &str, _done: u64, _total: u64) {}
    fn advanced(&self, _file: &str, _done: u64, _total: u64) {}
    fn finished(&self, _file: &str) {}
}

/// Why a model could not be found or fetched. No variant holds a token.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum HubError {
    /// A Hugging Face id in a build that cannot fetch it.
    #[error("{id} is a Hugging Face id, which needs a build with the feature `hub`")]
    #[strum(props(hint = "or name a file on disk in model.path"))]
    FeatureMissing {
        /// The id.
        id: String,
    },
    /// The repository does not exist, or is not visible without a token.
    #[error("there is no repository {repo}, or it is private and needs a token in HF_TOKEN")]
    #[strum(props(
        hint = "check the spelling of model.path, `org/name`; tokens are created in the settings of your Hub account"
    ))]
    RepoNotFound {
        /// The repository.
        repo: String,
    },
    /// The repository has no such file.
    #[error("{repo} has no file {file}{}", list("; it has ", .choices))]
    FileNotFound {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
        /// The files of the same kind that it has.
        choices: Vec<String>,
    },
    /// The Hub refused access.
    #[error(
        "the Hub refused access to {repo}: accept its terms if it is gated, and set HF_TOKEN to a token that may read it"
    )]
    Refused {
        /// The repository.
        repo: String,
    },
    /// Several GGUF files, none of which is the obvious one.
    #[error("{repo} has several models, name one as {repo}:FILE{}", list("; there are ", .choices))]
    Ambiguous {
        /// The repository.
        repo: String,
        /// The files to choose from.
        choices: Vec<String>,
    },
    /// The repository has nothing that the backend loads.
    #[error("{repo} has no {wanted}")]
    #[strum(props(
        hint = "model.backend decides which files are needed: \"llama-cpp\" needs .gguf files, \"transformers\" safetensors"
    ))]
    NoModel {
        /// The repository.
        repo: String,
        /// The kind of file that was wanted.
        wanted: &'static str,
    },
    /// A single file was named for a backend that loads whole repositories.
    #[error("the transformers backend loads a whole repository: write {repo} without :{file}")]
    WholeRepository {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
    },
    /// Offline mode is on, and the cache does not have it.
    #[error("{wanted} is not in the cache, and HF_HUB_OFFLINE is set")]
    #[strum(props(
        hint = "unset HF_HUB_OFFLINE to fetch it once, or name a file on disk in model.path"
    ))]
    Offline {
        /// The repository or file.
        wanted: String,
    },
    /// The Hub did not answer, and the cache does not have it.
    #[error("cannot reach the Hub at {endpoint} for {repo}: {message}")]
    #[strum(props(
        hint = "check the network and HF_ENDPOINT, or name a file on disk in model.path; downloaded models also work without the network"
    ))]
    Unreachable {
        /// The Hub's address.
        endpoint: String,
        /// The repository.
        repo: String,
        /// The network's message.
        message: String,
    },
    /// The Hub asks for fewer requests.
    #[error("the Hub asks to wait before more requests for {repo}")]
    #[strum(props(hint = "wait some minutes; with a token in HF_TOKEN the Hub allows more"))]
    RateLimited {
        /// The repository.
        repo: String,
    },
    /// The Hub answered with an error.
    #[error("the Hub failed on {repo}: {message}")]
    #[strum(props(hint = "try again later; a download continues where it stopped"))]
    Server {
        /// The repository.
        repo: String,
        /// The Hub's message.
        message: String,
    },
    /// The Hub answered with something that is not its protocol, or that no Hub should send.
    #[error("the answer of {endpoint} for {repo} is refused: {message}")]
    #[strum(props(hint = "check HF_ENDPOINT; a mirror may be faulty or untrustworthy"))]
    BadAnswer {
        /// The Hub's address.
        endpoint: String,
        /// The repository.
        repo: String,
        /// The reason.
        message: String,
    },
    /// The Hub's address is invalid.
    #[error("{endpoint} is not an address of a Hub, which begins with https:// or http://")]
    #[strum(props(hint = "correct HF_ENDPOINT, or unset it for the public Hub"))]
    BadEndpoint {
        /// The given value.
        endpoint: String,
    },
    /// The token cannot be sent.
    #[error("the token of the Hub contains invalid characters")]
    #[strum(props(hint = "correct HF_TOKEN, or the file that HF_TOKEN_PATH names"))]
    BadToken,
    /// There is no folder for the cache.
    #[error(
        "there is no folder for the cache of the Hub: none of HF_HUB_CACHE, HF_HOME and HOME is set"
    )]
    #[strum(props(hint = "set HF_HOME to a folder for the files of the Hub"))]
    NoCache,
    /// A download is longer than listed, and was removed.
    #[error("{file} is longer than the {listed} bytes that the Hub lists; it was removed")]
    #[strum(props(
        hint = "run the same command again; if it happens again, the Hub or the mirror in HF_ENDPOINT is faulty"
    ))]
    Oversize {
        /// The file.
        file: String,
        /// Its listed size in bytes.
        listed: u64,
    },
    /// The Hub sent a Git LFS pointer instead of a file.
    #[error(
        "{file} is a Git LFS pointer, not the file itself: its content was never uploaded, or a mirror lacks it"
    )]
    #[strum(props(
        hint = "fetch from the public Hub by unsetting HF_ENDPOINT, or name another file"
    ))]
    LfsPointer {
        /// The file.
        file: String,
    },
    /// A download ended early. The next attempt resumes it.
    #[error(
        "{file} has {found} of {expected} bytes: the download ended early, the next attempt resumes it"
    )]
    #[strum(props(hint = "run the same command again"))]
    Incomplete {
        /// The file.
        file: String,
        /// Its size in bytes.
        expected: u64,
        /// Number of downloaded bytes.
        found: u64,
    },
    /// A download has the wrong content, and was removed.
    #[error("{file} has the SHA-256 {found}, but must have {expected}; it was removed")]
    #[strum(props(hint = "run the same command again to download it again"))]
    Checksum {
        /// The file.
        file: String,
        /// The checksum that the Hub gives.
        expected: String,
        /// The checksum of the downloaded content.
        found: String,
    },
    /// A file could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    #[strum(props(
        hint = "check the free space and permissions there; HF_HUB_CACHE or HF_HOME select another folder"
    ))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl HubError {
    /// Names the error for a metric label.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Returns the local path of a model of the Hub, downloading what the cache does not have.
///
/// Blocks until the model is available. It may be called from asynchronous code but occupies its
/// thread.
///
/// # Errors
/// As [`HubError`] says; [`HubError::FeatureMissing`] without the feature `client`.
#[cfg(feature = "client")]
pub fn fetch(
    repo: &str,
    file: Option<&str>,
    format: ModelFormat,
    progress: Arc<dyn DownloadProgress>,
) -> Result<PathBuf, HubError> {
    Hub::new().resolve_blocking(repo, file, format, progress)
}

/// Fails, because this build cannot download models.
///
/// # Errors
/// [`HubError::FeatureMissing`].
#[cfg(not(feature = "client"))]
pub fn fetch(
    repo: &str,
    file: Option<&str>,
    _format: ModelFormat,
    _progress: Arc<dyn DownloadProgress>,
) -> Result<PathBuf, HubError> {
    let id = file.map_or_else(|| repo.to_owned(), |file| format!("{repo}:{file}"));
    Err(HubError::FeatureMissing { id })
}

/// Reads bytes as the answers of a Hub, for fuzzing: four lines of headers, then a page of a listing. Panics if
/// something in them could lead out of the cache.
#[cfg(feature = "client")]
#[doc(hidden)]
pub fn read_answers(bytes: &[u8]) {
    protocol::read_answers(bytes);
}

/// Maximum length of a file's path in a repository, and of a component of it, in bytes.
const MAX_FILE_IN_REPO: (usize, usize) = (1024, 255);

/// Returns whether a file name may be appended to a repository. It becomes a path in the local
/// cache and is displayed.
pub fn is_file_in_repo(file: &str) -> bool {
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

fn list(intro: &str, items: &[String]) -> String {
    const SHOWN: usize = 12;
    if items.is_empty() {
        return String::new();
    }
    let shown = items
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let rest = items.len().saturating_sub(SHOWN);
    if rest == 0 {
        format!("{intro}{shown}")
    } else {
        format!("{intro}{shown} and {rest} more")
    }
}

#[cfg(all(test, not(feature = "client")))]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_the_missing_feature() {
        let no_progress = Arc::new(NoProgress);
        let error = fetch("org/name", Some("m.gguf"), ModelFormat::Gguf, no_progress).unwrap_err();
        let expected =
            "org/name:m.gguf is a Hugging Face id, which needs a build with the feature `hub`";
        assert_eq!(error.to_string(), expected);
    }
}
