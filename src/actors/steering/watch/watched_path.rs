//! The path to a folder, with its links resolved.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Maximum number of symbolic links followed on the path to the folder, as in operating systems.
const MAX_LINKS: usize = 40;

/// The path from the root to a folder, as far as it exists, with all links resolved.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct WatchedPath {
    /// The folder behind all links.
    pub(super) end: PathBuf,
    /// Whether the folder exists.
    pub(super) found: bool,
    /// Every folder and link on the path, and the first missing component.
    pub(super) parts: Vec<PathBuf>,
    /// The folders in which a change may affect the path: the target, its parent, each folder that
    /// contains a link, and the one that should contain the missing component.
    pub(super) watched: Vec<PathBuf>,
}

impl WatchedPath {
    pub(super) fn to(folder: &Path) -> Self {
        let mut watched_path = Self::default();
        let mut links = 0;
        let mut rest: Vec<OsString> = Vec::new();
        push_parts(&mut rest, folder);
        while let Some(part) = rest.pop() {
            match Path::new(&part).components().next() {
                Some(Component::ParentDir) => {
                    watched_path.end.pop();
                    continue;
                }
                Some(Component::Normal(_)) => {}
                Some(Component::CurDir) | None => continue,
                Some(Component::RootDir | Component::Prefix(_)) => {
                    watched_path.end.push(&part);
                    continue;
                }
            }
            let next = watched_path.end.join(&part);
            watched_path.parts.push(next.clone());
            match std::fs::read_link(&next) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    watched_path.watch_end();
                    push_parts(&mut rest, &target);
                }
                _ if next.is_dir() => watched_path.end = next,
                // The missing component is noticed when it appears.
                _ => {
                    watched_path.watch_end();
                    return watched_path;
                }
            }
        }
        let end = watched_path.end.clone();
        watched_path.end.pop();
        watched_path.watch_end();
        watched_path.end = end;
        watched_path.watch_end();
        watched_path.found = true;
        watched_path
    }

    fn watch_end(&mut self) {
        if !self.watched.contains(&self.end) {
            self.watched.push(self.end.clone());
        }
    }

    pub(super) fn concerns(&self, path: &Path) -> bool {
        let inside = self.found && path.parent() == Some(&self.end);
        inside || self.parts.iter().any(|part| part == path)
    }
}

/// Pushes a path's components onto a stack, the first on top.
fn push_parts(stack: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    stack.extend(parts.map(|part| part.as_os_str().to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder without the links that lead to temporary files.
    fn root(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().canonicalize().unwrap()
    }

    #[test]
    fn the_way_ends_at_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = root(&folder);
        let watched_path = WatchedPath::to(&root.join("a/b/vectors"));
        assert!(!watched_path.found);
        assert_eq!(watched_path.watched, std::slice::from_ref(&root));
        assert_eq!(watched_path.parts.last(), Some(&root.join("a")));
        assert!(watched_path.concerns(&root.join("a")) && watched_path.concerns(&root));
        assert!(
            !watched_path.concerns(&root.join("b")) && !watched_path.concerns(&root.join("a/b"))
        );

        std::fs::create_dir_all(root.join("a/b/vectors")).unwrap();
        let watched_path = WatchedPath::to(&root.join("a/./b/../b/vectors"));
        assert!(watched_path.found);
        assert_eq!(
            watched_path.watched,
            [root.join("a/b"), root.join("a/b/vectors")]
        );
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
            assert_eq!(watched_path.concerns(&root.join(path)), concerns, "{path}");
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
        let watched_path = WatchedPath::to(&root.join("live/vectors"));
        let end = root.join("releases/1/vectors");
        assert_eq!(watched_path.end, end);
        assert_eq!(
            watched_path.watched,
            [root.clone(), root.join("releases/1"), end]
        );
        for part in ["live", "current", "releases", "releases/1"] {
            assert!(watched_path.concerns(&root.join(part)), "{part}");
        }
        assert!(!watched_path.concerns(&root.join("releases/2")));

        symlink("loop", root.join("loop")).unwrap();
        assert!(!WatchedPath::to(&root.join("loop/vectors")).found);
    }
}
