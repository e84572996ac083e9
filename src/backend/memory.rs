//! The machine's memory, as far as this process may use it.

use std::path::Path;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SystemMemory {
    /// What this process can still take, of the machine and of its control
    /// groups. What the system keeps of files counts, since it gives that up.
    pub(crate) available: u64,
    /// What the machine has.
    pub(crate) total: u64,
}

impl SystemMemory {
    /// Asks Linux; other systems are not asked.
    pub(crate) fn look() -> Option<Self> {
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let machine = Self::read(&meminfo)?;
        let group = group_memory().unwrap_or(u64::MAX);
        Some(Self {
            available: machine.available.min(group),
            ..machine
        })
    }

    fn read(meminfo: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self {
            available: bytes("MemAvailable:")?,
            total: bytes("MemTotal:")?,
        })
    }

    /// Whether a copy of so many bytes costs nobody anything: as much again is
    /// left over, for what is computed with it and for a second copy beside the
    /// first, when an engine is replaced that hangs.
    #[cfg(feature = "llama-cpp")]
    pub(crate) fn has_room_for(self, bytes: u64) -> bool {
        bytes <= self.available / 2
    }
}

/// The least that a control group (version 2) of this process, or one above it, has left.
fn group_memory() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    root.join(path)
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
            group_left(
                &read("memory.max")?,
                &read("memory.current")?,
                &read("memory.stat").unwrap_or_default(),
            )
        })
        .min()
}

/// What is left below a limit; pages of files can be given back.
fn group_left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?; // Otherwise it says `max`.
    let current: u64 = current.trim().parse().ok()?;
    let files: u64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "))
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0);
    Some(max.saturating_sub(current.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let meminfo = "MemTotal:       32 kB\nMemFree: 1 kB\nMemAvailable:    20 kB\n";
        let memory = SystemMemory::read(meminfo).unwrap();
        assert_eq!((memory.available, memory.total), (20 * 1024, 32 * 1024));
        assert_eq!(SystemMemory::read("MemFree: 1 kB\n"), None);
        assert_eq!(SystemMemory::look().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn a_group_without_a_limit_limits_nothing() {
        let stat = "anon 5\ninactive_file 30\n";
        assert_eq!(group_left("max\n", "50\n", stat), None);
        assert_eq!(group_left("100\n", "50\n", stat), Some(80));
        assert_eq!(group_left("100\n", "150\n", ""), Some(0));
    }

    #[cfg(feature = "llama-cpp")]
    #[test]
    fn a_copy_fits_if_as_much_is_left_over() {
        let memory = SystemMemory {
            available: 800,
            total: 1600,
        };
        assert!(memory.has_room_for(400));
        assert!(!memory.has_room_for(401));
    }
}
