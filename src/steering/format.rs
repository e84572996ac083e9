//! Steering vectors as bytes: safetensors, `PyTorch` `.pt` and GGUF control vectors.

mod bytes;
mod gguf;
mod pt;
mod safetensors;

use std::collections::BTreeMap;

use half::{bf16, f16};
use thiserror::Error;

use super::vector::{MAX_LAYERS, SteeringVector, VectorError};

/// File formats of steering vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VectorFormat {
    /// `.safetensors`: one tensor of any name is a bare vector; names `layer.N`, `layers.N`,
    /// `direction.N` or `N` give a row its layer. f16, bf16, f32 or f64.
    Safetensors,
    /// `.pt`, `.pth`: what `torch.save` writes since `PyTorch` 1.6 (a zip archive) for a tensor, a
    /// parameter, or a dict from layers (integers, or names as in safetensors) to tensors.
    Pt,
    /// `.gguf`: a control vector as repeng and llama.cpp use it, version 2 or 3, tensors
    /// `direction.N` with N of at least 1.
    Gguf,
}

impl VectorFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Safetensors, Self::Pt, Self::Gguf];

    /// The format that an extension (without the dot, in any case) stands for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Some(Self::Safetensors),
            "pt" | "pth" => Some(Self::Pt),
            "gguf" => Some(Self::Gguf),
            _ => None,
        }
    }

    /// The extension that files of this format get, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pt => "pt",
            Self::Gguf => "gguf",
        }
    }
}

/// Refusal of a file, or of a vector that a format cannot hold.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end before what the header declares.
    #[error("{what} at byte {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// How many bytes it needs.
        needed: u64,
        /// How many bytes there are.
        available: usize,
    },
    /// The structure is broken.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The part that is broken.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A count or size is above what a steering vector can need.
    #[error("{what} is {value}, must be at most {limit}")]
    LimitExceeded {
        /// The count or size.
        what: &'static str,
        /// What the file declares.
        value: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// A tensor's element type is not one of f16, bf16, f32, f64.
    #[error("tensor {tensor:?} has type {dtype}, must be f16, bf16, f32 or f64")]
    UnsupportedType {
        /// The tensor's name.
        tensor: String,
        /// The type as the format calls it.
        dtype: String,
    },
    /// A tensor's shape is not `[n]` or `[1, n]`.
    #[error("tensor {tensor:?} has shape {shape:?}, must be [n] or [1, n]")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// One of several tensors has a name without a layer.
    #[error(
        "tensor {tensor:?} names no layer below {MAX_LAYERS}, \
         must be layer.N, layers.N, direction.N or N"
    )]
    NotALayer {
        /// The tensor's name.
        tensor: String,
    },
    /// Two tensors stand for one layer.
    #[error("layer {layer} stands twice")]
    DuplicateLayer {
        /// The layer.
        layer: usize,
    },
    /// A GGUF control vector cannot hold layer 0.
    #[error("layer is 0, must be at least 1 in a GGUF control vector")]
    LayerZero,
    /// A GGUF control vector cannot hold a vector without a layer.
    #[error("the vector has no layer, a GGUF control vector needs one")]
    NoLayer,
    /// The file holds no tensor.
    #[error("there is no tensor in the file")]
    NoTensors,
    /// A pickle names a Python object that is not needed for tensors.
    #[error("refused global '{global}'")]
    RefusedGlobal {
        /// `module.name`.
        global: String,
    },
    /// A pickle uses an instruction that is not needed for tensors.
    #[error("refused pickle instruction {opcode} at byte {offset}")]
    RefusedOpcode {
        /// The instruction, by name where it has one here, else in hexadecimal.
        opcode: String,
        /// Where it stands in the pickle.
        offset: usize,
    },
    /// A pickle's value is not a tensor.
    #[error("refused entry {entry:?}: {found}, must be a tensor")]
    RefusedEntry {
        /// The key in the dict, or `the file` for the whole.
        entry: String,
        /// What it is.
        found: &'static str,
    },
    /// A `.pt` file from before the zip format, or a plain pickle.
    #[error(
        "not a zip archive but a legacy or plain pickle; load it with the program that wrote it \
         and save it again with torch.save of PyTorch 1.6 or later"
    )]
    LegacyPickle,
    /// A GGUF file holds something else.
    #[error("general.architecture is {architecture:?}, must be \"controlvector\"")]
    NotAControlVector {
        /// What the file says; empty if it says nothing.
        architecture: String,
    },
    /// The rows are not a steering vector.
    #[error(transparent)]
    Vector(#[from] VectorError),
}

impl FormatError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::Malformed { .. } => "malformed",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::UnsupportedType { .. } => "unsupported_type",
            Self::Shape { .. } => "shape",
            Self::NotALayer { .. } => "not_a_layer",
            Self::DuplicateLayer { .. } => "duplicate_layer",
            Self::LayerZero => "layer_zero",
            Self::NoLayer => "no_layer",
            Self::NoTensors => "no_tensors",
            Self::RefusedGlobal { .. } => "refused_global",
            Self::RefusedOpcode { .. } => "refused_opcode",
            Self::RefusedEntry { .. } => "refused_entry",
            Self::LegacyPickle => "legacy_pickle",
            Self::NotAControlVector { .. } => "not_a_control_vector",
            Self::Vector(source) => source.kind(),
        }
    }

    fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what,
            reason: reason.into(),
        }
    }
}

/// Reads a steering vector. f16 and bf16 are widened exactly, f64 is rounded to f32.
///
/// Allocates at most twice the input's size plus 16 MB.
///
/// # Errors
///
/// [`FormatError`] for anything that is not a steering vector in this format; no input panics.
pub fn parse(format: VectorFormat, bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    match format {
        VectorFormat::Safetensors => safetensors::parse(bytes),
        VectorFormat::Pt => pt::parse(bytes),
        VectorFormat::Gguf => gguf::parse(bytes),
    }
}

/// Writes a steering vector in f32; the same vector gives the same bytes.
///
/// safetensors names the rows `layer.N`, or `vector` if bare. `.pt` holds a dict from integers to
/// tensors, or one tensor if bare; it has no place for the model hint. GGUF is version 3.
///
/// # Errors
///
/// For GGUF: [`FormatError::NoLayer`] if the vector is bare, [`FormatError::LayerZero`] if it has
/// a row for layer 0. [`FormatError::LimitExceeded`] if a `.pt` file would need 4 GiB or more.
pub fn write(format: VectorFormat, vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    match format {
        VectorFormat::Safetensors => safetensors::write(vector),
        VectorFormat::Pt => pt::write(vector),
        VectorFormat::Gguf => gguf::write(vector),
    }
}

/// Element types that steering vectors come in, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the elements; a rest shorter than one element is left out.
    fn decode_into(self, bytes: &[u8], row: &mut Vec<f32>) {
        match self {
            Self::F16 => row.extend(chunks(bytes).map(|c| f16::from_le_bytes(c).to_f32())),
            Self::Bf16 => row.extend(chunks(bytes).map(|c| bf16::from_le_bytes(c).to_f32())),
            Self::F32 => row.extend(chunks(bytes).map(f32::from_le_bytes)),
            Self::F64 => row.extend(chunks(bytes).map(|c| f64::from_le_bytes(c) as f32)),
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let mut row = Vec::with_capacity(bytes.len() / self.size());
        self.decode_into(bytes, &mut row);
        row
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

fn encode(row: &[f32]) -> impl Iterator<Item = u8> {
    row.iter().flat_map(|x| x.to_le_bytes())
}

/// The layer that a tensor's name stands for.
fn layer_of(name: &str) -> Option<usize> {
    let digits = ["layer.", "layers.", "direction."]
        .into_iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    // `parse` alone would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&layer| layer < MAX_LAYERS)
}

/// Whether a shape is that of one row, and how long it is.
fn row_length(shape: &[u64]) -> Option<u64> {
    match *shape {
        [n] | [1, n] => Some(n),
        _ => None,
    }
}

/// Gathers named rows into a vector.
struct Rows {
    /// Whether a single tensor may have any name.
    alone: bool,
    bare: Option<Vec<f32>>,
    layered: BTreeMap<usize, Vec<f32>>,
}

impl Rows {
    fn new(tensors: usize) -> Result<Self, FormatError> {
        if tensors == 0 {
            return Err(FormatError::NoTensors);
        }
        within("number of tensors", tensors as u64, MAX_LAYERS as u64)?;
        Ok(Self {
            alone: tensors == 1,
            bare: None,
            layered: BTreeMap::new(),
        })
    }

    fn add(&mut self, name: &str, row: Vec<f32>) -> Result<(), FormatError> {
        match layer_of(name) {
            Some(layer) => self.add_layer(layer, row),
            None if self.alone => {
                self.bare = Some(row);
                Ok(())
            }
            None => Err(FormatError::NotALayer {
                tensor: shown(name),
            }),
        }
    }

    fn add_layer(&mut self, layer: usize, row: Vec<f32>) -> Result<(), FormatError> {
        match self.layered.insert(layer, row) {
            None => Ok(()),
            Some(_) => Err(FormatError::DuplicateLayer { layer }),
        }
    }

    fn finish(self) -> Result<SteeringVector, FormatError> {
        Ok(match self.bare {
            Some(row) => SteeringVector::bare(row)?,
            None => SteeringVector::layered(self.layered)?,
        })
    }
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), FormatError> {
    if value > limit {
        return Err(FormatError::LimitExceeded { what, value, limit });
    }
    Ok(())
}

/// A name from a file, cut so that an error message stays short.
fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = name.chars().take(LONGEST).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}
