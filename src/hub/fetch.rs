//! Fetches one file into the cache: resumed where an attempt broke off, and checked.
//!
//! `hf-hub` neither resumes a plain download nor looks at its status or size. So a large file is streamed into a
//! partial file first and, complete, put where the cache keeps content by its SHA-256; `hf-hub` then finds it
//! there and only adds the pointer. It still fetches small files itself.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::{HFRepository, RepoTypeModel};
use sha2::{Digest as _, Sha256};

use super::cache::{self, RepoCache};
use super::client::{RemoteFile, SILENCE, hub_error, silent};
use super::{DownloadProgress, HubError};

/// How often another process that fetches the same file is looked at.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// How long a file that is kept in git, at most some megabytes, may take.
const SMALL_FILE: Duration = Duration::from_mins(5);

pub(super) struct Fetcher<'a> {
    remote: &'a HFRepository<RepoTypeModel>,
    repo: &'a str,
    cache: RepoCache,
    offline: bool,
    retries: (usize, Duration),
    progress: Arc<dyn DownloadProgress>,
    /// The commit that the first file came from: all others must come from it too.
    commit: Option<String>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(
        remote: &'a HFRepository<RepoTypeModel>,
        repo: &'a str,
        cache: RepoCache,
        offline: bool,
        retries: (usize, Duration),
        progress: Arc<dyn DownloadProgress>,
    ) -> Self {
        Self {
            remote,
            repo,
            cache,
            offline,
            retries,
            progress,
            commit: None,
        }
    }

    /// Returns the cached path of the file, fetched and checked if need be.
    pub(super) async fn fetch(&mut self, file: &RemoteFile) -> Result<PathBuf, HubError> {
        if self.offline {
            return self.through_hf_hub(file, true).await;
        }
        let before = self.cached(file).await;
        let path = if before.is_none() && file.lfs && file.size.is_some_and(|size| size > 0) {
            self.resumable(file).await?
        } else {
            self.through_hf_hub(file, false).await?
        };
        if before.as_ref() != Some(&path) {
            check_size(file, &path, true)?;
            if let Some(expected) = cache::expected_sha256(&path) {
                self.check_content(file, &path, expected).await?;
            }
            self.progress.finished(&file.path);
        }
        if self.commit.is_none() {
            self.commit = commit_of(&path, &file.path);
        }
        Ok(path)
    }

    /// Returns the cached path of a file that has the size it has on the Hub.
    async fn cached(&self, file: &RemoteFile) -> Option<PathBuf> {
        let path = self.through_hf_hub(file, true).await.ok()?;
        check_size(file, &path, false).is_ok().then_some(path)
    }

    async fn through_hf_hub(
        &self,
        file: &RemoteFile,
        cached_only: bool,
    ) -> Result<PathBuf, HubError> {
        let relay = Relay {
            file: file.path.clone(),
            progress: Arc::clone(&self.progress),
        };
        let request = self
            .remote
            .download_file()
            .filename(file.path.as_str())
            .maybe_revision(self.commit.clone())
            .local_files_only(cached_only)
            .progress(relay)
            .send();
        // hf-hub itself waits for ever. How long a large file takes nobody can say.
        let limit = if file.lfs { Duration::MAX } else { SMALL_FILE };
        tokio::time::timeout(limit, request)
            .await
            .map_err(|_| silent(self.remote, self.repo, limit))?
            .map_err(|error| hub_error(self.remote, self.repo, Some(&file.path), error))
    }

    /// Streams the file into a partial one, then lets `hf-hub` take it into the cache.
    async fn resumable(&self, file: &RemoteFile) -> Result<PathBuf, HubError> {
        let partial_path = self.cache.partial(&file.path);
        let io = |source| HubError::Io {
            path: partial_path.clone(),
            source,
        };
        if let Some(folder) = partial_path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut partial = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&partial_path)
            .map_err(io)?;
        while let Err(TryLockError::WouldBlock) = partial.try_lock() {
            tokio::time::sleep(LOCK_POLL).await;
        }
        // Whoever held the lock may have finished the download and moved the file away.
        if let Some(path) = self.cached(file).await {
            return Ok(path);
        }
        match self.stream_into(file, &mut partial, &partial_path).await {
            Ok(()) => {}
            // Some servers refuse what a stream needs; hf-hub's own way may still work.
            Err(
                HubError::Server { .. } | HubError::Refused { .. } | HubError::FileNotFound { .. },
            ) => {
                let path = self.through_hf_hub(file, false).await?;
                let _ = std::fs::remove_file(&partial_path);
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
        let found = sha256(partial_path.clone()).await?;
        let blob = self.cache.blob(&found);
        std::fs::rename(&partial_path, &blob).map_err(io)?;
        let path = self.through_hf_hub(file, false).await?;
        if cache::blob_name(&path).is_some_and(|name| name != found) {
            // What was streamed was not what the Hub means; hf-hub has fetched the file once more.
            let _ = std::fs::remove_file(&blob);
        }
        Ok(path)
    }

    async fn stream_into(
        &self,
        file: &RemoteFile,
        partial: &mut File,
        path: &Path,
    ) -> Result<(), HubError> {
        let io = |source| HubError::Io {
            path: path.to_owned(),
            source,
        };
        let expected = file.size.unwrap_or(0);
        let (retries, mut wait) = self.retries;
        let mut failures = 0;
        let mut done = partial.metadata().map_err(io)?.len();
        self.progress
            .started(&file.path, done.min(expected), expected);
        loop {
            if done > expected {
                partial.set_len(0).map_err(io)?;
                done = 0;
            }
            if done == expected {
                return partial.sync_all().map_err(io);
            }
            let before = done;
            let outcome = self.stream_once(file, partial, &mut done, expected).await;
            match outcome {
                Err(
                    error @ (HubError::Io { .. }
                    | HubError::Refused { .. }
                    | HubError::FileNotFound { .. }),
                ) => {
                    return Err(error);
                }
                _ if done >= expected => continue,
                Err(error) if failures >= retries && done == 0 => return Err(error),
                _ if failures >= retries => {
                    return Err(HubError::Incomplete {
                        file: file.path.clone(),
                        expected,
                        found: done,
                    });
                }
                Err(error @ HubError::Server { .. }) if done == before => return Err(error),
                _ => {}
            }
            failures = if done > before { 0 } else { failures + 1 };
            if done == before {
                tokio::time::sleep(wait).await;
                wait = wait.saturating_mul(2);
            }
        }
    }

    /// Asks for the rest of the file and appends what comes.
    async fn stream_once(
        &self,
        file: &RemoteFile,
        partial: &mut File,
        done: &mut u64,
        expected: u64,
    ) -> Result<(), HubError> {
        let io = |source| HubError::Io {
            path: PathBuf::from(&file.path),
            source,
        };
        let failed = |error| hub_error(self.remote, self.repo, Some(&file.path), error);
        let request = self
            .remote
            .download_file_stream()
            .filename(file.path.as_str())
            .maybe_revision(self.commit.clone())
            .maybe_range((*done > 0).then_some(*done..expected))
            .send();
        let (length, mut stream) = tokio::time::timeout(SILENCE, request)
            .await
            .map_err(|_| silent(self.remote, self.repo, SILENCE))?
            .map_err(failed)?;
        if *done > 0 && length == Some(expected) {
            // The server does not know ranges: it sends the whole file again.
            partial.set_len(0).map_err(io)?;
            *done = 0;
        }
        loop {
            let next = tokio::time::timeout(SILENCE, stream.next()).await;
            match next.map_err(|_| silent(self.remote, self.repo, SILENCE))? {
                None => return Ok(()),
                Some(chunk) => {
                    let chunk = chunk.map_err(failed)?;
                    partial.write_all(&chunk).map_err(io)?;
                    *done += chunk.len() as u64;
                    if *done > expected {
                        return Ok(());
                    }
                    self.progress.advanced(&file.path, *done, expected);
                }
            }
        }
    }

    async fn check_content(
        &self,
        file: &RemoteFile,
        path: &Path,
        expected: String,
    ) -> Result<(), HubError> {
        let found = sha256(path.to_owned()).await?;
        if found == expected {
            return Ok(());
        }
        cache::remove(path);
        Err(HubError::Checksum {
            file: file.path.clone(),
            expected,
            found,
        })
    }
}

/// Compares the size with the Hub's. A bad download is taken out of the cache: `hf-hub` would serve it from there for ever.
fn check_size(file: &RemoteFile, path: &Path, remove: bool) -> Result<(), HubError> {
    let found = std::fs::metadata(path)
        .map_err(|source| HubError::Io {
            path: path.to_owned(),
            source,
        })?
        .len();
    match file.size {
        Some(expected) if expected != found => {
            if remove {
                cache::remove(path);
            }
            Err(HubError::Incomplete {
                file: file.path.clone(),
                expected,
                found,
            })
        }
        _ => Ok(()),
    }
}

async fn sha256(path: PathBuf) -> Result<String, HubError> {
    let shown = path.clone();
    let hash = move || -> std::io::Result<String> {
        let mut file = File::open(&path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(hex(&hasher.finalize()))
    };
    let result = tokio::task::spawn_blocking(hash)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    result.map_err(|source| HubError::Io {
        path: shown,
        source,
    })
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Reads the commit from a cached path, `…/snapshots/COMMIT/FILE`.
fn commit_of(path: &Path, file: &str) -> Option<String> {
    let snapshot = path.ancestors().nth(file.split('/').count())?;
    snapshot.file_name()?.to_str().map(str::to_owned)
}

/// Hands what `hf-hub` reports to our trait.
struct Relay {
    file: String,
    progress: Arc<dyn DownloadProgress>,
}

impl ProgressHandler for Relay {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => {
                self.progress.started(&self.file, 0, *total_bytes);
            }
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                for file in files {
                    self.progress
                        .advanced(&self.file, file.bytes_completed, file.total_bytes);
                }
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed,
                total_bytes,
                ..
            }) => {
                self.progress
                    .advanced(&self.file, *bytes_completed, *total_bytes);
            }
            _ => {}
        }
    }
}
