//! `NumPy` arrays, from `.npy` files and from pickles alike.

use super::array::{Array, Bytes, Element, MAX_DIMENSIONS, Number, elements};
use super::contents::Entry;
use super::{FormatError, shown, within};

/// Maximum number of metadata numbers or texts, such as layers and emotions.
const MAX_LISTED: u64 = 4096;

/// A type of elements, as `numpy.dtype.str` spells it: order of bytes, kind, size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DType {
    big_endian: bool,
    kind: u8,
    /// Bytes of an element; characters of a text.
    size: u64,
}

impl DType {
    /// Reads `<f4`, `>i8`, `|S5`, `f2`; `None` for other types than numbers and texts.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (order, rest) = match text.as_bytes() {
            [order @ (b'<' | b'>' | b'=' | b'|'), rest @ ..] => (*order, rest),
            rest => (b'=', rest),
        };
        let [kind, digits @ ..] = rest else {
            return None;
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
        b"fiubUS".contains(kind).then_some(())?;
        Some(Self {
            big_endian: Self::is_big(order)?,
            kind: *kind,
            size,
        })
    }

    /// The same type in another order of bytes, as a pickle states it.
    pub(super) fn in_order(self, order: &str) -> Option<Self> {
        let [order] = order.as_bytes() else {
            return None;
        };
        Some(Self {
            big_endian: Self::is_big(*order)?,
            ..self
        })
    }

    fn is_big(order: u8) -> Option<bool> {
        match order {
            b'<' | b'|' => Some(false),
            b'>' => Some(true),
            b'=' => Some(cfg!(target_endian = "big")),
            _ => None,
        }
    }

    fn element(self) -> Option<Element> {
        let number = match (self.kind, self.size) {
            (b'f', 2) => Number::F16,
            (b'f', 4) => Number::F32,
            (b'f', 8) => Number::F64,
            _ => return None,
        };
        Some(Element {
            number,
            big_endian: self.big_endian,
        })
    }

    /// Bytes of one element.
    fn bytes(self) -> Option<u64> {
        match self.kind {
            b'U' => self.size.checked_mul(4),
            _ => Some(self.size),
        }
    }

    fn name(self) -> String {
        let kind = match self.kind {
            b'f' => "float",
            b'i' => "int",
            b'u' => "uint",
            b'b' => "bool",
            _ => "text of ",
        };
        match self.kind {
            b'f' | b'i' | b'u' => format!("numpy {kind}{}", self.size.saturating_mul(8)),
            b'b' => "numpy bool".to_owned(),
            _ => format!("numpy {kind}{} characters", self.size),
        }
    }
}

/// Interprets an array: numbers of a vector, or metadata.
pub(super) fn entry<'a>(
    name: &str,
    dtype: DType,
    shape: Vec<u64>,
    fortran: bool,
    bytes: Bytes<'a>,
) -> Result<Entry<'a>, FormatError> {
    within(
        "dimensions of an array",
        shape.len() as u64,
        MAX_DIMENSIONS as u64,
    )?;
    if let Some(element) = dtype.element() {
        return Array::packed(name, shape, element, bytes, fortran).map(Entry::Array);
    }
    let size = dtype.bytes().filter(|&size| size > 0);
    let count = elements(&shape).unwrap_or(u64::MAX);
    if size.is_none() || size.and_then(|size| size.checked_mul(count)) != bytes.count() {
        return Err(FormatError::malformed(
            "an array",
            format!(
                "{:?} of {} has other bytes than its shape {shape:?} needs",
                shown(name),
                dtype.name()
            ),
        ));
    }
    let unsupported = || FormatError::UnsupportedType {
        tensor: shown(name),
        dtype: dtype.name(),
    };
    // Metadata is at most a one-dimensional list; anything longer is not metadata.
    if count > MAX_LISTED || shape.len() > 1 {
        return Err(unsupported());
    }
    let mut raw = Vec::new();
    bytes.append_to(&mut raw);
    let chunks = raw.chunks_exact(size.unwrap_or(1) as usize);
    match dtype.kind {
        b'i' | b'u' | b'b' => Ok(Entry::Integers {
            values: chunks
                .map(|chunk| integer(chunk, dtype))
                .collect::<Option<_>>()
                .ok_or_else(unsupported)?,
            dtype: dtype.name(),
        }),
        _ => Ok(Entry::Texts(
            chunks
                .map(|chunk| text(chunk, dtype))
                .collect::<Option<_>>()
                .ok_or_else(unsupported)?,
        )),
    }
}

fn integer(bytes: &[u8], dtype: DType) -> Option<i64> {
    let mut wide = [0_u8; 8];
    let at_end = |wide: &mut [u8; 8], bytes: &[u8]| -> Option<()> {
        wide.get_mut(8_usize.checked_sub(bytes.len())?..)?
            .copy_from_slice(bytes);
        Some(())
    };
    let mut ordered = bytes.to_vec();
    if !dtype.big_endian {
        ordered.reverse();
    }
    let negative = dtype.kind == b'i' && ordered.first().is_some_and(|&high| high >= 0x80);
    if negative {
        wide = [0xFF; 8];
    }
    at_end(&mut wide, &ordered)?;
    match dtype.kind {
        b'i' => Some(i64::from_be_bytes(wide)),
        _ => i64::try_from(u64::from_be_bytes(wide)).ok(),
    }
}

fn text(bytes: &[u8], dtype: DType) -> Option<String> {
    let text = if dtype.kind == b'U' {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&chunk| {
                let code = if dtype.big_endian {
                    u32::from_be_bytes(chunk)
                } else {
                    u32::from_le_bytes(chunk)
                };
                char::from_u32(code)
            })
            .collect::<Option<String>>()?
    } else {
        std::str::from_utf8(bytes).ok()?.to_owned()
    };
    // NumPy fills short texts up with zeros.
    Some(text.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_texts_are_read_in_either_order() {
        let of = |dtype: &str, bytes: &[u8]| integer(bytes, DType::of(dtype).unwrap());
        assert_eq!(of("<i8", &(-3_i64).to_le_bytes()), Some(-3));
        assert_eq!(of(">i2", &(-3_i16).to_be_bytes()), Some(-3));
        assert_eq!(of("|u1", &[255]), Some(255));
        assert_eq!(of("|i1", &[255]), Some(-1));
        assert_eq!(of("<u8", &u64::MAX.to_le_bytes()), None);
        assert_eq!(of("|b1", &[1]), Some(1));
        let utf32: Vec<u8> = "joy\0"
            .chars()
            .flat_map(|c| (c as u32).to_be_bytes())
            .collect();
        assert_eq!(text(&utf32, DType::of(">U4").unwrap()).unwrap(), "joy");
        assert_eq!(text(b"joy\0\0", DType::of("|S5").unwrap()).unwrap(), "joy");
        assert_eq!(text(&[0, 0, 0xD8, 0], DType::of("<U1").unwrap()), None);
        for odd in [
            "",
            "<",
            "<f",
            "O8",
            "|O",
            "<V2",
            "f4x",
            "<c8",
            "<m8[ns]",
            "<f99999999999999999999",
        ] {
            assert_eq!(DType::of(odd), None, "{odd}");
        }
    }
}
