//! Watches the folder of vectors for changes.
//!
//! The operating system reports changes. If it cannot, for example because all of its watches are
//! in use, the folder is polled instead.

mod watched_path;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::folder::Stamp;
use watched_path::WatchedPath;

/// Maximum number of attempts to set watches while the path keeps changing.
const MAX_REARMS: usize = 8;

/// Polling interval if the operating system does not report changes.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Watches a folder. It also notices a folder that appears later, is replaced, or is reached by a
/// symbolic link that is switched. Other changes next to the folder are ignored.
pub(super) struct FolderWatch {
    folder: PathBuf,
    detection: Detection,
    shared: Arc<Shared>,
}

/// How changes are detected.
enum Detection {
    /// The operating system reports changes.
    System {
        watcher: RecommendedWatcher,
        watched: Vec<PathBuf>,
    },
    /// A thread polls until this is dropped.
    Polling { _stop: Sender<()> },
    /// Not at all, because not even a thread could be started.
    None,
}

struct Shared {
    changed: Box<dyn Fn() + Send + Sync>,
    pending: AtomicBool,
    watched_path: Mutex<WatchedPath>,
}

impl Shared {
    fn watched_path(&self) -> MutexGuard<'_, WatchedPath> {
        self.watched_path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            // Reading the vectors causes access events, which change nothing.
            Ok(event) if event.kind.is_access() => false,
            Ok(event) if event.paths.is_empty() || event.need_rescan() => true,
            Ok(event) => {
                let watched_path = self.watched_path();
                event.paths.iter().any(|path| watched_path.concerns(path))
            }
            // An error may hide a change.
            Err(_) => true,
        }
    }

    /// Reports a change: one message at a time, however fast the folder changes.
    fn tell(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            (self.changed)();
        }
    }
}

impl FolderWatch {
    /// Starts watching. `changed` is called on another thread.
    ///
    /// # Errors
    /// An I/O error if the path is invalid. It is not an error if the operating system cannot
    /// watch.
    pub(super) fn start(
        folder: &Path,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::start_with(folder, changed, true)
    }

    fn start_with(
        folder: &Path,
        changed: impl Fn() + Send + Sync + 'static,
        ask_system: bool,
    ) -> std::io::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let shared = Arc::new(Shared {
            changed: Box::new(changed),
            pending: AtomicBool::default(),
            watched_path: Mutex::default(),
        });
        let seen = Arc::clone(&shared);
        let watcher = ask_system.then(|| {
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if seen.concerns(&event) {
                    seen.tell();
                }
            })
        });
        let detection = match watcher {
            Some(Ok(watcher)) => Detection::System {
                watcher,
                watched: Vec::new(),
            },
            Some(Err(error)) => poll(&folder, &shared, &error.to_string()),
            None => poll(&folder, &shared, "not asked for"),
        };
        let mut watch = Self {
            folder,
            detection,
            shared,
        };
        watch.rearm();
        Ok(watch)
    }

    /// Acknowledges a reported change, so that the next one is reported.
    pub(super) fn acknowledge(&self) {
        self.shared.pending.store(false, Ordering::Release);
    }

    /// Whether a reported change is not acknowledged yet.
    pub(super) fn is_pending(&self) -> bool {
        self.shared.pending.load(Ordering::Acquire)
    }

    /// Renews the watches. A watch follows a folder's identity rather than its path, so it is set
    /// again after every change.
    pub(super) fn rearm(&mut self) {
        let Detection::System { watcher, watched } = &mut self.detection else {
            return;
        };
        for folder in watched.drain(..) {
            let _ = watcher.unwatch(&folder);
        }
        // A folder that appears before its watch is set is found in the next round.
        let mut previous = None;
        for _ in 0..MAX_REARMS {
            let watched_path = WatchedPath::to(&self.folder);
            if previous.as_ref() == Some(&watched_path) {
                return;
            }
            self.shared.watched_path().clone_from(&watched_path);
            for folder in &watched_path.watched {
                if watched.contains(folder) {
                    continue;
                }
                match watcher.watch(folder, RecursiveMode::NonRecursive) {
                    Ok(()) => watched.push(folder.to_owned()),
                    Err(error) if folder.exists() => {
                        self.detection = poll(&self.folder, &self.shared, &error.to_string());
                        return;
                    }
                    Err(_) => {}
                }
            }
            previous = Some(watched_path);
        }
    }
}

/// Polls the folder.
fn poll(folder: &Path, shared: &Arc<Shared>, reason: &str) -> Detection {
    let seconds = POLL_EVERY.as_secs();
    tracing::warn!(
        reason,
        folder = %folder.display(),
        "the operating system cannot watch the vectors folder; polling it every {seconds} s"
    );
    let (stop, stopped) = crossbeam_channel::bounded(0);
    let (own, shared) = (folder.to_owned(), Arc::clone(shared));
    let mut last = look(&own);
    let looking = move || {
        while stopped.recv_timeout(POLL_EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = look(&own);
            if now != last {
                last = now;
                shared.tell();
            }
        }
    };
    let thread = std::thread::Builder::new().name("elpis-vectors".to_owned());
    match thread.spawn(looking) {
        Ok(_) => Detection::Polling { _stop: stop },
        Err(error) => {
            tracing::warn!(%error, "cannot watch the vectors folder; changes are not detected");
            Detection::None
        }
    }
}

/// Everything that changes with the vectors or with the path to them.
fn look(folder: &Path) -> (WatchedPath, Stamp) {
    let watched_path = WatchedPath::to(folder);
    let stamp = Stamp::of(&watched_path.end);
    (watched_path, stamp)
}

impl std::fmt::Debug for FolderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watched = match &self.detection {
            Detection::System { watched, .. } => watched.as_slice(),
            Detection::Polling { .. } | Detection::None => &[],
        };
        f.debug_struct("FolderWatch")
            .field("folder", &self.folder)
            .field("watched", &watched)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn changes_beside_the_folder_are_not_reported() {
        let folder = tempfile::tempdir().unwrap();
        let vectors = folder.path().join("vectors");
        std::fs::create_dir(&vectors).unwrap();
        let (tell, told) = mpsc::channel();
        let tell = move || tell.send(()).unwrap_or_default();
        let watch = FolderWatch::start(&vectors, tell).unwrap();
        for count in 0..50 {
            std::fs::write(folder.path().join("moods.db-wal"), [count]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(told.try_recv().is_err(), "a file beside the folder");
        assert!(!watch.is_pending());
        std::fs::write(vectors.join("calm.pt"), "new").unwrap();
        told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(watch.is_pending());
        watch.acknowledge();
        assert!(!watch.is_pending() || told.recv_timeout(Duration::from_secs(20)).is_ok());
    }

    #[test]
    fn without_the_systems_help_changes_are_noticed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let vectors = folder.path().join("vectors");
        let (tell, told) = mpsc::channel();
        let tell = move || tell.send(()).unwrap_or_default();
        let watch = FolderWatch::start_with(&vectors, tell, false).unwrap();
        let long = Duration::from_secs(20);
        let deeds: [&dyn Fn(); 4] = [
            &|| std::fs::create_dir(&vectors).unwrap(),
            &|| std::fs::write(vectors.join("calm.pt"), "new").unwrap(),
            &|| std::fs::write(vectors.join("calm.pt"), "now").unwrap(),
            &|| std::fs::remove_file(vectors.join("calm.pt")).unwrap(),
        ];
        for (number, deed) in deeds.iter().enumerate() {
            deed();
            told.recv_timeout(long)
                .unwrap_or_else(|_| panic!("step {number}"));
            watch.acknowledge();
        }
        std::fs::write(vectors.join("notes.txt"), "beside").unwrap();
        assert!(told.recv_timeout(3 * POLL_EVERY).is_err());
        // The thread ends with the watch.
        let shared = Arc::downgrade(&watch.shared);
        drop(watch);
        assert!((0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            shared.upgrade().is_none()
        }));
    }
}
