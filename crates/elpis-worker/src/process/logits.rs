//! Shared memory: the worker writes logits into it, the runtime samples from it, and nothing is
//! copied through a connection.
//!
//! It is an unnamed file, so nothing is left behind when the processes end, and no other process
//! can open it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::frame::invalid;

/// Rows of logits in shared memory.
#[derive(Debug)]
pub(super) struct SharedLogits {
    file: File,
    map: Option<MmapRaw>,
    rows: usize,
    n_vocab: usize,
}

/// Creates the empty file.
pub(super) fn create() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("elpis-logits", flags)?;
        // The peer must not be able to shrink mapped memory.
        fcntl_add_seals(&file, SealFlags::SHRINK)?;
        Ok(file.into())
    }
    #[cfg(not(target_os = "linux"))]
    tempfile::tempfile()
}

impl SharedLogits {
    pub(super) fn new(file: File, n_vocab: usize) -> Self {
        Self {
            file,
            map: None,
            rows: 0,
            n_vocab,
        }
    }

    /// Number of rows that fit.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes room for rows; called by the runtime.
    pub(super) fn grow(&mut self, rows: usize) -> io::Result<()> {
        if rows <= self.rows {
            return Ok(());
        }
        self.file.set_len(self.bytes(rows)? as u64)?;
        self.see(rows)
    }

    /// Maps the room that the peer has made.
    pub(super) fn see(&mut self, rows: usize) -> io::Result<()> {
        if rows == self.rows {
            return Ok(());
        }
        let bytes = self.bytes(rows)?;
        // Access beyond the file's end would be a bus error.
        if self.file.metadata()?.len() < bytes as u64 {
            return Err(invalid("the shared memory is smaller than announced"));
        }
        self.map = Some(MmapOptions::new().len(bytes).map_raw(&self.file)?);
        self.rows = rows;
        Ok(())
    }

    fn bytes(&self, rows: usize) -> io::Result<usize> {
        let bytes = self
            .n_vocab
            .checked_mul(4)
            .and_then(|b| b.checked_mul(rows));
        bytes
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| invalid("the logits have no possible size"))
    }

    /// Copies the first rows as they are now. Returns `false` if there are fewer.
    #[expect(clippy::cast_ptr_alignment, reason = "a map begins on a page")]
    pub(super) fn copy_rows(&self, rows: usize, to: &mut Vec<f32>) -> bool {
        to.clear();
        if rows == 0 {
            return true;
        }
        let Some(map) = self.map.as_ref().filter(|_| rows <= self.rows) else {
            return false;
        };
        let start = map.as_mut_ptr().cast::<u32>();
        let numbers = (0..rows * self.n_vocab).map(|index| {
            // SAFETY: the map has `self.rows * n_vocab` numbers of four bytes, and
            // begins on a page, so each is aligned. This process only ever reads
            // them like this, and atomically, because the worker may write to them
            // at any time. Every pattern of bits is a float.
            let number = unsafe { AtomicU32::from_ptr(start.add(index)) };
            f32::from_bits(number.load(Ordering::Relaxed))
        });
        to.extend(numbers);
        true
    }

    /// Writes a row. Returns `false` if there is no such row or the length differs.
    pub(super) fn write(&mut self, row: usize, logits: &[f32]) -> bool {
        let Some(start) = self.start(row) else {
            return false;
        };
        if logits.len() != self.n_vocab {
            return false;
        }
        // SAFETY: `start` has `n_vocab` floats behind it, aligned because a map
        // begins on a page. The logits lie in memory of this process alone, so the
        // two do not overlap, and the runtime reads only when the batch is done.
        unsafe { std::ptr::copy_nonoverlapping(logits.as_ptr(), start, logits.len()) };
        true
    }

    /// Where a row begins.
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "a map begins on a page, and rows are whole floats"
    )]
    fn start(&self, row: usize) -> Option<*mut f32> {
        let map = self.map.as_ref().filter(|_| row < self.rows)?;
        // SAFETY: the map has `rows * n_vocab` floats and `row < rows`.
        Some(unsafe { map.as_mut_ptr().cast::<f32>().add(row * self.n_vocab) })
    }
}
