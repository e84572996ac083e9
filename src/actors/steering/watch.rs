//! Noticing changes of the folder of vectors.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Most links followed on the way to the folder, as systems do.
const MOST_LINKS: usize = 40;

/// Most times that watches are laid because the way changed meanwhile.
const MOST_LAYINGS: usize = 8;

/// Watches a folder, so that one that appears later, is replaced, or lies
/// behind a link that is switched over is noticed too. What else happens
/// beside it does not count.
pub(super) struct FolderWatch {
    watcher: RecommendedWatcher,
    folder: PathBuf,
    watched: Vec<PathBuf>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
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
}

impl FolderWatch {
    /// Starts to watch; `changed` is called on another thread.
    pub(super) fn start(
        folder: &Path,
        changed: impl Fn() + Send + 'static,
    ) -> notify::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // One message at a time, however fast the folder changes.
            if seen.concerns(&event) && !seen.told.swap(true, Ordering::AcqRel) {
                changed();
            }
        })?;
        let mut watch = Self {
            watcher,
            folder,
            watched: Vec::new(),
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
        for folder in self.watched.drain(..) {
            let _ = self.watcher.unwatch(&folder);
        }
        // What comes to be before its watch is laid is seen in the next round.
        let mut laid = None;
        for _ in 0..MOST_LAYINGS {
            let way = Way::to(&self.folder);
            if laid.as_ref() == Some(&way) {
                return;
            }
            self.shared.way().clone_from(&way);
            for folder in &way.watched {
                if !self.watched.contains(folder) {
                    self.lay(folder);
                }
            }
            laid = Some(way);
        }
    }

    fn lay(&mut self, folder: &Path) {
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched.push(folder.to_owned()),
            Err(error) if folder.exists() => {
                tracing::warn!(%error, folder = %folder.display(), "cannot watch");
            }
            Err(_) => {}
        }
    }
}

impl std::fmt::Debug for FolderWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderWatch")
            .field("folder", &self.folder)
            .field("watched", &self.watched)
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
                Ok(target) if links < MOST_LINKS => {
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
}
