//! Validates a GGUF model before llama.cpp loads it.
//!
//! llama.cpp trusts its files: many of its checks are assertions, which abort the program, and
//! unchecked values lead to divisions by zero or reads out of bounds. All defects that are known to
//! crash it are therefore checked here first, and refused with the file, the key or tensor, its
//! value and the allowed range. The rules follow the sources of the bundled llama.cpp release; a
//! mutation test (`tests/models/gguf_models.rs`) searches for missing rules.

mod defect;
mod kind;
#[doc(hidden)]
pub mod names;
mod numbers;
mod operations;
mod other;
mod read;
mod tensors;
mod vocabulary;

use std::path::{Path, PathBuf};

use defect::Defect;
pub use other::GgufKind;
use read::HeaderBytes;
pub use read::check_beginning;

use super::BackendError;
use elpis_files::gguf::{Header, Limits};
use elpis_files::shard::Shard;

/// Maximum number of pairs and tensors of a file. Models have about a hundred pairs and, with
/// separate experts, some ten thousand tensors.
const LIMITS: Limits = Limits {
    pairs: 1 << 16,
    tensors: 1 << 17,
};

/// Checks a model file, including the other shards if it is the first of several.
///
/// # Errors
/// [`BackendError::Unreadable`], [`BackendError::LfsPointer`], [`BackendError::NotAModel`] if it is
/// not a GGUF file, [`BackendError::OtherKind`] if it is another kind of GGUF file,
/// [`BackendError::DamagedModel`] and [`BackendError::InvalidModel`] for defects that llama.cpp
/// could not load or compute with.
pub fn check(path: &Path) -> Result<(), BackendError> {
    let bytes = HeaderBytes::read(path)?;
    let header = bytes.header(path)?;
    let at = |defect: Defect| defect.of(path);
    let split = kind::split(&header).map_err(at)?;
    let architecture = kind::check(&header, split).map_err(at)?;
    tensors::check_places(&header, bytes.length).map_err(at)?;
    let layers = numbers::check(&header, architecture).map_err(at)?;
    let tokens = vocabulary::check(&header).map_err(at)?;
    let Some(split) = split else {
        return tensors::check_model(&header.tensors, architecture, layers, tokens).map_err(at);
    };
    let parts = parts(path, split)?;
    let others = parts
        .iter()
        .map(|path| Ok((path, HeaderBytes::read(path)?)))
        .collect::<Result<Vec<_>, BackendError>>()?;
    let mut all = header.tensors.clone();
    for ((path, bytes), number) in others.iter().zip(1..) {
        let header = bytes.header(path)?;
        let at = |defect: Defect| defect.of(path);
        let own = kind::split(&header).map_err(at)?;
        let key = "split.no";
        let own = own.ok_or_else(|| Defect::missing(key).of(path))?;
        if own.number != number {
            return Err(Defect::invalid(key, own.number, number).of(path));
        }
        tensors::check_places(&header, bytes.length).map_err(at)?;
        all.extend(header.tensors);
    }
    check_parts(&all, split).map_err(at)?;
    tensors::check_model(&all, architecture, layers, tokens).map_err(at)
}

/// Checks the beginning of a file of `length` bytes like a whole model, for fuzzing.
#[doc(hidden)]
pub fn check_bytes(bytes: &[u8], length: u64) -> Result<(), BackendError> {
    let checked = Header::parse(bytes, LIMITS)
        .map_err(Defect::from)
        .and_then(|header| {
            let split = kind::split(&header)?;
            let architecture = kind::check(&header, split)?;
            tensors::check_places(&header, length)?;
            let layers = numbers::check(&header, architecture)?;
            let tokens = vocabulary::check(&header)?;
            tensors::check_model(&header.tensors, architecture, layers, tokens)
        });
    checked.map_err(|defect| defect.of(Path::new("the bytes")))
}

/// The files of the other shards, which llama.cpp finds by the name of the first.
fn parts(path: &Path, split: kind::Split) -> Result<Vec<PathBuf>, BackendError> {
    let named = path.to_str().and_then(Shard::of);
    let count = |shard: &Shard<'_>| shard.count.parse() == Ok(split.count);
    match named.filter(|shard| shard.number == 1 && count(shard)) {
        Some(shard) => Ok(shard.all().skip(1).map(PathBuf::from).collect()),
        None => Err(Defect::invalid(
            "the name of the first part",
            path.file_name().unwrap_or_default().to_string_lossy(),
            format!("NAME-00001-of-{:05}.gguf, beside the others", split.count),
        )
        .of(path)),
    }
}

fn check_parts(
    tensors: &[elpis_files::gguf::TensorInfo<'_>],
    split: kind::Split,
) -> Result<(), Defect> {
    let mut seen = std::collections::HashSet::new();
    if let Some(tensor) = tensors.iter().find(|tensor| !seen.insert(tensor.name)) {
        return Err(Defect::Damaged(format!(
            "tensor {} stands in two parts",
            elpis_files::printable::printable(tensor.name)
        )));
    }
    let key = "split.tensors.count";
    match split.tensors {
        Some(count) if count == tensors.len() as u64 => Ok(()),
        Some(count) => Err(Defect::invalid(
            key,
            count,
            format!("{}, as many as the parts hold", tensors.len()),
        )),
        None => Err(Defect::missing(key)),
    }
}
