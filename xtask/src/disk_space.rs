//! Free space on the disk of the target folder.

use std::path::Path;

const GIGABYTE: u64 = 1_000_000_000;
/// The size of a new target folder after a full run, incremental files included.
const FULL_RUN: u64 = 19 * GIGABYTE;
/// With less free space than this, it is the likely cause of a failed linker.
const NEARLY_FULL: u64 = GIGABYTE / 2;

/// A note before the first run, which creates `own_folder`.
pub fn note(own_folder: &Path) -> Option<String> {
    let (free, folder) = free(own_folder)?;
    (free < FULL_RUN && !own_folder.exists()).then(|| {
        format!(
            "{} free in {folder}; a run of everything takes {}",
            size(free),
            size(FULL_RUN)
        )
    })
}

/// A likely reason for a failure, with a leading comma.
pub fn hint(target: &Path) -> String {
    match free(target) {
        Some((free, folder)) if free < NEARLY_FULL => {
            format!(", with only {} free in {folder}", size(free))
        }
        _ => String::new(),
    }
}

/// Bytes that can be written below a folder, which need not exist yet.
fn free(target: &Path) -> Option<(u64, String)> {
    let folder = target.ancestors().find(|folder| folder.is_dir())?;
    let free = fs4::available_space(folder).ok()?;
    Some((free, folder.display().to_string()))
}

fn size(bytes: u64) -> String {
    if bytes < GIGABYTE {
        format!("{} MB", bytes / 1_000_000)
    } else {
        format!("{:.1} GB", bytes as f64 / GIGABYTE as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_lies_in_one_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, found) = free(&folder.path().join("not/there")).unwrap();
        assert!(bytes > 0);
        assert_eq!(found, folder.path().display().to_string());
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(12_300_000), "12 MB");
        assert_eq!(size(17_950_000_000), "17.9 GB");
    }
}
