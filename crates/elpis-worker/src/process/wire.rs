//! The wire form of a model's facts. It repeats every field, so that a missing one fails to
//! compile.

use elpis_backend::{BackendKind, ModelFacts};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "ModelFacts")]
pub(super) struct FactsDef {
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
