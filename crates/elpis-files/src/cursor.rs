//! Reads little-endian values from a slice, with every length checked.

use thiserror::Error;

/// Errors of reading.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CursorError {
    #[error("{what} at byte {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        what: &'static str,
        offset: usize,
        needed: u64,
        available: usize,
    },
    #[error("{what} is malformed: text is not UTF-8")]
    NotUtf8 { what: &'static str },
}

/// A position within bytes, which never leaves them.
#[derive(Clone)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// `what` names the part in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            bytes,
            position: 0,
        }
    }

    /// A cursor that starts further on.
    pub fn at(what: &'static str, bytes: &'a [u8], position: u64) -> Result<Self, CursorError> {
        let mut cursor = Self::new(what, bytes);
        cursor.take(position)?;
        Ok(cursor)
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn take(&mut self, count: u64) -> Result<&'a [u8], CursorError> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.position.checked_add(count));
        let taken = end.and_then(|end| Some((end, self.bytes.get(self.position..end)?)));
        match taken {
            Some((end, taken)) => {
                self.position = end;
                Ok(taken)
            }
            None => Err(CursorError::Truncated {
                what: self.what,
                offset: self.position,
                needed: count,
                available: self.bytes.len().saturating_sub(self.position),
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, CursorError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, CursorError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, CursorError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, CursorError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, CursorError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn text(&mut self, length: u64) -> Result<&'a str, CursorError> {
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| CursorError::NotUtf8 { what: self.what })
    }

    /// The rest of the bytes.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Text up to a line feed, which is consumed.
    pub fn line(&mut self) -> Result<&'a str, CursorError> {
        let rest = self.rest();
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()) as u64;
        let line = self.text(length)?;
        self.take(1)?;
        Ok(line)
    }
}
