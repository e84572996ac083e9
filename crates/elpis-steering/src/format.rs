//! Steering vectors as bytes: safetensors, `PyTorch` `.pt`, `NumPy` `.npy` and `.npz`, GGUF control
//! vectors.

mod array;
mod contents;
mod error;
mod gguf;
mod naming;
mod npy;
mod npz;
mod numpy;
mod pt;
mod safetensors;
mod zip;

use std::collections::BTreeMap;

pub use error::FormatError;
pub use naming::{NamedLayer, layer_in_stem};

use super::vector::SteeringVector;
use elpis_files::lfs::LfsPointer;
use elpis_files::printable::printable_start;

/// File formats of steering vectors.
///
/// Every format but GGUF holds one of:
///
/// - one array, `[n]` or `[1, n]`: a bare vector;
/// - one array, `[layers, n]` or, as hidden states with the embedding first, `[layers + 1, n]`: a
///   stacked vector ([`SteeringVector::is_stacked`]);
/// - an array for each layer, under a name that contains its number (`layer.10`, `layers_10`,
///   `layer-10`, `model.layers.10`, `blk.10`, `L10`, `direction.10`, `10`): a layered vector;
/// - a pack: an array `[emotions, layers, n]` or `[emotions, n]` beside `emotions`, the list of
///   their names; or arrays of one shape, each called by an emotion's name.
///
/// A file may also have `layers` or `layer`, the layers of the rows, and `model`. An array whose
/// name refers to a layer ambiguously is refused. Numbers are f16, bf16, f32 or f64.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum VectorFormat {
    /// `.safetensors`. `emotions`, `layers`, `layer` and `model` are metadata, lists as JSON or
    /// with commas.
    Safetensors,
    /// `.pt`, `.pth`: what `torch.save` writes since `PyTorch` 1.6 (a zip archive) for a tensor, a
    /// parameter, a `NumPy` array, or dicts of them.
    #[strum(to_string = "pt", serialize = "pth")]
    Pt,
    /// `.npy`: one array.
    Npy,
    /// `.npz`: named arrays, stored or compressed.
    Npz,
    /// `.gguf`: a control vector as repeng, `EasySteer` and llama.cpp write it, version 2 or 3;
    /// tensors `direction.N` for the output of decoder layer N, counted from 0.
    Gguf,
}

impl VectorFormat {
    /// Every format.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The format of an extension (without the dot, in any case).
    pub fn from_extension(extension: &str) -> Option<Self> {
        extension.parse().ok()
    }

    /// Whether rows can be written under their layers: `.npy` is one array without names.
    pub fn names_layers(self) -> bool {
        self != Self::Npy
    }

    /// The extension of files of this format, without the dot.
    pub fn extension(self) -> &'static str {
        self.into()
    }
}

/// The content of a file of steering vectors.
#[derive(Debug, Clone, PartialEq)]
pub enum VectorFile {
    /// The vector of one emotion, which the file does not name.
    One(SteeringVector),
    /// Vectors by emotion.
    Pack(BTreeMap<String, SteeringVector>),
}

/// Reads the steering vector of a file. f16 and bf16 are widened exactly, f64 is rounded to f32.
///
/// Allocates at most twice the input's size plus 16 MB; a compressed `.npz` counts as inflated,
/// which is at most 16 times its size plus 4 MiB.
///
/// # Errors
///
/// [`FormatError`] for anything that is not a steering vector in this format, and
/// [`FormatError::Pack`] for vectors of several emotions; no input panics.
pub fn parse(format: VectorFormat, bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    match parse_file(format, bytes)? {
        VectorFile::One(vector) => Ok(vector),
        VectorFile::Pack(vectors) => Err(FormatError::Pack {
            emotions: vectors.into_keys().collect(),
        }),
    }
}

/// Reads everything that a file of steering vectors holds, as [`parse`] does.
///
/// # Errors
///
/// [`FormatError`] for anything that is not a file of steering vectors in this format.
pub fn parse_file(format: VectorFormat, bytes: &[u8]) -> Result<VectorFile, FormatError> {
    if let Some(pointer) = LfsPointer::of(bytes) {
        return Err(FormatError::LfsPointer { size: pointer.size });
    }
    match format {
        VectorFormat::Safetensors => safetensors::parse(bytes),
        VectorFormat::Pt => pt::parse(bytes),
        VectorFormat::Npy => npy::parse(bytes),
        VectorFormat::Npz => npz::parse(bytes),
        VectorFormat::Gguf => gguf::parse(bytes).map(VectorFile::One),
    }
}

/// Writes a steering vector in f32; the same vector gives the same bytes.
///
/// safetensors and `.npz` name the rows `layer.N`, a bare vector `vector` and a matrix `vectors`.
/// `.pt` holds a dict from integers to tensors, or one tensor if bare or stacked. Only safetensors
/// and GGUF (version 3) have a place for the model hint.
///
/// # Errors
///
/// [`FormatError::NoLayer`] if the format needs layers that the vector does not name (GGUF),
/// [`FormatError::NoNames`] if it has no names for those that it does (`.npy`).
/// [`FormatError::LimitExceeded`] if an archive would need 4 GiB or more.
pub fn write(format: VectorFormat, vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    match format {
        VectorFormat::Safetensors => safetensors::write(vector),
        VectorFormat::Pt => pt::write(vector),
        VectorFormat::Npy => npy::write(vector),
        VectorFormat::Npz => npz::write(vector),
        VectorFormat::Gguf => gguf::write(vector),
    }
}

/// Writes bare vectors by name, as a pack in safetensors.
pub(crate) fn write_pack(vectors: &[(&str, &[f32])]) -> Result<Vec<u8>, FormatError> {
    safetensors::write_pack(vectors)
}

fn encode(row: &[f32]) -> impl Iterator<Item = u8> {
    row.iter().flat_map(|x| x.to_le_bytes())
}

/// The name of an array in a file that names them: of a row, or of all rows.
fn array_name(vector: &SteeringVector, layer: Option<usize>) -> String {
    match layer {
        Some(layer) => format!("layer.{layer}"),
        None if vector.is_stacked() => "vectors".to_owned(),
        None => "vector".to_owned(),
    }
}

/// The arrays that a file gets: name, shape, values. Rows without layers are one array.
fn arrays(vector: &SteeringVector) -> Vec<(Option<usize>, Vec<usize>, Vec<u8>)> {
    let width = vector.width();
    if vector.is_stacked() {
        let values: Vec<u8> = vector.rows().flat_map(|(_, row)| encode(row)).collect();
        return vec![(None, vec![vector.rows().count(), width], values)];
    }
    vector
        .rows()
        .map(|(layer, row)| (layer, vec![width], encode(row).collect()))
        .collect()
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), FormatError> {
    if value > limit {
        return Err(FormatError::LimitExceeded { what, value, limit });
    }
    Ok(())
}

/// A name from a file, shortened for error messages and safe for a terminal.
fn shown(name: &str) -> String {
    const MAX: usize = 64;
    printable_start(name, MAX)
}
