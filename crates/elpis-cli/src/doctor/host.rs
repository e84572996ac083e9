//! Facts about the machine and the environment, read once.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use elpis::backend::memory::SystemMemory;
use elpis::hub::Hub;
use elpis::settings::{ModelSource, Settings};
use elpis_worker::environment;

/// A GPU vendor whose driver can be detected without its toolkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Gpu {
    Nvidia,
    Amd,
}

impl Gpu {
    /// The cargo feature that uses it.
    pub(super) const fn feature(self) -> &'static str {
        match self {
            Self::Nvidia => "cuda",
            Self::Amd => "rocm",
        }
    }

    /// Whether llama.cpp can use it in this build.
    pub(super) const fn built(self) -> bool {
        match self {
            Self::Nvidia => cfg!(any(feature = "cuda", feature = "vulkan")),
            Self::Amd => cfg!(any(feature = "rocm", feature = "vulkan")),
        }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
        })
    }
}

/// The kind of file system that a file is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Disk {
    /// A local disk, or unknown.
    #[default]
    Local,
    /// A memory file system.
    Memory,
    /// A network file system.
    Network,
}

/// Facts about the store that can be read without opening it.
#[derive(Debug, Clone, Default)]
pub(super) struct StorePlace {
    pub(super) disk: Disk,
    /// Free space of the file system for this user, in bytes.
    pub(super) free: Option<u64>,
    /// Current size of the file, in bytes.
    pub(super) size: u64,
}

/// Facts from outside the program; `None` where a fact cannot be determined.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// GPUs with drivers that this process can access.
    pub(super) gpus: Vec<Gpu>,
    pub(super) spin_count: Option<String>,
    pub(super) wait_policy: Option<String>,
    /// Memory available before the model was loaded, in bytes.
    pub(super) memory: Option<u64>,
    /// Size of the model's file in bytes.
    pub(super) weights: Option<u64>,
    pub(super) store: Option<StorePlace>,
    /// Whether the configured vectors folder exists; `None` if none is configured.
    pub(super) vectors_folder: Option<bool>,
    /// The Hub's address, if the model comes from there and a token goes with it unencrypted.
    pub(super) plain_token_endpoint: Option<String>,
}

impl Host {
    /// Reads the facts from the system.
    pub(super) fn look(settings: &Settings) -> Self {
        let variable = |name| std::env::var(name).ok();
        let model = settings.model_source().ok();
        Self {
            gpus: drivers(),
            spin_count: variable(environment::SPIN_COUNT),
            wait_policy: variable("OMP_WAIT_POLICY"),
            memory: SystemMemory::look().map(|memory| memory.available),
            plain_token_endpoint: Self::token_in_the_clear(settings),
            weights: match model {
                Some(ModelSource::File(path)) => {
                    std::fs::metadata(path).ok().map(|file| file.len())
                }
                _ => None,
            },
            store: settings.store.path.as_deref().map(store_place),
            vectors_folder: settings
                .model
                .emotion_vectors_dir
                .as_deref()
                .map(Path::is_dir),
        }
    }

    /// The Hub's address, if the model comes from there and a token goes with it unencrypted.
    pub(super) fn token_in_the_clear(settings: &Settings) -> Option<String> {
        match settings.model_source() {
            Ok(ModelSource::Hub { .. }) => Hub::new().plain_token_endpoint(),
            _ => None,
        }
    }
}

/// Drivers' devices as shown by Linux; in a container, those passed to it.
fn drivers() -> Vec<Gpu> {
    let mut found = Vec::new();
    if (0..16).any(|index| Path::new(&format!("/dev/nvidia{index}")).exists()) {
        found.push(Gpu::Nvidia);
    }
    if Path::new("/dev/kfd").exists() {
        found.push(Gpu::Amd);
    }
    found
}

fn store_place(file: &Path) -> StorePlace {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    StorePlace {
        disk: disk_of(folder),
        free: free_on(folder),
        size: std::fs::metadata(file).map_or(0, |file| file.len()),
    }
}

#[cfg(unix)]
fn free_on(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_on(_: &Path) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn disk_of(folder: &Path) -> Disk {
    // From linux/magic.h and the file systems' own headers.
    const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6]; // tmpfs, ramfs
    const NETWORK: [u32; 6] = [
        0x0000_6969, // NFS
        0x0000_517b, // SMB
        0xfe53_4d42, // SMB 2
        0xff53_4d42, // CIFS
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
    ];
    let Ok(found) = rustix::fs::statfs(folder) else {
        return Disk::Local;
    };
    let kind = found.f_type as u32;
    if MEMORY.contains(&kind) {
        Disk::Memory
    } else if NETWORK.contains(&kind) {
        Disk::Network
    } else {
        Disk::Local
    }
}

#[cfg(not(target_os = "linux"))]
fn disk_of(_: &Path) -> Disk {
    Disk::Local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_place_of_a_store_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("moods.db");
        std::fs::write(&file, [0; 100]).unwrap();
        let place = store_place(&file);
        assert_eq!(place.size, 100);
        assert!(place.free.is_some());
        assert_eq!(disk_of(Path::new("/proc/no-such-folder")), Disk::Local);
    }
}
