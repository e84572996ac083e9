//! Recognises GGUF files that are not language models.

use super::defect::Defect;
use super::names::{DECODERS, DIFFUSERS, DRAFTERS, EMBEDDERS};
use crate::GgufKind;
use elpis_files::gguf::{Header, Value};

/// Checks that the file is a whole language model, or the first shard of one, and returns its
/// architecture.
pub(super) fn check<'a>(header: &Header<'a>, split: Option<Split>) -> Result<&'a str, Defect> {
    if let Some(split) = split.filter(|split| split.number > 0) {
        // Further shards have no other metadata of the model.
        return Err(Defect::Kind(GgufKind::Part {
            number: split.number + 1,
            count: split.count,
        }));
    }
    let key = "general.architecture";
    match header.text("general.type") {
        Some("adapter") => return Err(Defect::Kind(GgufKind::Adapter)),
        Some("imatrix") => return Err(Defect::Kind(GgufKind::ImportanceMatrix)),
        Some("mmproj" | "projector") => return Err(Defect::Kind(GgufKind::Projector)),
        Some("vocab") => return Err(Defect::Kind(GgufKind::Vocabulary)),
        _ => {}
    }
    let architecture = match header.get(key) {
        None => return Err(Defect::missing(key)),
        Some(Value::Text(_)) => header.text(key).unwrap_or("not UTF-8"),
        Some(other) => return Err(Defect::invalid(key, other.kind_name(), "text")),
    };
    let other = match architecture {
        "controlvector" => Some(GgufKind::ControlVector),
        "imatrix" => Some(GgufKind::ImportanceMatrix),
        "clip" => Some(GgufKind::Projector),
        "t5" => Some(GgufKind::EncoderDecoder),
        "wavtokenizer-dec" => Some(GgufKind::AudioDecoder),
        "clef" => Some(GgufKind::Embedder),
        name if EMBEDDERS.contains(&name) => Some(GgufKind::Embedder),
        name if DIFFUSERS.contains(&name) => Some(GgufKind::Diffuser),
        name if DRAFTERS.contains(&name) => Some(GgufKind::Drafter),
        _ => None,
    };
    if let Some(kind) = other {
        return Err(Defect::Kind(kind));
    }
    if !DECODERS.contains(&architecture) {
        return Err(Defect::invalid(
            key,
            architecture,
            "one of those that this llama.cpp knows",
        ));
    }
    let causal = header.get(&format!("{architecture}.attention.causal"));
    if let Some(Value::Bool(false)) = causal {
        return Err(Defect::Kind(GgufKind::Embedder));
    }
    if header.tensors.is_empty() && split.is_none() {
        return Err(Defect::Kind(GgufKind::Vocabulary));
    }
    Ok(architecture)
}

/// The division of a model into shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// Index of the shard, from 0.
    pub(super) number: u64,
    pub(super) count: u64,
    /// Number of tensors in all shards together.
    pub(super) tensors: Option<u64>,
}

/// Reads the file's place among shards; `None` for a whole model.
pub(super) fn split(header: &Header<'_>) -> Result<Option<Split>, Defect> {
    let number = |key: &str| match header.get(key) {
        None => Ok(None),
        Some(&Value::U16(number)) => Ok(Some(u64::from(number))),
        Some(other) => Err(Defect::invalid(key, other.kind_name(), "u16")),
    };
    let count = number("split.count")?.unwrap_or(0);
    if count <= 1 {
        return Ok(None);
    }
    let key = "split.no";
    let shard = number(key)?.ok_or_else(|| Defect::missing(key))?;
    if shard >= count {
        return Err(Defect::invalid(key, shard, format!("below {count}")));
    }
    let key = "split.tensors.count";
    let tensors = match header.get(key) {
        None => None,
        Some(&Value::I32(tensors)) => u64::try_from(tensors).ok(),
        Some(other) => return Err(Defect::invalid(key, other.kind_name(), "i32")),
    };
    Ok(Some(Split {
        number: shard,
        count,
        tensors,
    }))
}
