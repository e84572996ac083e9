//! The part of Python's pickle protocol (2 to 5, `Lib/pickletools.py`) that describes tensors of
//! `PyTorch` and arrays of `NumPy`.
//!
//! Nothing is executed and nothing recurses without a bound: values live in flat lists, each
//! instruction makes at most one, and the number of instructions has a limit.

mod globals;
mod machine;
mod numpy;
mod tree;
mod value;

use std::fmt;

use super::super::FormatError;
use super::super::array::Bytes;
use super::super::numpy::DType;

/// The contents of a pickle.
pub(super) struct Loaded<'a> {
    pub(super) root: Node<'a>,
    pub(super) storages: Vec<Storage<'a>>,
}

/// A value of a pickle.
pub(super) enum Node<'a> {
    Tensor(Tensor),
    Numpy(NumpyArray<'a>),
    Dict(Vec<(Key<'a>, Node<'a>)>),
    List(Vec<Node<'a>>),
    Int(i64),
    Text(&'a str),
    /// None or a bool.
    Remark,
    /// Anything else, by its noun.
    Other(&'static str),
}

impl Node<'_> {
    pub(super) fn is_array(&self) -> bool {
        matches!(self, Self::Tensor(_) | Self::Numpy(_))
    }

    /// Whether it is a description without numbers that could matter.
    pub(super) fn is_remark(&self) -> bool {
        match self {
            Self::Int(_) | Self::Text(_) | Self::Remark | Self::Other("a float") => true,
            Self::List(nodes) => nodes.iter().all(Self::is_remark),
            Self::Dict(pairs) => pairs.iter().all(|(_, node)| node.is_remark()),
            Self::Tensor(_) | Self::Numpy(_) | Self::Other(_) => false,
        }
    }
}

/// The key of a value in a dict.
pub(super) enum Key<'a> {
    Int(i64),
    Text(&'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(layer) => write!(f, "{layer}"),
            Self::Text(name) => f.write_str(name),
        }
    }
}

/// A record of raw values, `data/{key}` in the archive.
pub(super) struct Storage<'a> {
    /// The class without `torch.`, such as `FloatStorage`.
    pub(super) class: &'static str,
    pub(super) key: &'a str,
    pub(super) elements: u64,
}

/// A view of a storage; offset and strides count elements.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) storage: usize,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// An array whose values stand in the pickle itself.
#[derive(Clone)]
pub(super) struct NumpyArray<'a> {
    pub(super) dtype: DType,
    pub(super) shape: Vec<u64>,
    pub(super) fortran: bool,
    pub(super) bytes: Bytes<'a>,
}

/// Reads the pickle of a tensor, an array, a parameter or dicts of them.
pub(super) fn load(bytes: &[u8]) -> Result<Loaded<'_>, FormatError> {
    machine::run(bytes)
}

/// The pickle (protocol 2) of one tensor per layer in a dict from integers, or of a single tensor
/// if it has no layer. Storage `i` belongs to the tensor at place `i`.
pub(super) fn write(tensors: &[(Option<usize>, &[usize])]) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    if let [(None, shape)] = tensors {
        write_tensor(&mut out, 0, shape);
    } else {
        out.push(b'}');
        out.push(b'(');
        for (index, &(layer, shape)) in tensors.iter().enumerate() {
            write_int(&mut out, layer.unwrap_or(index));
            write_tensor(&mut out, index, shape);
        }
        out.push(b'u');
    }
    out.push(b'.');
    out
}

fn write_tensor(out: &mut Vec<u8>, storage: usize, shape: &[usize]) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    write_text(out, "storage");
    out.extend(b"ctorch\nFloatStorage\n");
    write_text(out, &storage.to_string());
    write_text(out, "cpu");
    write_int(out, shape.iter().product());
    out.extend(b"tQ");
    write_int(out, 0);
    out.push(b'(');
    for &size in shape {
        write_int(out, size);
    }
    out.push(b't');
    out.push(b'(');
    for index in 1..=shape.len() {
        write_int(out, shape.get(index..).unwrap_or_default().iter().product());
    }
    out.push(b't');
    // requires_grad, backward hooks
    out.push(0x89);
    out.extend(b"ccollections\nOrderedDict\n)RtR");
}

/// Sizes are below 2^31 by the limits of a steering vector.
fn write_int(out: &mut Vec<u8>, value: usize) {
    out.push(b'J');
    out.extend((value as u32).to_le_bytes());
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}
