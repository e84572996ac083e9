//! Noticing changes of the folder of vectors.
//!
//! The system tells of them. Where it cannot, because all of its watches are
//! taken by others, the folder is looked at from time to time instead.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::folder::Stamp;

/// Most links followed on the way to the folder, as systems do.
const MAX_LINKS: usize = 40;

/// Most times that watches are laid because the way changed meanwhile.
const MAX_LAYINGS: usize = 8;

/// How often the folder is looked at where the system tells nothing.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Watches a folder, so that one that appears later, is replaced, or lies
/// behind a link that is switched over is noticed too. What else happens
/// beside it does not count.
pub(super) struct FolderWatch {
    folder: PathBuf,
    means: Means,
    shared: Arc<Shared>,
}

/// How changes are noticed.
enum Means {
    /// The system tells.
    System {
        watcher: RecommendedWatcher,
        watched: Vec<PathBuf>,
    },
    /// A thread looks, until this is dropped.
    Polling { _stop: mpsc::Sender<()> },
    /// Not at all: not even a thread could be started.
    Nothing,
}

struct Shared {
    changed: Box<dyn Fn() + Send + Sync>,
    told: AtomicBool,
    way: Mutex<Way>,
}

impl Shared {
    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            // Reading the vectors is itself an access; it changes nothing.
            Ok(event) if event.kind.is_access() => false,
            Ok(event) if event.paths.is_empty() || event.need_rescan() => true,
            Ok(event) => {
                let way = self.way();
                event.paths.iter().any(|path| way.concerns(path))
            }
            // It may hide a change.
            Err(_) => true,
        }
    }

    /// Tells of a change: one message at a time, however fast the folder changes.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            (self.changed)();
        }
    }
}

impl FolderWatch {
    /// Starts to watch; `changed` is called on another thread.
    ///
    /// # Errors
    /// If the path is none. A system that cannot watch is no error.
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
            told: AtomicBool::default(),
            way: Mutex::default(),
        });
        let seen = Arc::clone(&shared);
        let watcher = ask_system.then(|| {
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if seen.concerns(&event) {
                    seen.tell();
                }
            })
        });
        let means = match watcher {
            Some(Ok(watcher)) => Means::System {
                watcher,
                watched: Vec::new(),
            },
            Some(Err(error)) => poll(&folder, &shared, &error.to_string()),
            None => poll(&folder, &shared, "not asked for"),
        };
        let mut watch = Self {
            folder,
            means,
            shared,
        };
        watch.rearm();
        Ok(watch)
    }

    /// Lets the next change be told; to be called when one has been heard.
    pub(super) fn heard(&self) {
        self.shared.told.store(false, Ordering::Release);
    }

    /// Whether a change has been told since one was heard.
    pub(super) fn told(&self) -> bool {
        self.shared.told.load(Ordering::Acquire)
    }

    /// Watches what exists by now. A watch follows a folder's identity, not
    /// its path, so it is laid anew after every change.
    pub(super) fn rearm(&mut self) {
        let Means::System { watcher, watched } = &mut self.means else {
            return;
        };
        for folder in watched.drain(..) {
            let _ = watcher.unwatch(&folder);
        }
        // What comes to be before its watch is laid is seen in the next round.
        let mut laid = None;
        for _ in 0..MAX_LAYINGS {
            let way = Way::to(&self.folder);
            if laid.as_ref() == Some(&way) {
                return;
            }
            self.shared.way().clone_from(&way);
            for folder in &way.watched {
                if watched.contains(folder) {
                    continue;
                }
                match watcher.watch(folder, RecursiveMode::NonRecursive) {
                    Ok(()) => watched.push(folder.to_owned()),
                    Err(error) if folder.exists() => {
                        self.means = poll(&self.folder, &self.shared, &error.to_string());
                        return;
                    }
                    Err(_) => {}
                }
            }
            laid = Some(way);
        }
    }
}

/// Looks at the folder from time to time.
fn poll(folder: &Path, shared: &Arc<Shared>, reason: &str) -> Means {
    let seconds = POLL_EVERY.as_secs();
    tracing::warn!(
        reason,
        folder = %folder.display(),
        "the system cannot watch the folder of vectors: it is looked at every {seconds} s"
    );
    let (stop, stopped) = mpsc::channel();
    let (own, shared) = (folder.to_owned(), Arc::clone(shared));
    let mut last = look(&own);
    let looking = move || {
        while stopped.recv_timeout(POLL_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            let now = look(&own);
            if now != last {
                last = now;
                shared.tell();
            }
        }
    };
    let thread = std::thread::Builder::new().name("elpis-vectors".to_owned());
    match thread.spawn(looking) {
        Ok(_) => Means::Polling { _stop: stop },
        Err(error) => {
            tracing::warn!(%error, "changes of the folder of vectors are not noticed");
            Means::Nothing
        }
    }
}

/// All that changes with the vectors or the way to them.
fn look(folder: &Path) -> (Way, Stamp) {
    let way = Way::to(folder);
    let stamp = Stamp::of(&way.end);
    (way, stamp)
}

impl std::fmt::Debug for FolderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watched = match &self.means {
            Means::System { watched, .. } => watched.as_slice(),
            Means::Polling { .. } | Means::Nothing => &[],
        };
        f.debug_struct("FolderWatch")
            .field("folder", &self.folder)
            .field("watched", &watched)
            .finish_non_exhaustive()
    }
}

/// The way from the root to a folder, as far as it exists.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Way {
    /// Where it leads: the folder, behind all links.
    end: PathBuf,
    /// Whether the folder is there.
    found: bool,
    /// Every folder and link on it, and the first thing that is missing.
    parts: Vec<PathBuf>,
    /// The folders in which a change may be one of the way: the end, its
    /// parent, and each that holds a link or should hold what is missing.
    watched: Vec<PathBuf>,
}

impl Way {
    fn to(folder: &Path) -> Self {
        let mut way = Self::default();
        let mut links = 0;
        let mut rest: Vec<OsString> = Vec::new();
        push_parts(&mut rest, folder);
        while let Some(part) = rest.pop() {
            match Path::new(&part).components().next() {
                Some(Component::ParentDir) => {
                    way.end.pop();
                    continue;
                }
                Some(Component::Normal(_)) => {}
                Some(Component::CurDir) | None => continue,
                Some(Component::RootDir | Component::Prefix(_)) => {
                    way.end.push(&part);
                    continue;
                }
            }
            let next = way.end.join(&part);
            way.parts.push(next.clone());
            match std::fs::read_link(&next) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    way.watch_end();
                    push_parts(&mut rest, &target);
                }
                _ if next.is_dir() => way.end = next,
                // It is noticed when it comes.
                _ => {
                    way.watch_end();
                    return way;
                }
            }
        }
        let end = way.end.clone();
        way.end.pop();
        way.watch_end();
        way.end = end;
        way.watch_end();
        way.found = true;
        way
    }

    fn watch_end(&mut self) {
        if !self.watched.contains(&self.end) {
            self.watched.push(self.end.clone());
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        let inside = self.found && path.parent() == Some(&self.end);
        inside || self.parts.iter().any(|part| part == path)
    }
}

/// Puts a path's parts on a stack, the first on top.
fn push_parts(stack: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    stack.extend(parts.map(|part| part.as_os_str().to_owned()));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// The folder without the links that lead to temporary files.
    fn root(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().canonicalize().unwrap()
    }

    #[test]
    fn the_way_ends_at_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(&folder);
        let way = Way::to(&root.join("a/b/vectors"));
        assert!(!way.found);
        assert_eq!(way.watched, std::slice::from_ref(&root));
        assert_eq!(way.parts.last(), Some(&root.join("a")));
        assert!(way.concerns(&root.join("a")) && way.concerns(&root));
        assert!(!way.concerns(&root.join("b")) && !way.concerns(&root.join("a/b")));

        std::fs::create_dir_all(root.join("a/b/vectors")).unwrap();
        let way = Way::to(&root.join("a/./b/../b/vectors"));
        assert!(way.found);
        assert_eq!(way.watched, [root.join("a/b"), root.join("a/b/vectors")]);
        for (path, concerns) in [
            ("a/b/vectors", true),
            ("a/b/vectors/calm.pt", true),
            ("a/b/vectors/..data", true),
            ("a/b", true),
            ("a", true),
            ("a/b/moods.db-wal", false),
            ("a/b/vectors/..1/calm.pt", false),
            ("c", false),
        ] {
            assert_eq!(way.concerns(&root.join(path)), concerns, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn every_link_on_the_way_is_watched_where_it_stands() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let root = root(&folder);
        std::fs::create_dir_all(root.join("releases/1/vectors")).unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        symlink(root.join("current"), root.join("live")).unwrap();
        let way = Way::to(&root.join("live/vectors"));
        let end = root.join("releases/1/vectors");
        assert_eq!(way.end, end);
        assert_eq!(way.watched, [root.clone(), root.join("releases/1"), end]);
        for part in ["live", "current", "releases", "releases/1"] {
            assert!(way.concerns(&root.join(part)), "{part}");
        }
        assert!(!way.concerns(&root.join("releases/2")));

        symlink("loop", root.join("loop")).unwrap();
        assert!(!Way::to(&root.join("loop/vectors")).found);
    }

    #[test]
    fn what_happens_beside_the_folder_is_not_told() {
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
        assert!(!watch.told());
        std::fs::write(vectors.join("calm.pt"), "new").unwrap();
        told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(watch.told());
        watch.heard();
        assert!(!watch.told() || told.recv_timeout(Duration::from_secs(20)).is_ok());
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
                .unwrap_or_else(|_| panic!("deed {number}"));
            watch.heard();
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
