//! Downloads one file into the cache: resumable, bounded by its listed size, and checked.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::HubError;
use super::cache::{Partial, RepoCache};
use super::http::{Failed, Http, Waits, announced};
use super::protocol::{Commit, ContentId, LFS_POINTER, RemoteFile};

/// The polling interval for another process that fetches the same file. A wait for its lock could
/// not be given up, and no file system tells when a lock is released.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Number of bytes that an attempt must download to reset the count of failures.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Minimum download rate, in bytes per second.
const MIN_RATE: f64 = 1024.0;

/// Number of bytes read at a time.
const CHUNK: usize = 64 << 10;

/// Maximum length of a Git LFS pointer, in bytes.
const MAX_POINTER: u64 = 1024;

/// Fetches the files of one commit.
pub(super) struct Fetcher<'a> {
    http: &'a Http,
    cache: &'a RepoCache,
    /// The commit of the first file: all others must come from it too.
    commit: Option<Commit>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(http: &'a Http, cache: &'a RepoCache) -> Self {
        Self {
            http,
            cache,
            commit: None,
        }
    }

    /// The commit that all files came from.
    pub(super) fn commit(&self) -> Option<&Commit> {
        self.commit.as_ref()
    }

    /// Returns the cached path of the file, downloading and checking it if necessary.
    ///
    /// # Errors
    /// As [`HubError`] says.
    pub(super) fn fetch(&mut self, file: &RemoteFile) -> Result<PathBuf, HubError> {
        if let Some(commit) = &self.commit
            && let Some(path) = self.cached(file, commit)
        {
            return Ok(path);
        }
        let revision = self.commit.as_ref().map_or("main", Commit::as_str);
        let metadata = self.http.metadata(&file.path, revision)?;
        let commit = self
            .commit
            .get_or_insert_with(|| metadata.commit.clone())
            .clone();
        if metadata.commit != commit {
            let (asked, found) = (commit.as_str(), metadata.commit.as_str());
            let message = format!("it gives {} of commit {found} for {asked}", file.path);
            return Err(self.http.bad(message));
        }
        if let Some(path) = self.cached(file, &commit) {
            return Ok(path);
        }
        let id = file.sha256.clone().or(metadata.content);
        if let Some(id) = &id
            && self.cache.blob_size(id) == Some(file.size)
        {
            return self.cache.point(&commit, &file.path, id).map_err(io_error);
        }
        let id = self.download(file, &commit, id)?;
        let path = self
            .cache
            .point(&commit, &file.path, &id)
            .map_err(io_error)?;
        self.http.progress.finished(&file.path);
        Ok(path)
    }

    /// Returns the cached path of a file if it matches the Hub's listing.
    fn cached(&self, file: &RemoteFile, commit: &Commit) -> Option<PathBuf> {
        let cached = self.cache.cached(commit, &file.path)?;
        let is_same = match (&cached.blob, &file.sha256) {
            (Some(blob), Some(sha256)) => blob == sha256.as_str(),
            _ => true,
        };
        (is_same && cached.size == file.size).then_some(cached.path)
    }

    /// Downloads a file's content into the cache, and returns its id.
    fn download(
        &self,
        file: &RemoteFile,
        commit: &Commit,
        id: Option<ContentId>,
    ) -> Result<ContentId, HubError> {
        let key = id.clone().unwrap_or_else(|| stand_in(file, commit));
        let mut partial = self.locked(&key)?;
        // The previous holder of the lock may have finished the download.
        if let Some(id) = &id
            && self.cache.blob_size(id) == Some(file.size)
        {
            partial.remove();
            return Ok(id.clone());
        }
        self.stream(file, commit, &mut partial)?;
        let checked = check(file, &mut partial, id).inspect_err(|_| partial.remove())?;
        self.cache.finish(&partial, &checked).map_err(io_error)?;
        Ok(checked)
    }

    /// Opens an unfinished download that no other process writes.
    fn locked(&self, key: &ContentId) -> Result<Partial, HubError> {
        loop {
            let partial = self.cache.partial(key).map_err(io_error)?;
            match partial.file.try_lock() {
                Ok(()) if partial.is_in_place() => return Ok(partial),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if !self.http.pause(LOCK_POLL) {
                        return Err(self.http.unreachable("the download was cancelled"));
                    }
                }
                Err(TryLockError::Error(source)) => {
                    let path = partial.path;
                    return Err(HubError::Io { path, source });
                }
            }
        }
    }

    /// Appends the missing bytes, with retries while the Hub makes progress.
    fn stream(
        &self,
        file: &RemoteFile,
        commit: &Commit,
        partial: &mut Partial,
    ) -> Result<(), HubError> {
        let path = partial.path.clone();
        let io = |source| HubError::Io {
            path: path.clone(),
            source,
        };
        let expected = file.size;
        let mut done = partial.file.metadata().map_err(io)?.len();
        if done > expected {
            partial.file.set_len(0).map_err(io)?;
            done = 0;
        }
        self.http.progress.started(&file.path, done, expected);
        let mut waits = Waits::new(self.http.patience);
        let mut remembered = done;
        while done < expected {
            match self.attempt(file, commit, partial, &mut done) {
                Ok(()) if done >= expected => break,
                Ok(()) => {
                    let (file, found) = (file.path.clone(), done);
                    let error = HubError::Incomplete {
                        file,
                        expected,
                        found,
                    };
                    self.pause_after(error, &mut waits, &mut remembered, done)?;
                }
                Err(Failed::Passing(error)) => {
                    let error = match error {
                        error if done == 0 => error,
                        _ => HubError::Incomplete {
                            file: file.path.clone(),
                            expected,
                            found: done,
                        },
                    };
                    self.pause_after(error, &mut waits, &mut remembered, done)?;
                }
                Err(Failed::Lasting(error)) => {
                    if matches!(error, HubError::Oversize { .. }) {
                        partial.remove();
                    }
                    return Err(error);
                }
            }
        }
        partial.file.sync_all().map_err(io)
    }

    fn pause_after(
        &self,
        error: HubError,
        waits: &mut Waits,
        remembered: &mut u64,
        done: u64,
    ) -> Result<(), HubError> {
        if done.saturating_sub(*remembered) >= PROGRESS_BYTES {
            *waits = Waits::new(self.http.patience);
            *remembered = done;
        }
        self.http.wait(waits, error)
    }

    /// Requests the rest of the file and appends the data, never more than listed.
    fn attempt(
        &self,
        file: &RemoteFile,
        commit: &Commit,
        partial: &mut Partial,
        done: &mut u64,
    ) -> Result<(), Failed> {
        let path = partial.path.clone();
        let io = |source| {
            Failed::Lasting(HubError::Io {
                path: path.clone(),
                source,
            })
        };
        let expected = file.size;
        let oversize = || {
            let file = file.path.clone();
            Failed::Lasting(HubError::Oversize {
                file,
                listed: expected,
            })
        };
        let (mut answer, start) = self.http.content(&file.path, commit.as_str(), *done)?;
        if start != *done {
            // The server does not support ranges and sends the whole file again.
            partial.file.set_len(start).map_err(io)?;
            *done = start;
        }
        if announced(&answer).is_some_and(|length| length > expected - start) {
            return Err(oversize());
        }
        let silence = self.http.patience.silence;
        let mut pace = Pace::new(silence);
        let mut reader = answer.body_mut().as_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let error = ureq::Error::from(error);
                    return Err(Failed::Passing(self.http.broken(&error)));
                }
            };
            if count as u64 > expected - *done {
                return Err(oversize());
            }
            partial.file.write_all(&chunk[..count]).map_err(io)?;
            *done += count as u64;
            self.http.progress.advanced(&file.path, *done, expected);
            if !pace.keeps_up(count, Instant::now()) {
                let seconds = silence.as_secs_f64();
                let error = self
                    .http
                    .unreachable(format!("almost no data arrived for {seconds} s"));
                return Err(Failed::Passing(error));
            }
        }
    }
}

/// Checks a complete download, and returns the id of its content.
fn check(
    file: &RemoteFile,
    partial: &mut Partial,
    id: Option<ContentId>,
) -> Result<ContentId, HubError> {
    let path = partial.path.clone();
    let io = |source| HubError::Io {
        path: path.clone(),
        source,
    };
    partial.file.rewind().map_err(io)?;
    let (found, start) = sha256(&mut partial.file).map_err(io)?;
    if file.size <= MAX_POINTER && start.starts_with(LFS_POINTER) {
        let file = file.path.clone();
        return Err(HubError::LfsPointer { file });
    }
    match id {
        Some(id) if id.is_sha256() && id != found => Err(HubError::Checksum {
            file: file.path.clone(),
            expected: id.to_string(),
            found: found.to_string(),
        }),
        known => Ok(known.unwrap_or(found)),
    }
}

/// Detects a download that is too slow.
struct Pace {
    window: Duration,
    begun: Instant,
    bytes: usize,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self {
            window,
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// Records received bytes. Returns `false` if too few arrived in a whole window.
    fn keeps_up(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes += bytes;
        let passed = now.saturating_duration_since(self.begun);
        if passed < self.window {
            return true;
        }
        let enough = self.bytes as f64 >= MIN_RATE * passed.as_secs_f64();
        (self.begun, self.bytes) = (now, 0);
        enough
    }
}

/// A placeholder id for the download of a file whose content id the Hub does not provide.
fn stand_in(file: &RemoteFile, commit: &Commit) -> ContentId {
    let hasher = Sha256::new()
        .chain_update(commit.as_str())
        .chain_update([0])
        .chain_update(&file.path);
    ContentId::of_sha256(hasher.finalize().into())
}

/// Hashes the rest of a file. Also returns its first bytes.
fn sha256(file: &mut File) -> io::Result<(ContentId, Vec<u8>)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut start = Vec::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((ContentId::of_sha256(hasher.finalize().into()), start)),
            count => {
                if start.len() < LFS_POINTER.len() {
                    start.extend_from_slice(&buffer[..count.min(LFS_POINTER.len())]);
                }
                hasher.update(&buffer[..count]);
            }
        }
    }
}

pub(super) fn io_error((path, source): (PathBuf, io::Error)) -> HubError {
    HubError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crawl_is_noticed_and_a_slow_line_is_not() {
        let window = Duration::from_mins(1);
        for (per_second, expected) in [(1, false), (1000, false), (1100, true), (1 << 20, true)] {
            let mut pace = Pace::new(window);
            let start = pace.begun;
            let kept = (1..=180)
                .all(|second| pace.keeps_up(per_second, start + Duration::from_secs(second)));
            assert_eq!(kept, expected, "{per_second}");
        }
    }
}
