//! Resolves a repository through `hf-hub`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use hf_hub::{HFClient, HFError, HFRepository, RepoTypeModel};

use super::cache::RepoCache;
use super::fetch::Fetcher;
use super::select::select;
use super::{DownloadProgress, HubError, ModelFormat};

/// How long the Hub may be silent before it counts as unreachable.
pub(super) const SILENCE: Duration = Duration::from_mins(1);

/// Access to the Hugging Face Hub and its local cache.
///
/// What is not set here comes from the usual environment variables.
#[derive(Clone, Default)]
pub struct Hub {
    endpoint: Option<String>,
    cache_dir: Option<PathBuf>,
    token: Option<String>,
    offline: Option<bool>,
    retries: Option<(usize, Duration)>,
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
    /// Creates an access that the environment configures.
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

    /// Sets whether only the cache is used; otherwise as `HF_HUB_OFFLINE` says.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = Some(offline);
        self
    }

    /// Sets how often a failed request is repeated and the first wait, which doubles; 5 times from 100 ms otherwise.
    #[must_use]
    pub fn retries(mut self, times: usize, first_wait: Duration) -> Self {
        self.retries = Some((times, first_wait));
        self
    }

    /// Returns the local path of a repository's model, downloading what the cache does not have.
    ///
    /// For [`ModelFormat::Gguf`] it is the file, otherwise the folder. With no file named, a repository with one
    /// GGUF file gives that one; with several, the first of [`QUANTISATION_PREFERENCE`] that one of them has. All
    /// parts of a split model are fetched. An unfinished download is resumed. When the Hub cannot be reached, the
    /// cached state is used.
    ///
    /// Needs a tokio runtime with I/O and time; files are written on the calling task.
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
        let client = self.client(repo)?;
        let cache = RepoCache::new(client.cache_dir(), repo);
        let (org, name) = repo.split_once('/').unwrap_or(("", repo));
        let remote = client.model(org, name);

        let offline = self.offline.unwrap_or_else(offline_by_environment);
        let listed = if offline {
            Err(HubError::Offline {
                wanted: file.map_or_else(|| repo.to_owned(), |file| format!("{repo}:{file}")),
            })
        } else {
            files_of(&remote, repo).await
        };
        let (files, offline) = match listed {
            Ok(files) => (files, offline),
            Err(error @ (HubError::Offline { .. } | HubError::Unreachable { .. })) => {
                match cache.files() {
                    cached
                        if cached.is_empty()
                            || file.is_some_and(|file| !cached.iter().any(|name| name == file)) =>
                    {
                        return Err(error);
                    }
                    cached => (
                        cached
                            .into_iter()
                            .map(|path| RemoteFile {
                                path,
                                size: None,
                                lfs: false,
                            })
                            .collect(),
                        true,
                    ),
                }
            }
            Err(error) => return Err(error),
        };
        let names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        let chosen = select(repo, &names, file, format)?;

        let mut fetcher = Fetcher::new(
            &remote,
            repo,
            cache,
            offline,
            self.retries.unwrap_or(DEFAULT_RETRIES),
            progress,
        );
        let mut first = None;
        for name in &chosen {
            let Some(file) = files.iter().find(|file| &file.path == name) else {
                continue;
            };
            let path = fetcher.fetch(file).await?;
            first.get_or_insert(path);
        }
        let path = first.ok_or_else(|| HubError::NoModel {
            repo: repo.to_owned(),
            wanted: "file",
        })?;
        Ok(match format {
            ModelFormat::Gguf => path,
            ModelFormat::Transformers => path.parent().map_or_else(|| path.clone(), PathBuf::from),
        })
    }

    /// Does as [`resolve`](Self::resolve) on a thread of its own and waits for it.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and [`HubError::Io`] where no thread can be started.
    pub fn resolve_blocking(
        &self,
        repo: &str,
        file: Option<&str>,
        format: ModelFormat,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<PathBuf, HubError> {
        let io = |source| HubError::Io {
            path: PathBuf::from(repo),
            source,
        };
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(io)?;
            runtime.block_on(self.resolve(repo, file, format, progress))
        };
        // A runtime cannot be started on a thread that drives one already.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("elpis-hub".to_owned())
                .spawn_scoped(scope, work)
                .map_err(io)?;
            thread
                .join()
                .unwrap_or_else(|_| Err(io(std::io::Error::other("the download thread panicked"))))
        })
    }

    fn client(&self, repo: &str) -> Result<HFClient, HubError> {
        let mut builder = HFClient::builder();
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(folder) = &self.cache_dir {
            builder = builder.cache_dir(folder);
        }
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        let (times, first_wait) = self.retries.unwrap_or(DEFAULT_RETRIES);
        builder
            .retry_max_attempts(times)
            .retry_base_delay(first_wait)
            .build()
            .map_err(|error| HubError::Server {
                repo: repo.to_owned(),
                message: one_line(&error),
            })
    }
}

const DEFAULT_RETRIES: (usize, Duration) = (5, Duration::from_millis(100));

fn offline_by_environment() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on"
    )
}

/// A file of a repository as the Hub lists it, or, without a size, as the cache has it.
pub(super) struct RemoteFile {
    pub path: String,
    pub size: Option<u64>,
    /// Whether the Hub keeps it outside git, by its SHA-256.
    pub lfs: bool,
}

async fn files_of(
    remote: &HFRepository<RepoTypeModel>,
    repo: &str,
) -> Result<Vec<RemoteFile>, HubError> {
    let failed = |error| hub_error(remote, repo, None, error);
    let listing = remote.list_tree().recursive(true).send().map_err(failed)?;
    pin_mut!(listing);
    let mut files = Vec::new();
    loop {
        let next = tokio::time::timeout(SILENCE, listing.next())
            .await
            .map_err(|_| silent(remote, repo, SILENCE))?;
        match next {
            None => return Ok(files),
            // The path becomes one in the cache: a server must not choose one outside.
            Some(Ok(hf_hub::repository::RepoTreeEntry::File {
                path, size, lfs, ..
            })) if crate::settings::is_file_in_repo(&path) => {
                files.push(RemoteFile {
                    path,
                    size: Some(size),
                    lfs: lfs.is_some(),
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(failed(error)),
        }
    }
}

/// Makes our error of one of `hf-hub`.
pub(super) fn hub_error(
    remote: &HFRepository<RepoTypeModel>,
    repo: &str,
    file: Option<&str>,
    error: HFError,
) -> HubError {
    let repo = repo.to_owned();
    match error {
        HFError::RepoNotFound { .. } => HubError::RepoNotFound { repo },
        HFError::EntryNotFound { path, .. } => HubError::FileNotFound {
            repo,
            file: path,
            choices: Vec::new(),
        },
        HFError::LocalEntryNotFound { path } => HubError::Offline {
            wanted: format!("{repo}:{path}"),
        },
        HFError::RateLimited { .. } => HubError::RateLimited { repo },
        HFError::Http { ref context }
        | HFError::AuthRequired { ref context }
        | HFError::Forbidden { ref context } => {
            let code = context.error_code.as_deref();
            match (context.status.as_u16(), file) {
                (401 | 404, _) if code == Some("RepoNotFound") => HubError::RepoNotFound { repo },
                (401 | 403, _) => HubError::Refused { repo },
                (404, None) => HubError::RepoNotFound { repo },
                (404, Some(file)) => HubError::FileNotFound {
                    repo,
                    file: file.to_owned(),
                    choices: Vec::new(),
                },
                (429, _) => HubError::RateLimited { repo },
                (status, _) => HubError::Server {
                    repo,
                    message: format!("HTTP status {status}"),
                },
            }
        }
        HFError::Request { ref source, .. } if source.is_decode() && file.is_none() => {
            HubError::Server {
                repo,
                message: one_line(source),
            }
        }
        HFError::Request { ref source, .. } => unreachable_hub(remote, &repo, &root_cause(source)),
        HFError::Io(source) => HubError::Io {
            path: remote.client().cache_dir().to_owned(),
            source,
        },
        other => HubError::Server {
            repo,
            message: one_line(&other),
        },
    }
}

pub(super) fn silent(
    remote: &HFRepository<RepoTypeModel>,
    repo: &str,
    waited: Duration,
) -> HubError {
    unreachable_hub(
        remote,
        repo,
        &format!("nothing came for {} s", waited.as_secs()),
    )
}

fn unreachable_hub(remote: &HFRepository<RepoTypeModel>, repo: &str, message: &str) -> HubError {
    HubError::Unreachable {
        endpoint: remote.client().endpoint().to_owned(),
        repo: repo.to_owned(),
        message: message.to_owned(),
    }
}

/// Returns the innermost error, which says what the system said and holds no signed address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(cause)
}

fn one_line(error: &dyn std::error::Error) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
