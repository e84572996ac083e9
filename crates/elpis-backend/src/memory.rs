//! The memory that this process may use.

use std::path::{Path, PathBuf};

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemMemory {
    /// Memory that this process can still allocate, given the machine and its control groups. The
    /// page cache counts as available, because the system can reclaim it.
    pub available: u64,
    /// The machine's memory, or the part of it that this process may use.
    pub total: u64,
}

impl SystemMemory {
    /// Queries Linux; `None` on other systems.
    pub fn look() -> Option<Self> {
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = Group::all_of(&groups).filter_map(|group| group.memory());
        Some(group.fold(Self::read(&meminfo)?, Self::within))
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

    fn within(self, group: Self) -> Self {
        Self {
            available: self.available.min(group.available),
            total: self.total.min(group.total),
        }
    }

    /// Whether there is ample room for a copy of this many bytes: twice as much is left for the
    /// key–value cache, stored cached sequences and other processes.
    pub fn has_room_for(self, bytes: u64) -> bool {
        bytes <= self.available / 3
    }
}

/// The files of a version of control groups.
struct Version {
    /// Extracts the group's path from a line of `/proc/self/cgroup`.
    mark: fn(&str) -> Option<&str>,
    root: &'static str,
    limits: &'static [&'static str],
    usage: &'static str,
    /// The parts of the usage that are page cache, which can be reclaimed.
    files: [&'static str; 2],
}

const VERSIONS: [Version; 2] = [
    Version {
        mark: |line| line.strip_prefix("0::/"),
        root: "/sys/fs/cgroup",
        limits: &["memory.max", "memory.high"],
        usage: "memory.current",
        files: ["inactive_file ", "active_file "],
    },
    Version {
        // Several controllers may be mounted as one: `4:cpu,memory:/path`.
        mark: |line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(":/")?;
            let mut controllers = controllers.split(',');
            controllers.any(|name| name == "memory").then_some(path)
        },
        root: "/sys/fs/cgroup/memory",
        limits: &["memory.limit_in_bytes"],
        usage: "memory.usage_in_bytes",
        files: ["total_inactive_file ", "total_active_file "],
    },
];

/// A control group.
struct Group {
    folder: PathBuf,
    version: &'static Version,
}

impl Group {
    /// The groups of a process and all their ancestors. In a container the path may be that of the
    /// host; the root is then the container's own group.
    fn all_of(groups: &str) -> impl Iterator<Item = Self> {
        VERSIONS.iter().flat_map(move |version| {
            let path = groups.lines().find_map(version.mark);
            let root = Path::new(version.root);
            let own = path.map(|path| root.join(path));
            let above = own.iter().flat_map(|own| own.ancestors());
            let folders: Vec<_> = above
                .take_while(|folder| folder.starts_with(root))
                .map(Path::to_owned)
                .collect();
            folders
                .into_iter()
                .map(move |folder| Self { folder, version })
        })
    }

    /// Its limit and the memory left, if it has a limit.
    fn memory(&self) -> Option<SystemMemory> {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).ok();
        let limits = self.version.limits.iter().filter_map(|name| read(name));
        let limit = limits.filter_map(|text| text.trim().parse().ok()).min()?;
        let usage = read(self.version.usage)?;
        let stat = read("memory.stat").unwrap_or_default();
        below(limit, &usage, &stat, self.version.files)
    }
}

fn below(limit: u64, usage: &str, stat: &str, files: [&str; 2]) -> Option<SystemMemory> {
    let usage: u64 = usage.trim().parse().ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    let files: u64 = files.into_iter().filter_map(bytes).sum();
    Some(SystemMemory {
        available: limit.saturating_sub(usage.saturating_sub(files)),
        total: limit,
    })
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
    fn pages_of_files_are_no_use_of_a_group() {
        let left = |usage, stat| {
            let memory = below(100, usage, stat, VERSIONS[0].files).unwrap();
            (memory.available, memory.total)
        };
        let stat = "anon 5\ninactive_file 20\nactive_file 10\n";
        assert_eq!(left("50\n", stat), (80, 100));
        assert_eq!(left("150\n", ""), (0, 100));
        assert_eq!(below(100, "max", stat, VERSIONS[0].files), None);
    }

    #[test]
    fn groups_of_both_versions_are_found() {
        let folders = |groups: &str| -> Vec<String> {
            let folder = |group: Group| group.folder.display().to_string();
            Group::all_of(groups).map(folder).collect()
        };
        assert_eq!(
            folders("0::/system.slice/companion.service\n"),
            [
                "/sys/fs/cgroup/system.slice/companion.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup",
            ]
        );
        let first = "12:cpuset:/\n4:cpu,memory:/docker/1f\n1:name=systemd:/docker/2f\n";
        assert_eq!(
            folders(first),
            [
                "/sys/fs/cgroup/memory/docker/1f",
                "/sys/fs/cgroup/memory/docker",
                "/sys/fs/cgroup/memory",
            ]
        );
        assert!(folders("").is_empty());
    }

    #[test]
    fn a_group_without_a_limit_limits_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let group = Group {
            folder: folder.path().to_owned(),
            version: &VERSIONS[0],
        };
        file("memory.max", "max\n");
        file("memory.current", "50\n");
        assert_eq!(group.memory(), None);
        file("memory.high", "80\n");
        assert_eq!(group.memory().map(|memory| memory.available), Some(30));
        let machine = SystemMemory {
            available: 40,
            total: 60,
        };
        let both = machine.within(group.memory().unwrap());
        assert_eq!((both.available, both.total), (30, 60));
    }

    #[test]
    fn a_copy_fits_if_twice_as_much_is_left_over() {
        let memory = SystemMemory {
            available: 1200,
            total: 1600,
        };
        assert!(memory.has_room_for(400));
        assert!(!memory.has_room_for(401));
    }
}
