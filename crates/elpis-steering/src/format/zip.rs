//! The part of the zip format that `torch.save` and `numpy.savez` use: entries without encryption,
//! stored or deflated (PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16).
//!
//! It has its own reader so that stored entries are returned without a copy, and allocations are
//! bounded whatever the directory declares.

use std::borrow::Cow;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::{FormatError, shown, within};
use elpis_files::cursor::Cursor;

const WHAT: &str = "the zip archive";
const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const MAX_ENTRIES: u64 = 4096;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Maximum ratio of inflated to file size. Numbers hardly compress, so a file with a higher ratio,
/// apart from rows of zeros, is not a file of vectors.
const MAX_RATIO: u64 = 16;
const MAX_INFLATED: u64 = 4 << 20;
/// `torch.save` starts the data of each entry at a multiple of this.
const ALIGNMENT: usize = 64;

/// Which entries are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// Only stored ones, as `torch.save` writes them.
    Stored,
    /// Deflated ones too.
    Deflated,
}

struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    method: u16,
    /// Inflated size in bytes.
    size: u64,
    start: usize,
    crc: u32,
}

/// The entries of a zip archive, borrowed from its bytes.
pub(super) struct Archive<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Archive<'a> {
    pub(super) fn read(bytes: &'a [u8], allowed: Entries) -> Result<Self, FormatError> {
        let (count, offset) = directory(bytes)?;
        within("number of zip entries", u64::from(count), MAX_ENTRIES)?;
        let mut cursor = Cursor::at(WHAT, bytes, u64::from(offset))?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(entry(bytes, &mut cursor, allowed)?);
        }
        // Overlapping entries would let a small file cost the time of a large one.
        entries.sort_unstable_by_key(|entry| entry.start);
        for pair in entries.windows(2) {
            if let [a, b] = pair
                && a.start.saturating_add(a.data.len()) > b.start
            {
                return Err(FormatError::malformed(
                    WHAT,
                    format!(
                        "entries {:?} and {:?} overlap",
                        shown(a.name),
                        shown(b.name)
                    ),
                ));
            }
        }
        entries.sort_unstable_by_key(|entry| entry.name);
        for pair in entries.windows(2) {
            if let [a, b] = pair
                && a.name == b.name
            {
                return Err(FormatError::malformed(
                    WHAT,
                    format!("entry {:?} occurs twice", shown(a.name)),
                ));
            }
        }
        let mut inflated = 0_u64;
        for entry in &entries {
            if entry.method == STORED {
                entry.check(entry.data)?;
            } else {
                inflated = inflated.saturating_add(entry.size);
            }
        }
        let limit = (bytes.len() as u64)
            .saturating_mul(MAX_RATIO)
            .saturating_add(MAX_INFLATED);
        within("bytes of the inflated entries", inflated, limit)?;
        Ok(Self { entries })
    }

    /// The data of a stored entry.
    pub(super) fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.entries
            .binary_search_by_key(&name, |entry| entry.name)
            .ok()
            .and_then(|index| self.entries.get(index))
            .filter(|entry| entry.method == STORED)
            .map(|entry| entry.data)
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The data of an entry by its index among the names, inflated if necessary.
    pub(super) fn data(&self, index: usize) -> Result<Cow<'a, [u8]>, FormatError> {
        let entry = self
            .entries
            .get(index)
            .ok_or_else(|| FormatError::malformed(WHAT, "an entry is missing"))?;
        if entry.method == STORED {
            return Ok(Cow::Borrowed(entry.data));
        }
        let size = usize::try_from(entry.size).unwrap_or(usize::MAX);
        let data = decompress_to_vec_with_limit(entry.data, size)
            .ok()
            .filter(|data| data.len() == size)
            .ok_or_else(|| {
                FormatError::malformed(
                    WHAT,
                    format!("entry {:?} does not inflate to its size", shown(entry.name)),
                )
            })?;
        entry.check(&data)?;
        Ok(Cow::Owned(data))
    }

    /// The only entry whose name has this suffix: the rest of its name, and its data.
    pub(super) fn find_suffix(&self, suffix: &str) -> Result<(&'a str, &'a [u8]), FormatError> {
        let mut found = self
            .entries
            .iter()
            .filter_map(|entry| Some((entry.name.strip_suffix(suffix)?, entry.data)));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(FormatError::malformed(
                WHAT,
                "there is no data.pkl, so torch.save did not write it",
            )),
            (Some(_), Some(_)) => Err(FormatError::malformed(WHAT, "data.pkl occurs twice")),
        }
    }
}

impl Entry<'_> {
    fn check(&self, data: &[u8]) -> Result<(), FormatError> {
        if crc32fast::hash(data) == self.crc {
            return Ok(());
        }
        Err(FormatError::malformed(
            WHAT,
            format!("the checksum of entry {:?} is wrong", shown(self.name)),
        ))
    }
}

/// Count of entries and offset of the central directory.
fn directory(bytes: &[u8]) -> Result<(u16, u32), FormatError> {
    // The end record is the last thing, but for a comment of at most 65,535 bytes.
    let newest = bytes.len().saturating_sub(END_BYTES);
    let oldest = newest.saturating_sub(usize::from(u16::MAX));
    for start in (oldest..=newest).rev() {
        let mut end = Cursor::at(WHAT, bytes, start as u64)?;
        if end.u32().ok() != Some(END) {
            continue;
        }
        let (disk, first_disk) = (end.u16()?, end.u16()?);
        let (here, count) = (end.u16()?, end.u16()?);
        let (_size, offset) = (end.u32()?, end.u32()?);
        let comment = end.u16()?;
        if end.take(u64::from(comment)).is_err() {
            continue;
        }
        if disk != 0 || first_disk != 0 || here != count {
            return Err(FormatError::malformed(WHAT, "it has several parts"));
        }
        if count == u16::MAX || offset == u32::MAX {
            return Err(FormatError::malformed(
                WHAT,
                "its directory is 64-bit, a steering vector is far smaller",
            ));
        }
        return Ok((count, offset));
    }
    Err(FormatError::malformed(
        WHAT,
        "the end of its directory is missing: the file is cut off or not a zip archive",
    ))
}

/// Reads one record of the central directory and finds its data.
fn entry<'a>(
    bytes: &'a [u8],
    cursor: &mut Cursor<'a>,
    allowed: Entries,
) -> Result<Entry<'a>, FormatError> {
    if cursor.u32()? != CENTRAL {
        return Err(FormatError::malformed(WHAT, "a directory record is broken"));
    }
    cursor.take(4)?; // versions
    let flags = cursor.u16()?;
    let method = cursor.u16()?;
    cursor.take(4)?; // time and date
    let crc = cursor.u32()?;
    let (compressed, size) = (cursor.u32()?, cursor.u32()?);
    let (name, extra, comment) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    cursor.take(8)?; // disk and attributes
    let header = cursor.u32()?;
    let name = cursor.text(u64::from(name))?;
    cursor.take(u64::from(extra) + u64::from(comment))?;

    let readable = match method {
        STORED => compressed == size,
        DEFLATED => allowed == Entries::Deflated,
        _ => false,
    };
    if flags & 1 != 0 || !readable {
        let writer = match allowed {
            Entries::Stored => "stored as torch.save does",
            Entries::Deflated => "stored or deflated as numpy does",
        };
        return Err(FormatError::malformed(
            WHAT,
            format!(
                "entry {:?} is compressed or encrypted, must be {writer}",
                shown(name)
            ),
        ));
    }
    let mut local = Cursor::at(WHAT, bytes, u64::from(header))?;
    if local.u32()? != LOCAL {
        return Err(FormatError::malformed(
            WHAT,
            format!("entry {:?} does not stand where it should", shown(name)),
        ));
    }
    local.take(22)?;
    let (local_name, local_extra) = (local.u16()?, local.u16()?);
    local.take(u64::from(local_name) + u64::from(local_extra))?;
    let start = local.position();
    Ok(Entry {
        name,
        data: local.take(u64::from(compressed))?,
        method,
        size: u64::from(size),
        start,
        crc,
    })
}

/// Writes stored entries, each aligned as `torch.save` aligns them.
pub(super) struct Writer {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            directory: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn add(&mut self, name: &str, data: &[u8]) -> Result<(), FormatError> {
        let header = offset(self.bytes.len())?;
        let size = offset(data.len())?;
        // The extra field "FB" is PyTorch's padding: two bytes of id, two of length, then filling.
        let unpadded = self.bytes.len() + 30 + name.len() + 4;
        let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;

        let mut common = Vec::with_capacity(26);
        common.extend(0_u16.to_le_bytes()); // flags
        common.extend(0_u16.to_le_bytes()); // stored
        common.extend(0_u16.to_le_bytes()); // time
        common.extend(0x0021_u16.to_le_bytes()); // date: 1980-01-01
        common.extend(crc32fast::hash(data).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());

        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend(20_u16.to_le_bytes());
        self.bytes.extend(&common);
        self.bytes.extend((padding as u16 + 4).to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b"FB");
        self.bytes.extend((padding as u16).to_le_bytes());
        self.bytes.extend(std::iter::repeat_n(b'Z', padding));
        self.bytes.extend(data);

        self.directory.extend(CENTRAL.to_le_bytes());
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(&common);
        // Extra field, comment, disk, two kinds of attributes.
        self.directory.extend([0; 12]);
        self.directory.extend(header.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let start = offset(self.bytes.len())?;
        let size = offset(self.directory.len())?;
        self.bytes.extend(&self.directory);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

/// A size or position that the 32-bit fields can hold.
fn offset(value: usize) -> Result<u32, FormatError> {
    u32::try_from(value)
        .ok()
        .filter(|&value| value < u32::MAX)
        .ok_or(FormatError::LimitExceeded {
            what: "bytes of the archive",
            value: value as u64,
            limit: u64::from(u32::MAX) - 1,
        })
}
