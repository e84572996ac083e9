//! Resolves a repository to local files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::cache::RepoCache;
use super::environment::{Environment, Token};
use super::fetch::{Fetcher, io_error};
use super::http::{Http, Patience, Stopper};
use super::protocol::RemoteFile;
use super::select::select;
use super::{DownloadProgress, HubError, ModelFormat};

const PATIENCE: Patience = Patience {
    retries: 3,
    first_wait: Duration::from_millis(250),
    silence: Duration::from_mins(1),
};

/// Access to the Hugging Face Hub and its local cache.
///
/// Values that are not set here come from the usual environment variables.
#[derive(Clone, Default)]
pub struct Hub {
    endpoint: Option<String>,
    cache_dir: Option<PathBuf>,
    token: Option<String>,
    offline: Option<bool>,
    retries: Option<(usize, Duration)>,
    silence: Option<Duration>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache_dir", &self.cache_dir)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Creates an access configured by the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the Hub's address; otherwise `HF_ENDPOINT`, otherwise the public Hub.
    #[must_use]
    pub fn endpoint(mut self, address: impl Into<String>) -> Self {
        self.endpoint = Some(address.into());
        self
    }

    /// Sets the cache folder; otherwise `HF_HUB_CACHE`, otherwise `hub` in `HF_HOME`.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Sets the token; otherwise `HF_TOKEN`, `HF_TOKEN_PATH`, or the token that was stored at login.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets whether only the cache is used; otherwise according to `HF_HUB_OFFLINE`.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// Sets how often a failed request is retried and the first wait, which doubles up to 10 s; by
    /// default 3 times from 250 ms.
    #[must_use]
    pub fn retries(mut self, times: usize, first_wait: Duration) -> Self {
        self.retries = Some((times, first_wait));
        self
    }

    /// Sets how long the Hub may be silent before a request counts as failed, by default 60 s. Over
    /// the same time, a download must average at least 1 KiB per second.
    #[must_use]
    pub fn silence(mut self, limit: Duration) -> Self {
        self.silence = Some(limit);
        self
    }

    /// The Hub's address, if a token would be sent there without encryption.
    pub fn plain_token_endpoint(&self) -> Option<String> {
        let has_token = self.chosen_token().is_ok_and(|token| token.is_some());
        let endpoint = self.chosen_endpoint();
        let is_plain = Address::parse(&endpoint).is_some_and(|address| !address.is_https());
        (has_token && is_plain).then_some(endpoint)
    }

    /// Returns the local path of a repository's model, downloading what the cache does not have.
    ///
    /// For [`ModelFormat::Gguf`] it is the file, otherwise the folder. With no file named, a
    /// repository with one GGUF file gives that one; with several, the first of
    /// [`QUANTISATION_PREFERENCE`] that one of them has. All shards of a split model are fetched.
    /// An unfinished download is resumed. When the Hub cannot be reached, the cached state is used.
    ///
    /// It runs on a blocking thread of the Tokio runtime. Dropping the future ends the download;
    /// the next call resumes it.
    ///
    /// [`QUANTISATION_PREFERENCE`]: super::QUANTISATION_PREFERENCE
    ///
    /// # Errors
    /// As [`HubError`] says.
    pub async fn resolve(
        &self,
        repo: &str,
        file: Option<&str>,
        format: ModelFormat,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<PathBuf, HubError> {
        let (http, stopper) = self.http(repo, progress)?;
        let (hub, repo, file) = (self.clone(), repo.to_owned(), file.map(str::to_owned));
        let path = PathBuf::from(&repo);
        let work = move || hub.locate(&http, &repo, file.as_deref(), format);
        let located = tokio::task::spawn_blocking(work).await;
        drop(stopper);
        located.unwrap_or_else(|error| {
            let source = std::io::Error::other(error);
            Err(HubError::Io { path, source })
        })
    }

    /// As [`resolve`](Self::resolve), but on the calling thread.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_blocking(
        &self,
        repo: &str,
        file: Option<&str>,
        format: ModelFormat,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<PathBuf, HubError> {
        let (http, _stopper) = self.http(repo, progress)?;
        self.locate(&http, repo, file, format)
    }

    fn http(
        &self,
        repo: &str,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<(Http, Stopper), HubError> {
        let (retries, first_wait) = self
            .retries
            .unwrap_or((PATIENCE.retries, PATIENCE.first_wait));
        let patience = Patience {
            retries,
            first_wait,
            silence: self.silence.unwrap_or(PATIENCE.silence),
        };
        let token = self.chosen_token()?;
        Http::new(&self.chosen_endpoint(), token, repo, patience, progress)
    }

    fn locate(
        &self,
        http: &Http,
        repo: &str,
        file: Option<&str>,
        format: ModelFormat,
    ) -> Result<PathBuf, HubError> {
        let environment = Environment::of_process();
        let cache_dir = self.cache_dir.clone().or_else(|| environment.cache_dir());
        let cache = RepoCache::new(&cache_dir.ok_or(HubError::NoCache)?, repo);
        let offline = self.offline.unwrap_or_else(|| environment.is_offline());
        let listed = if offline {
            Err(HubError::Offline {
                wanted: file.map_or_else(|| repo.to_owned(), |file| format!("{repo}:{file}")),
            })
        } else {
            http.list()
        };
        match listed {
            Ok(files) => fetched(http, &cache, &files, repo, file, format),
            Err(error @ (HubError::Offline { .. } | HubError::Unreachable { .. })) => {
                cached(&cache, repo, file, format, error)
            }
            Err(error) => Err(error),
        }
    }

    fn chosen_endpoint(&self) -> String {
        let endpoint = self.endpoint.clone();
        endpoint.unwrap_or_else(|| Environment::of_process().endpoint())
    }

    fn chosen_token(&self) -> Result<Option<Token>, HubError> {
        match &self.token {
            Some(token) => Token::new(token),
            None => Environment::of_process().token(),
        }
    }
}

/// Downloads the chosen files of the listing into the cache.
fn fetched(
    http: &Http,
    cache: &RepoCache,
    files: &[RemoteFile],
    repo: &str,
    file: Option<&str>,
    format: ModelFormat,
) -> Result<PathBuf, HubError> {
    let names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
    let mut fetcher = Fetcher::new(http, cache);
    let mut first = None;
    for name in select(repo, &names, file, format)? {
        let Some(file) = files.iter().find(|file| file.path == name) else {
            continue;
        };
        let path = fetcher.fetch(file)?;
        first.get_or_insert(path);
    }
    if let Some(commit) = fetcher.commit() {
        cache.set_main(commit).map_err(io_error)?;
    }
    opened(first, repo, format)
}

/// Finds the model among earlier downloads; if it is missing, returns `error`, the reason why it
/// cannot be fetched.
fn cached(
    cache: &RepoCache,
    repo: &str,
    file: Option<&str>,
    format: ModelFormat,
    error: HubError,
) -> Result<PathBuf, HubError> {
    let Some(commit) = cache.main() else {
        return Err(error);
    };
    let names = cache.files(&commit);
    if names.is_empty() || file.is_some_and(|file| !names.iter().any(|name| name == file)) {
        return Err(error);
    }
    let chosen = select(repo, &names, file, format)?;
    let first = chosen.first().map(|name| cache.snapshot(&commit, name));
    opened(first, repo, format)
}

/// The path that a backend opens: the first file, or its folder.
fn opened(first: Option<PathBuf>, repo: &str, format: ModelFormat) -> Result<PathBuf, HubError> {
    let path = first.ok_or_else(|| HubError::NoModel {
        repo: repo.to_owned(),
        wanted: "file",
    })?;
    Ok(match format {
        ModelFormat::Gguf => path,
        ModelFormat::Transformers => path.parent().map_or_else(|| path.clone(), PathBuf::from),
    })
}
