//! Values that a pickle can put on the stack.

use super::NumpyArray;
use crate::format::FormatError;
use crate::format::numpy::DType;

pub(super) const WHAT: &str = "data.pkl";

/// Values are small and copied. Values that can grow are kept in a list of the machine.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Bytes, each of which is a character.
    Latin1(&'a str),
    List(usize),
    Global(Global),
    /// A range of `Machine::items`.
    Tuple(usize, usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    Type(usize),
    Array(usize),
}

impl Value<'_> {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) | Self::Latin1(_) => "bytes",
            Self::List(_) => "a list",
            Self::Global(_) => "a class or function",
            Self::Tuple(..) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Type(_) => "a numpy type",
            Self::Array(_) => "a numpy array",
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Global {
    Storage(&'static str),
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    /// `NumPy`'s class of arrays.
    NdArray,
    /// Creates an array that its state fills.
    Reconstruct,
    /// Creates an array from a buffer (protocol 5).
    FromBuffer,
    /// Creates a number.
    Scalar,
    DType,
    /// Turns a text into bytes, as protocols before 3 write them.
    Encode,
    Bytes,
}

/// A type of elements.
#[derive(Clone)]
pub(super) enum Type {
    Known(DType),
    /// Python objects, such as texts.
    Object,
    /// Another type, by its name, which is not read.
    Other(String),
}

/// An array.
pub(super) enum Made<'a> {
    /// Its state is not set yet.
    Empty,
    Numbers(NumpyArray<'a>),
    /// The list of its elements.
    Objects(usize),
}

pub(super) fn broken(reason: impl Into<String>) -> FormatError {
    FormatError::malformed(WHAT, reason)
}
