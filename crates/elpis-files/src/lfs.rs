//! Git LFS pointers: small texts in a repository in place of a large file that was never downloaded
//! (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).

/// The beginning of every pointer.
const BEGINNING: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Maximum length of a pointer according to its specification.
const MAX_BYTES: usize = 1024;

/// A pointer in place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LfsPointer {
    /// The file's size in bytes, if the pointer has it.
    pub size: Option<u64>,
}

impl LfsPointer {
    /// Parses a file's bytes; `None` if they are not a pointer.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_prefix(BEGINNING)?;
        let text = text.get(..MAX_BYTES).unwrap_or(text);
        let size = text
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(b"size "))
            .and_then(|size| std::str::from_utf8(size).ok()?.trim_end().parse().ok());
        Some(Self { size })
    }
}

/// The name of a pointer in errors.
impl std::fmt::Display for LfsPointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a Git LFS pointer, not the file itself")?;
        match self.size {
            Some(size) => write!(f, ", which has {size} bytes"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_known_by_their_beginning() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\n\
            oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
            size 62914560\n";
        let found = LfsPointer::of(pointer).unwrap();
        assert_eq!(found.size, Some(62_914_560));
        assert!(found.to_string().contains("which has 62914560 bytes"));
        let windows = b"version https://git-lfs.github.com/spec/v1\r\nsize 7\r\n";
        assert_eq!(LfsPointer::of(windows).unwrap().size, Some(7));
        for odd in [&b"size 99999999999999999999999\n"[..], b"size -1\n", b""] {
            let bytes = [BEGINNING, b"v1\n", odd].concat();
            assert_eq!(LfsPointer::of(&bytes), Some(LfsPointer { size: None }));
        }
        assert_eq!(LfsPointer::of(b"version 1\nsize 7\n"), None);
        assert_eq!(LfsPointer::of(b""), None);
    }
}
