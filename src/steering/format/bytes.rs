//! Reading little-endian values from a slice, every length checked.

use super::FormatError;

/// A position in bytes that only moves within them.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// `what` names the part in errors.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            bytes,
            position: 0,
        }
    }

    /// A cursor that starts further on.
    pub(super) fn at(
        what: &'static str,
        bytes: &'a [u8],
        position: u64,
    ) -> Result<Self, FormatError> {
        let mut cursor = Self::new(what, bytes);
        cursor.take(position)?;
        Ok(cursor)
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], FormatError> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.position.checked_add(count));
        let taken = end.and_then(|end| Some((end, self.bytes.get(self.position..end)?)));
        match taken {
            Some((end, taken)) => {
                self.position = end;
                Ok(taken)
            }
            None => Err(FormatError::Truncated {
                what: self.what,
                offset: self.position,
                needed: count,
                available: self.bytes.len().saturating_sub(self.position),
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, FormatError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn text(&mut self, length: u64) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| FormatError::malformed(self.what, "text is not UTF-8"))
    }

    /// Text up to a line feed, which is consumed.
    pub(super) fn line(&mut self) -> Result<&'a str, FormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()) as u64;
        let line = self.text(length)?;
        self.take(1)?;
        Ok(line)
    }
}
