//! `.npy`: a magic number, a header that is a Python dict in text, and one array
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::borrow::Cow;

use super::array::{Bytes, MAX_DIMENSIONS};
use super::contents::{Contents, Entry};
use super::numpy::{self, DType};
use super::{FormatError, VectorFile, arrays, shown, within};
use crate::vector::SteeringVector;
use elpis_files::cursor::Cursor;

const WHAT: &str = "the npy header";
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// `NumPy` itself reads no longer one without being told to.
const MAX_HEADER_BYTES: u64 = 10_000;
const ALIGNMENT: usize = 64;

pub(super) fn parse(bytes: &[u8]) -> Result<VectorFile, FormatError> {
    let mut contents = Contents::default();
    contents.add_whole(read("the file", Cow::Borrowed(bytes))?)?;
    contents.finish()
}

/// Reads one array.
pub(super) fn read<'a>(name: &str, bytes: Cow<'a, [u8]>) -> Result<Entry<'a>, FormatError> {
    let mut cursor = Cursor::new(WHAT, &bytes);
    if cursor.take(6)? != MAGIC {
        return Err(FormatError::malformed(
            WHAT,
            format!("{:?} does not begin with \\x93NUMPY", shown(name)),
        ));
    }
    let (major, _minor) = (cursor.u8()?, cursor.u8()?);
    let length = match major {
        1 => u64::from(cursor.u16()?),
        2 | 3 => u64::from(cursor.u32()?),
        other => {
            return Err(FormatError::malformed(
                WHAT,
                format!("version is {other}, must be 1, 2 or 3"),
            ));
        }
    };
    within("the npy header's length", length, MAX_HEADER_BYTES)?;
    let header = Header::parse(cursor.text(length)?)?;
    let dtype = DType::of(&header.descr).ok_or_else(|| FormatError::UnsupportedType {
        tensor: shown(name),
        dtype: format!("numpy {}", shown(&header.descr)),
    })?;
    let start = cursor.position();
    let data = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.drain(..start);
            Cow::Owned(bytes)
        }
    };
    numpy::entry(
        name,
        dtype,
        header.shape,
        header.fortran,
        Bytes::Plain(data),
    )
}

#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Result<Self, FormatError> {
        let broken = |reason: &str| FormatError::malformed(WHAT, reason);
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut rest = text
            .trim()
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .ok_or_else(|| broken("it is not a dict"))?
            .trim_start();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(|| broken("a key is not text"))?;
            let value = after
                .trim_start()
                .strip_prefix(':')
                .ok_or_else(|| broken("a key has no value"))?
                .trim_start();
            let after = match key {
                "descr" => match quoted(value) {
                    Some((text, after)) => {
                        descr = Some(text.to_owned());
                        after
                    }
                    None => return Err(broken("descr is no plain type, records are not read")),
                },
                "fortran_order" => {
                    let word = value.split([',', ' ']).next().unwrap_or_default();
                    fortran = match word {
                        "True" => Some(true),
                        "False" => Some(false),
                        _ => return Err(broken("fortran_order is not True or False")),
                    };
                    value.get(word.len()..).unwrap_or_default()
                }
                "shape" => {
                    let (sizes, after) = value
                        .strip_prefix('(')
                        .and_then(|value| value.split_once(')'))
                        .ok_or_else(|| broken("shape is not a tuple"))?;
                    shape = Some(sizes_of(sizes).ok_or_else(|| broken("shape is not of sizes"))?);
                    after
                }
                _ => return Err(broken("it has an unknown key")),
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if after.is_empty() => after,
                None => return Err(broken("a comma is missing")),
            };
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Self {
                descr,
                fortran,
                shape,
            }),
            _ => Err(broken("descr, fortran_order or shape is missing")),
        }
    }
}

/// A text in quotes, without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (text, after) = text.get(1..)?.split_once(quote)?;
    (!text.contains('\\')).then_some((text, after))
}

fn sizes_of(text: &str) -> Option<Vec<u64>> {
    let mut sizes = Vec::new();
    for size in text.split(',').map(str::trim) {
        // Behind the last comma.
        if size.is_empty() {
            continue;
        }
        // Python 2 wrote long integers so.
        let digits = size.strip_suffix('L').unwrap_or(size);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        sizes.push(digits.parse().ok()?);
        if sizes.len() > MAX_DIMENSIONS {
            return None;
        }
    }
    Some(sizes)
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    match arrays(vector).as_slice() {
        [(None, shape, values)] => Ok(array(shape, values)),
        _ => Err(FormatError::NoNames),
    }
}

/// The bytes of an array of f32.
pub(super) fn array(shape: &[usize], values: &[u8]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one has a comma too.
    let sizes = sizes.join(", ");
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes},), }}");
    // The data begins at a multiple of 64, the header ends with a line feed.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut out = Vec::with_capacity(unpadded + padding + values.len());
    out.extend(MAGIC);
    out.extend([1, 0]);
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(values);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let header = |descr: &str, fortran, shape: &[u64]| Header {
            descr: descr.to_owned(),
            fortran,
            shape: shape.to_vec(),
        };
        for (text, expected) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
                header("<f4", false, &[3, 4]),
            ),
            (
                "{'shape': (3L,), 'fortran_order': True, 'descr': \">f8\"}",
                header(">f8", true, &[3]),
            ),
            (
                "{'descr': '<U5','fortran_order':False,'shape':()}\n",
                header("<U5", false, &[]),
            ),
        ] {
            assert_eq!(Header::parse(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "{}",
            "{'descr': '<f4'}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'other': 1, 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (3,)}",
        ] {
            assert!(Header::parse(text).is_err(), "{text}");
        }
    }
}
