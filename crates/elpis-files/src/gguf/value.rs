//! Values of the metadata.

use super::{Cursor, GgufError};

/// The types of single values and array elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    U64,
    I64,
    F64,
}

const ARRAY: u32 = 9;

impl Kind {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Size in bytes; `None` for text.
    fn size(self) -> Option<u64> {
        Some(match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Text => return None,
        })
    }
}

/// A value. Text need not be UTF-8, because tokens are bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(&'a [u8]),
    U64(u64),
    I64(i64),
    F64(f64),
    Array(Array<'a>),
}

/// Many values of one type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    pub kind: Kind,
    pub count: u64,
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>, number: u32) -> Result<Self, GgufError> {
        if number == ARRAY {
            return Array::read(cursor).map(Self::Array);
        }
        match Kind::of(number) {
            Some(kind) => Self::scalar(cursor, kind),
            None => Err(unknown(number)),
        }
    }

    fn scalar(cursor: &mut Cursor<'a>, kind: Kind) -> Result<Self, GgufError> {
        Ok(match kind {
            Kind::U8 => Self::U8(cursor.u8()?),
            Kind::I8 => Self::I8(cursor.u8()?.cast_signed()),
            Kind::U16 => Self::U16(cursor.u16()?),
            Kind::I16 => Self::I16(cursor.u16()?.cast_signed()),
            Kind::U32 => Self::U32(cursor.u32()?),
            Kind::I32 => Self::I32(cursor.i32()?),
            Kind::F32 => Self::F32(f32::from_bits(cursor.u32()?)),
            Kind::Bool => Self::Bool(cursor.u8()? != 0),
            Kind::Text => {
                let length = cursor.u64()?;
                Self::Text(cursor.take(length)?)
            }
            Kind::U64 => Self::U64(cursor.u64()?),
            Kind::I64 => Self::I64(cursor.u64()?.cast_signed()),
            Kind::F64 => Self::F64(f64::from_bits(cursor.u64()?)),
        })
    }

    /// The name of its type.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::U8(_) => Kind::U8.name(),
            Self::I8(_) => Kind::I8.name(),
            Self::U16(_) => Kind::U16.name(),
            Self::I16(_) => Kind::I16.name(),
            Self::U32(_) => Kind::U32.name(),
            Self::I32(_) => Kind::I32.name(),
            Self::F32(_) => Kind::F32.name(),
            Self::Bool(_) => Kind::Bool.name(),
            Self::Text(_) => Kind::Text.name(),
            Self::U64(_) => Kind::U64.name(),
            Self::I64(_) => Kind::I64.name(),
            Self::F64(_) => Kind::F64.name(),
            Self::Array(_) => "an array",
        }
    }

    /// The number of any type of whole numbers.
    pub fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(n) => n.into(),
            Self::I8(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::I16(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::I32(n) => n.into(),
            Self::U64(n) => n.into(),
            Self::I64(n) => n.into(),
            _ => return None,
        })
    }
}

impl<'a> Array<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, GgufError> {
        let number = cursor.u32()?;
        let count = cursor.u64()?;
        let kind = match Kind::of(number) {
            Some(kind) => kind,
            None if number == ARRAY => {
                return Err(GgufError::NestedArray { key: String::new() });
            }
            None => return Err(unknown(number)),
        };
        let before = cursor.rest();
        let start = cursor.position();
        match kind.size() {
            Some(size) => {
                cursor.take(count.saturating_mul(size))?;
            }
            // Each value takes bytes, so a wrong count ends at the end of the file.
            None => {
                for _ in 0..count {
                    let length = cursor.u64()?;
                    cursor.take(length)?;
                }
            }
        }
        let length = cursor.position() - start;
        Ok(Self {
            kind,
            count,
            bytes: before.get(..length).unwrap_or_default(),
        })
    }

    /// Iterates over its values.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new("a GGUF array", self.bytes);
        let kind = self.kind;
        // The values have been read once before, so this does not fail.
        (0..self.count).map_while(move |_| Value::scalar(&mut cursor, kind).ok())
    }

    /// Iterates over its texts; empty if it holds another type.
    pub fn texts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values().map_while(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }
}

fn unknown(kind: u32) -> GgufError {
    GgufError::ValueType {
        key: String::new(),
        kind,
    }
}
