//! Numeric arrays as stored in files, and their conversion to rows.

use std::borrow::Cow;

use half::{bf16, f16};

use super::{FormatError, within};
use crate::vector::{MAX_LAYERS, MAX_WIDTH};

/// Maximum number of dimensions of an array.
pub(super) const MAX_DIMENSIONS: usize = 8;

/// Types of numbers that steering vectors come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

/// A type of numbers and its order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) number: Number,
    pub(super) big_endian: bool,
}

impl Element {
    pub(super) const fn little(number: Number) -> Self {
        Self {
            number,
            big_endian: false,
        }
    }

    pub(super) fn size(self) -> usize {
        match self.number {
            Number::F16 | Number::Bf16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    /// Appends the elements. A remainder shorter than one element is ignored. f16 and bf16 are
    /// widened exactly, f64 is rounded.
    fn decode_into(self, bytes: &[u8], row: &mut Vec<f32>) {
        match (self.number, self.big_endian) {
            (Number::F16, false) => {
                row.extend(chunks(bytes).map(|c| f16::from_le_bytes(c).to_f32()));
            }
            (Number::Bf16, false) => {
                row.extend(chunks(bytes).map(|c| bf16::from_le_bytes(c).to_f32()));
            }
            (Number::F32, false) => row.extend(chunks(bytes).map(f32::from_le_bytes)),
            (Number::F64, false) => row.extend(chunks(bytes).map(|c| f64::from_le_bytes(c) as f32)),
            (Number::F16, true) => {
                row.extend(chunks(bytes).map(|c| f16::from_be_bytes(c).to_f32()));
            }
            (Number::Bf16, true) => {
                row.extend(chunks(bytes).map(|c| bf16::from_be_bytes(c).to_f32()));
            }
            (Number::F32, true) => row.extend(chunks(bytes).map(f32::from_be_bytes)),
            (Number::F64, true) => row.extend(chunks(bytes).map(|c| f64::from_be_bytes(c) as f32)),
        }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// Contiguous bytes of an array.
#[derive(Debug, Clone)]
pub(super) enum Bytes<'a> {
    Plain(Cow<'a, [u8]>),
    /// A text whose characters are the bytes, as pickles before protocol 3 have them.
    Latin1(&'a str),
}

impl Bytes<'_> {
    /// Number of bytes; `None` if a character is not a byte.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Plain(bytes) => Some(bytes.len() as u64),
            Self::Latin1(text) => {
                let mut count = 0;
                for c in text.chars() {
                    u8::try_from(c).ok()?;
                    count += 1;
                }
                Some(count)
            }
        }
    }

    /// Appends them.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(bytes) => out.extend_from_slice(bytes),
            Self::Latin1(text) => out.extend(text.chars().map(|c| c as u32 as u8)),
        }
    }

    /// Calls `each` with every `size` bytes in turn, 8 at most.
    fn elements(&self, size: usize, mut each: impl FnMut(&[u8])) {
        match self {
            Self::Plain(bytes) => bytes.chunks_exact(size).for_each(each),
            Self::Latin1(text) => {
                let mut element = [0; 8];
                let mut filled = 0;
                for c in text.chars() {
                    if let Some(place) = element.get_mut(filled) {
                        *place = c as u32 as u8;
                    }
                    filled += 1;
                    if filled == size {
                        each(element.get(..size).unwrap_or_default());
                        filled = 0;
                    }
                }
            }
        }
    }
}

/// Memory layout of the numbers.
#[derive(Debug, Clone)]
pub(super) enum Layout<'a> {
    /// One after the other, the last index fastest (C) or the first (Fortran).
    Packed { bytes: Bytes<'a>, fortran: bool },
    /// In a storage; offset and strides count elements, and stay within it.
    Strided {
        storage: &'a [u8],
        offset: u64,
        strides: Vec<u64>,
    },
}

/// An array of numbers.
#[derive(Debug, Clone)]
pub(super) struct Array<'a> {
    pub(super) shape: Vec<u64>,
    pub(super) element: Element,
    pub(super) layout: Layout<'a>,
}

impl<'a> Array<'a> {
    /// Creates an array of contiguous numbers.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the number of bytes does not match the shape.
    pub(super) fn packed(
        name: &str,
        shape: Vec<u64>,
        element: Element,
        bytes: Bytes<'a>,
        fortran: bool,
    ) -> Result<Self, FormatError> {
        let needed = elements(&shape).and_then(|n| n.checked_mul(element.size() as u64));
        let there = bytes.count();
        if needed.is_none() || needed != there {
            return Err(FormatError::malformed(
                "an array",
                format!(
                    "{:?} has {} bytes, its shape {shape:?} needs {}",
                    super::shown(name),
                    there.map_or_else(|| "other than".to_owned(), |n| n.to_string()),
                    needed.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string()),
                ),
            ));
        }
        Ok(Self {
            shape,
            element,
            layout: Layout::Packed { bytes, fortran },
        })
    }

    /// The shape without dimensions of 1.
    pub(super) fn squeezed(&self) -> Vec<u64> {
        self.shape.iter().copied().filter(|&n| n != 1).collect()
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> u64 {
        elements(&self.shape).unwrap_or(u64::MAX)
    }

    /// Returns the array as rows of `width` values.
    ///
    /// # Errors
    /// [`FormatError::LimitExceeded`] for more or wider rows than a file of steering vectors can
    /// need.
    pub(super) fn rows(&self, width: u64) -> Result<Vec<Vec<f32>>, FormatError> {
        within("values of a row", width, MAX_WIDTH as u64)?;
        let count = self.elements().checked_div(width).unwrap_or_default();
        within("number of rows", count, MAX_ROWS)?;
        let (count, width) = (count as usize, width as usize);
        match &self.layout {
            Layout::Packed { bytes, fortran } => {
                Ok(self.packed_rows(bytes, *fortran, count, width))
            }
            Layout::Strided {
                storage,
                offset,
                strides,
            } => Ok(self.strided_rows(storage, *offset, strides, count, width)),
        }
    }

    fn packed_rows(
        &self,
        bytes: &Bytes<'_>,
        fortran: bool,
        count: usize,
        width: usize,
    ) -> Vec<Vec<f32>> {
        let size = self.element.size();
        let mut rows = Vec::with_capacity(count);
        if !fortran || self.squeezed().len() < 2 {
            let mut row = Vec::with_capacity(width);
            bytes.elements(size, |element| {
                self.element.decode_into(element, &mut row);
                if row.len() == width {
                    rows.push(std::mem::replace(&mut row, Vec::with_capacity(width)));
                }
            });
            return rows;
        }
        rows.resize_with(count, || vec![0.0; width]);
        let mut index = vec![0; self.shape.len()];
        let mut one = Vec::with_capacity(1);
        bytes.elements(size, |element| {
            one.clear();
            self.element.decode_into(element, &mut one);
            let place = place(&index, &self.shape);
            let at = rows
                .get_mut(place.checked_div(width).unwrap_or_default())
                .and_then(|row| row.get_mut(place.checked_rem(width).unwrap_or_default()));
            if let (Some(at), Some(&value)) = (at, one.first()) {
                *at = value;
            }
            // The first index runs fastest.
            for (index, &most) in index.iter_mut().zip(&self.shape) {
                *index += 1;
                if *index < most {
                    break;
                }
                *index = 0;
            }
        });
        rows
    }

    fn strided_rows(
        &self,
        storage: &[u8],
        offset: u64,
        strides: &[u64],
        count: usize,
        width: usize,
    ) -> Vec<Vec<f32>> {
        let size = self.element.size() as u64;
        // Offset and strides were checked: no product of theirs passes the storage's length.
        let element = |place: u64, length: u64| {
            let from = (place * size) as usize;
            let to = ((place + length) * size) as usize;
            storage.get(from..to).unwrap_or_default()
        };
        let last = strides.last().copied().unwrap_or(1);
        let contiguous = last == 1 && self.shape.last() == Some(&(width as u64));
        (0..count)
            .map(|row| {
                let mut values = Vec::with_capacity(width);
                let first = (row * width) as u64;
                if contiguous {
                    let place = offset + self.stride_of(first, strides);
                    self.element
                        .decode_into(element(place, width as u64), &mut values);
                } else {
                    for number in first..first + width as u64 {
                        let place = offset + self.stride_of(number, strides);
                        self.element.decode_into(element(place, 1), &mut values);
                    }
                }
                values
            })
            .collect()
    }

    /// Distance of the element with this number (the last index fastest) from the first.
    fn stride_of(&self, mut number: u64, strides: &[u64]) -> u64 {
        let mut place = 0;
        for (&most, &stride) in self.shape.iter().zip(strides).rev() {
            let most = most.max(1);
            place += number % most * stride;
            number /= most;
        }
        place
    }
}

/// Maximum number of rows of a file: a pack of as many emotions as a library holds, each with a row
/// for each of a hundred layers.
const MAX_ROWS: u64 = 32 * MAX_LAYERS as u64;

/// Number of elements of a shape.
pub(super) fn elements(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |n, &m| n.checked_mul(m))
}

/// Number of an element, the last index fastest.
fn place(index: &[u64], shape: &[u64]) -> usize {
    let place = index
        .iter()
        .zip(shape)
        .fold(0_u64, |place, (&index, &most)| {
            place.saturating_mul(most).saturating_add(index)
        });
    usize::try_from(place).unwrap_or(usize::MAX)
}
