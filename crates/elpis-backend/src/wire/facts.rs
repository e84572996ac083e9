//! A model's facts between processes.

use serde::{Deserialize, Serialize};

use crate::{BackendKind, ModelFacts};

/// The wire form of [`ModelFacts`], for `#[serde(with)]`. It repeats every field, so that a missing
/// one fails to compile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(remote = "ModelFacts")]
pub struct FactsDef {
    name: String,
    backend: BackendKind,
    architecture: String,
    description: String,
    n_layers: usize,
    n_embd: usize,
    n_vocab: usize,
    n_params: u64,
    size_bytes: u64,
    weights_digest: String,
    context_trained: u32,
    context_length: u32,
    n_sequences: u32,
    cache_cells: u32,
    supports_truncation: bool,
    batch_size: usize,
    chat_template: Option<String>,
    bos_token: String,
    eos_token: String,
    residual_norms: Vec<f32>,
    unsteerable: Option<String>,
}
