//! Exclusive ownership of a store's file.
//!
//! The owner holds a lock on `<file>.lock`, which keeps out other processes that use the same name.
//! Because a file may have other names through links, or the lock file may be removed while it is
//! held, the owner also holds a lock on the database itself. SQLite's own locks there are POSIX
//! record locks, which a process loses as soon as it closes any descriptor of the file. Therefore
//! all stores of a process share one descriptor, which stays open until the last of them is closed.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::faults::Faults;
use crate::StoreError;

/// A store's claim on a file. It must be dropped after its connections.
#[derive(Debug)]
pub(super) struct Claim {
    #[cfg(unix)]
    _inside: inside::Claim,
    /// Released last.
    _beside: Option<Beside>,
}

impl Claim {
    /// Claims a file for reading; another store may own it.
    pub(super) fn read(
        #[cfg_attr(not(unix), expect(unused_variables))] path: &Path,
        #[cfg_attr(not(unix), expect(unused_variables))] faults: &Faults,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            #[cfg(unix)]
            _inside: inside::Claim::read(path, faults)?,
            _beside: None,
        })
    }

    /// Claims a file as its owner, and creates it if it does not exist.
    pub(super) fn own(path: &Path, faults: &Faults) -> Result<Self, StoreError> {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut beside = real.into_os_string();
        beside.push(".lock");
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        let beside = options.open(beside).map_err(|error| faults.io(&error))?;
        lock(&beside, faults)?;
        Ok(Self {
            #[cfg(unix)]
            _inside: inside::Claim::own(path, faults)?,
            _beside: Some(Beside(beside)),
        })
    }
}

/// The lock next to the database.
#[derive(Debug)]
struct Beside(File);

impl Drop for Beside {
    fn drop(&mut self) {
        // Closing is not enough: a child process holds a copy of the descriptor, and with it the
        // lock, from its fork until it runs its own program. If unlocking fails, the lock ends when
        // all copies are closed.
        let _ = self.0.unlock();
    }
}

fn lock(file: &File, faults: &Faults) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(faults.in_use()),
        Err(TryLockError::Error(error)) => Err(faults.io(&error)),
    }
}

#[cfg(unix)]
mod inside {
    use std::collections::BTreeMap;
    use std::fs::{File, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::{Faults, Path, StoreError, lock};

    /// Device and inode of a file.
    type Key = (u64, u64);

    /// The state that the stores of this process share for a file.
    #[derive(Debug, Default)]
    struct Shared {
        users: usize,
        is_owned: bool,
        file: Option<File>,
    }

    static FILES: Mutex<BTreeMap<Key, Shared>> = Mutex::new(BTreeMap::new());

    fn files() -> MutexGuard<'static, BTreeMap<Key, Shared>> {
        FILES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(file: &Metadata) -> Key {
        (file.dev(), file.ino())
    }

    /// A store's claim on a database.
    #[derive(Debug)]
    pub(in super::super) struct Claim {
        key: Key,
        is_owner: bool,
    }

    impl Claim {
        /// Claims a file for reading; another store may own it.
        pub(in super::super) fn read(path: &Path, faults: &Faults) -> Result<Self, StoreError> {
            let found = std::fs::metadata(path).map_err(|error| faults.io(&error))?;
            let key = key(&found);
            files().entry(key).or_default().users += 1;
            let is_owner = false;
            Ok(Self { key, is_owner })
        }

        /// Claims a file as its owner, and creates it if it does not exist.
        pub(in super::super) fn own(path: &Path, faults: &Faults) -> Result<Self, StoreError> {
            let mut files = files();
            let known = std::fs::metadata(path).ok().map(|found| key(&found));
            let open = known
                .and_then(|key| files.get(&key))
                .is_some_and(|shared| shared.file.is_some());
            let opened = if open {
                None
            } else {
                let mut options = File::options();
                let options = options.create(true).truncate(false).read(true).write(true);
                Some(options.open(path).map_err(|error| faults.io(&error))?)
            };
            let key = match &opened {
                Some(file) => key(&file.metadata().map_err(|error| faults.io(&error))?),
                None => known.unwrap_or_default(),
            };
            let shared = files.entry(key).or_default();
            if shared.file.is_none() {
                shared.file = opened;
            }
            let locked = match &shared.file {
                _ if shared.is_owned => Err(faults.in_use()),
                Some(file) => lock(file, faults),
                None => Ok(()),
            };
            shared.users += 1;
            shared.is_owned |= locked.is_ok();
            drop(files);
            // If it was not locked, dropping the claim undoes the rest.
            let is_owner = locked.is_ok();
            let claim = Self { key, is_owner };
            locked.map(|()| claim)
        }
    }

    impl Drop for Claim {
        fn drop(&mut self) {
            let mut files = files();
            let Some(shared) = files.get_mut(&self.key) else {
                return;
            };
            shared.users -= 1;
            if self.is_owner {
                shared.is_owned = false;
                if let Some(file) = &shared.file {
                    // If unlocking fails, the lock ends when the file is closed.
                    let _ = file.unlock();
                }
            }
            if shared.users == 0 {
                files.remove(&self.key);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_released_store_is_free_though_a_descriptor_was_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db.lock");
        let faults = Faults::of(&path);
        let open = || File::create(&path).unwrap();
        let first = Beside(open());
        lock(&first.0, &faults).unwrap();
        let inherited = first.0.try_clone().unwrap();
        let second = open();
        assert!(matches!(
            lock(&second, &faults),
            Err(StoreError::InUse { .. })
        ));
        drop(first);
        lock(&second, &faults).unwrap();
        drop(inherited);
    }
}
