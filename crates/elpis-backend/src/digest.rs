//! A digest of a model's weights, which distinguishes models of the same shape.

use std::io::{self, Read, Seek, SeekFrom};

/// Number of samples of a file.
const SAMPLES: u64 = 1024;
/// Size of a sample, in bytes.
const SAMPLE_BYTES: u64 = 1024;
/// Number of bytes that are read at the beginning, where a GGUF file has its metadata.
const HEAD: u64 = 64 * 1024;

/// A digest of samples of a model's files. It takes milliseconds, because the files have just been
/// read and are cached.
///
/// Retraining or reconverting a model changes numbers nearly everywhere. Files that differ in a
/// hundredth of their bytes get different digests in all but one of 30,000 cases, if the
/// differences are spread out. Changes of only a few small tensors, such as norms, can be missed in
/// a large file; files of up to 1 MiB are read completely.
#[derive(Debug, Default)]
pub struct WeightsDigest {
    hasher: blake3::Hasher,
}

impl WeightsDigest {
    /// Adds another file. The order of files matters.
    ///
    /// # Errors
    /// The I/O error of reading the file.
    pub fn add(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        let length = file.seek(SeekFrom::End(0))?;
        self.hasher.update(&length.to_le_bytes());
        let mut sample = Vec::with_capacity(SAMPLE_BYTES as usize);
        for (start, length) in samples(length) {
            file.seek(SeekFrom::Start(start))?;
            sample.clear();
            file.take(length).read_to_end(&mut sample)?;
            self.hasher.update(&sample);
        }
        Ok(())
    }

    /// The digest: 32 hexadecimal digits of BLAKE3.
    pub fn finish(self) -> String {
        let hex = self.hasher.finalize().to_hex();
        hex.chars().take(32).collect()
    }
}

/// The samples of a file as starts and lengths: the head, then samples spread evenly to the end.
fn samples(length: u64) -> impl Iterator<Item = (u64, u64)> {
    let (head, count) = if length <= SAMPLES * SAMPLE_BYTES {
        (length, 0)
    } else {
        (HEAD, SAMPLES)
    };
    let room = u128::from((length - head).saturating_sub(SAMPLE_BYTES));
    let spread = (1..=count).map(move |index| {
        let start = room * u128::from(index) / u128::from(SAMPLES);
        (head + start as u64, SAMPLE_BYTES)
    });
    std::iter::once((0, head)).chain(spread)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn digest(files: &[&[u8]]) -> String {
        let mut digest = WeightsDigest::default();
        for file in files {
            digest.add(&mut Cursor::new(file)).unwrap();
        }
        digest.finish()
    }

    #[test]
    fn samples_lie_within_the_file_and_reach_both_ends() {
        let whole = SAMPLES * SAMPLE_BYTES;
        for length in [0, 1, whole - 1, whole, whole + 1, 1 << 33, u64::MAX] {
            let all: Vec<_> = samples(length).collect();
            let (first, last) = (all[0], all[all.len() - 1]);
            assert_eq!(first.0, 0);
            assert_eq!(last.0 + last.1, length, "{length}");
            assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "{length}");
            let read: u64 = all.iter().map(|sample| sample.1).sum();
            let most = if length > whole { HEAD + whole } else { length };
            assert_eq!(read, most, "{length}");
        }
    }

    #[test]
    fn every_byte_of_a_small_file_counts() {
        let file = vec![7; 5000];
        let same = digest(&[&file]);
        assert_eq!(same.len(), 32);
        assert_eq!(digest(&[&file]), same);
        for at in [0, 1, 2500, 4999] {
            let mut other = file.clone();
            other[at] ^= 1;
            assert_ne!(digest(&[&other]), same, "{at}");
        }
        assert_ne!(digest(&[&file[1..]]), same);
        assert_ne!(digest(&[&file, &[]]), same);
        assert_ne!(digest(&[&file[..9], &file[9..]]), same);
    }

    #[test]
    fn a_change_of_a_hundredth_of_a_large_file_is_seen() {
        let length = 20_000_000;
        let file = vec![7; length];
        let same = digest(&[&file]);
        for start in (0..length - length / 100).step_by(length / 7) {
            let mut other = file.clone();
            other[start..start + length / 100].fill(8);
            assert_ne!(digest(&[&other]), same, "{start}");
        }
    }
}
