//! The part of Python's pickle protocol (2 to 5, `Lib/pickletools.py`) that describes tensors.
//!
//! Nothing is executed and nothing recurses: values live in flat lists, each instruction makes at
//! most one, and the number of instructions has a limit.

mod machine;

use std::fmt;

use super::super::FormatError;

/// Longest pickle. A thousand tensors need about a tenth of it.
const MAX_BYTES: u64 = 2 << 20;

/// What a pickle says about its tensors.
pub(super) struct Loaded<'a> {
    pub(super) entries: Vec<(Key<'a>, Tensor)>,
    pub(super) storages: Vec<Storage<'a>>,
}

/// Where a tensor stands.
pub(super) enum Key<'a> {
    /// The tensor is the whole file.
    Whole,
    Int(i64),
    Text(&'a str),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the file"),
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

/// Reads the pickle of a tensor, a parameter or a dict of them.
pub(super) fn load(bytes: &[u8]) -> Result<Loaded<'_>, FormatError> {
    super::within("bytes of data.pkl", bytes.len() as u64, MAX_BYTES)?;
    machine::run(bytes)
}

/// The pickle (protocol 2) of one tensor per layer in a dict from integers, or of a single tensor
/// if there are no layers. Storage `i` belongs to the tensor at place `i`.
pub(super) fn write(layers: &[usize], width: usize) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    if layers.is_empty() {
        write_tensor(&mut out, 0, width);
    } else {
        out.push(b'}');
        out.push(b'(');
        for (index, &layer) in layers.iter().enumerate() {
            write_int(&mut out, layer);
            write_tensor(&mut out, index, width);
        }
        out.push(b'u');
    }
    out.push(b'.');
    out
}

fn write_tensor(out: &mut Vec<u8>, storage: usize, width: usize) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    write_text(out, "storage");
    out.extend(b"ctorch\nFloatStorage\n");
    write_text(out, &storage.to_string());
    write_text(out, "cpu");
    write_int(out, width);
    out.extend(b"tQ");
    write_int(out, 0);
    write_int(out, width);
    out.push(0x85);
    write_int(out, 1);
    out.push(0x85);
    // requires_grad, backward hooks
    out.push(0x89);
    out.extend(b"ccollections\nOrderedDict\n)RtR");
}

/// Layers and widths are below 2^31 by the limits of a steering vector.
fn write_int(out: &mut Vec<u8>, value: usize) {
    out.push(b'J');
    out.extend((value as u32).to_le_bytes());
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}
