//! Writes a set of vectors so that it appears in its folder atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CliError, Failure, replace};
use elpis::internal::vectors::is_library_file;
use elpis::steering::LibraryFile;

/// Name of the new set in the temporary folder and, after the exchange, of the old one.
const SET: &str = "set";
const ASIDE: &str = "aside";

/// A complete set that is not yet in its place. Dropping it leaves the place unchanged.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: TempDir,
    folder: PathBuf,
}

impl Staged {
    /// Creates a temporary folder next to the target. Fails if the set could not be moved there
    /// later.
    pub(super) fn beside(folder: &Path) -> Result<Self, Failure> {
        let cannot = CliError::unwritable(folder);
        // For a link, its target is exchanged and the link stays.
        let folder = match folder.canonicalize() {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::path::absolute(folder).map_err(&cannot)?
            }
            Err(error) => return Err(cannot(error).into()),
        };
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        if here.is_ok_and(|here| here.starts_with(&folder)) {
            return Err(format!(
                "cannot write {}: the set is exchanged as a whole, which would take the working directory \
                 away; run this from elsewhere",
                folder.display()
            )
            .into());
        }
        let parent = folder.parent().unwrap_or(&folder).to_owned();
        let cannot = CliError::unwritable(&parent);
        fs::create_dir_all(&parent).map_err(&cannot)?;
        #[cfg(unix)]
        check_mount(&folder, &parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(".elpis-")
            .tempdir_in(&parent)
            .map_err(&cannot)?;
        fs::create_dir(temporary.path().join(SET)).map_err(&cannot)?;
        Ok(Self { temporary, folder })
    }

    /// Writes the set, and keeps other files of the folder: only vectors and the manifest are
    /// replaced.
    pub(super) fn write(&self, files: &[LibraryFile]) -> Result<(), Failure> {
        let cannot = CliError::unwritable(self.temporary.path());
        self.fill(files).map_err(&cannot)?;
        Ok(())
    }

    fn fill(&self, files: &[LibraryFile]) -> io::Result<()> {
        let set = self.temporary.path().join(SET);
        for file in files {
            replace(&set.join(&file.name), &file.bytes)?;
        }
        if self.folder.exists() {
            let old = fs::metadata(&self.folder)?;
            fs::set_permissions(&set, old.permissions())?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt;
                // Only root may change the owner.
                let _ = std::os::unix::fs::chown(&set, Some(old.uid()), Some(old.gid()));
            }
            // Hard links keep these files available at all times. Folders cannot be linked and are
            // moved after the exchange.
            for (name, path) in others(&self.folder)? {
                if !fs::symlink_metadata(&path)?.is_dir() {
                    let _ = fs::hard_link(&path, set.join(name));
                }
            }
        }
        sync(&set)
    }

    /// Moves the set into its place in one step. If that fails, the set is kept and the error tells
    /// where; the same applies to other files that could not be moved back.
    pub(super) fn publish(self) -> Result<(), Failure> {
        let exchanged = self.exchange();
        let (kept, error) = match exchanged {
            Ok(()) => match self.bring_back() {
                Ok(()) => return Ok(()),
                Err(error) => (
                    "the new set is in place, other files of the folder are in",
                    error,
                ),
            },
            Err(error) => ("the new set is in", error),
        };
        let Self { temporary, folder } = self;
        let place = temporary.keep().join(SET);
        Err(format!(
            "cannot write {}: {error}; {kept} {}",
            folder.display(),
            place.display()
        )
        .into())
    }

    fn exchange(&self) -> io::Result<()> {
        let set = self.temporary.path().join(SET);
        if self.folder.exists() {
            self.swap(&set)
        } else {
            fs::rename(&set, &self.folder)
        }
    }

    /// Moves back files that do not belong to a set.
    fn bring_back(&self) -> io::Result<()> {
        // The old set is here now, if there was one.
        let set = self.temporary.path().join(SET);
        if !set.exists() {
            return sync(self.folder.parent().unwrap_or(&self.folder));
        }
        for (name, path) in others(&set)? {
            let new = self.folder.join(name);
            if fs::symlink_metadata(&new).is_err() {
                fs::rename(&path, &new)?;
            }
        }
        sync(self.folder.parent().unwrap_or(&self.folder))
    }

    /// Exchanges the folder and the set.
    fn swap(&self, set: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, set, CWD, &self.folder, RenameFlags::EXCHANGE) {
                // Not every file system supports this.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                result => return Ok(result?),
            }
        }
        self.swap_by_turns(set)
    }

    /// Exchanges them in two steps; for a moment there is no folder.
    fn swap_by_turns(&self, set: &Path) -> io::Result<()> {
        let aside = self.temporary.path().join(ASIDE);
        fs::rename(&self.folder, &aside)?;
        if let Err(error) = fs::rename(set, &self.folder) {
            fs::rename(&aside, &self.folder)?;
            return Err(error);
        }
        fs::rename(&aside, set)
    }
}

/// Refuses a mount point, which cannot be exchanged for a folder next to it.
#[cfg(unix)]
fn check_mount(folder: &Path, parent: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;

    let of = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    match (of(folder), of(parent)) {
        (Ok(own), Ok(parent)) if own != parent => Err(format!(
            "cannot write {}: a file system is mounted there; name a folder below it",
            folder.display()
        )
        .into()),
        _ => Ok(()),
    }
}

/// Files of a folder that do not belong to a set, by name and path.
fn others(folder: &Path) -> io::Result<Vec<(std::ffi::OsString, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let of_set = name.to_str().is_some_and(is_library_file);
        if !of_set || entry.file_type()?.is_dir() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Syncs a folder, so that its entries survive a power failure.
fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::internal::vectors::read_folder;
    use elpis::steering::{
        LibraryContext, SteeringLibrary, SteeringVector, VectorFormat, write as to_bytes,
    };

    const OLD: [&str; 3] = ["calm", "excited", "shy"];
    const NEW: [&str; 2] = ["calm", "excited"];

    /// A set whose vectors are filled with a number.
    fn set(emotions: &[&str], format: VectorFormat, value: f32) -> Vec<LibraryFile> {
        let mut manifest = String::from("layer = 1\n");
        let mut files = Vec::new();
        for emotion in emotions {
            let vector = SteeringVector::layered([(1, vec![value; 4])].into()).unwrap();
            files.push(LibraryFile {
                name: format!("{emotion}.{}", format.extension()),
                bytes: to_bytes(format, &vector).unwrap(),
            });
            if *emotion == "shy" {
                manifest += "[emotions.shy]\nvalence = 0.0\narousal = -0.5\n";
            }
        }
        files.push(LibraryFile {
            name: "vectors.toml".to_owned(),
            bytes: manifest.into_bytes(),
        });
        files
    }

    fn staged(folder: &Path, files: &[LibraryFile]) -> Staged {
        let staged = Staged::beside(folder).unwrap();
        staged.write(files).unwrap();
        staged
    }

    /// The emotions of the library in a folder, all of which have one vector.
    fn loaded(folder: &Path, value: f32) -> Vec<String> {
        let files = read_folder(folder).unwrap();
        let vectors = files.iter().filter(|file| file.name != "vectors.toml");
        for LibraryFile { name, bytes } in vectors {
            let format = VectorFormat::from_extension(name.rsplit('.').next().unwrap()).unwrap();
            let vector = elpis::steering::parse(format, bytes).unwrap();
            assert_eq!(vector.row(1).unwrap(), [value; 4], "{name}");
        }
        let library = SteeringLibrary::build(files, &LibraryContext::new(3, 4)).unwrap();
        library.emotions().map(|e| e.name.clone()).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_new_set_takes_the_whole_place_of_an_old_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/set");
        let old = set(&OLD, VectorFormat::Gguf, 1.0);
        staged(&folder, &old).publish().unwrap();
        assert_eq!(loaded(&folder, 1.0), OLD);
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        fs::create_dir(folder.join("older.pt")).unwrap();
        fs::write(folder.join("older.pt/calm.pt"), "kept").unwrap();

        let new = set(&NEW, VectorFormat::Safetensors, 2.0);
        staged(&folder, &new).publish().unwrap();
        assert_eq!(loaded(&folder, 2.0), NEW);
        assert_eq!(
            names(&folder),
            [
                "calm.safetensors",
                "excited.safetensors",
                "notes.txt",
                "older.pt",
                "vectors.toml"
            ]
        );
        assert_eq!(
            fs::read_to_string(folder.join("notes.txt")).unwrap(),
            "mine"
        );
        let kept = fs::read_to_string(folder.join("older.pt/calm.pt"));
        assert_eq!(kept.unwrap(), "kept");
        assert_eq!(names(&parent.path().join("deep")), ["set"]);
    }

    #[test]
    fn what_is_interrupted_leaves_the_old_set_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("set");
        staged(&folder, &set(&OLD, VectorFormat::Pt, 1.0))
            .publish()
            .unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let before = names(&folder);
        let new = set(&NEW, VectorFormat::Pt, 2.0);
        // Before anything is written, after a part, and after all of it.
        for written in 0..=new.len() {
            let staged = staged(&folder, &new[..written]);
            assert_eq!(loaded(&folder, 1.0), OLD);
            drop(staged);
            assert_eq!(loaded(&folder, 1.0), OLD);
            assert_eq!(names(&folder), before);
            assert_eq!(names(parent.path()), ["set"]);
        }
    }

    #[test]
    fn sets_change_places_by_turns_where_they_cannot_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("set");
        staged(&folder, &set(&OLD, VectorFormat::Pt, 1.0))
            .publish()
            .unwrap();
        let new = staged(&folder, &set(&NEW, VectorFormat::Pt, 2.0));
        let set = new.temporary.path().join(SET);
        new.swap_by_turns(&set).unwrap();
        assert_eq!(
            (loaded(&folder, 2.0), loaded(&set, 1.0)),
            (
                NEW.map(String::from).to_vec(),
                OLD.map(String::from).to_vec()
            )
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, link) = (parent.path().join("set"), parent.path().join("link"));
        staged(&folder, &set(&OLD, VectorFormat::Pt, 1.0))
            .publish()
            .unwrap();
        std::os::unix::fs::symlink("set", &link).unwrap();
        staged(&link, &set(&NEW, VectorFormat::Pt, 2.0))
            .publish()
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(loaded(&folder, 2.0), NEW);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_once() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "").unwrap();
        let error = Staged::beside(&parent.path().join("file/set")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
    }
}
