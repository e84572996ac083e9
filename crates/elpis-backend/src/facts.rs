//! Facts about models and devices.

use serde::{Deserialize, Serialize};

use crate::BackendKind;

/// Facts about a loaded model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// The model's own name, or its file name.
    pub name: String,
    /// The backend that loaded it.
    pub backend: BackendKind,
    /// Architecture, as the model file names it (`llama`, `qwen2`, …).
    pub architecture: String,
    /// A line on type and size, such as `llama 7B Q4_K - Medium`.
    pub description: String,
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Vocabulary size.
    pub n_vocab: usize,
    /// Number of parameters.
    pub n_params: u64,
    /// Size of the weights in bytes.
    pub size_bytes: u64,
    /// Digest of samples of the model's files (32 hexadecimal digits), which distinguishes it from
    /// models that only differ in their weights. Changes of only a few small tensors can be missed.
    /// Empty if the backend does not provide it.
    pub weights_digest: String,
    /// Context length that the model was trained for, in tokens.
    pub context_trained: u32,
    /// Context length in force for one sequence, in tokens.
    pub context_length: u32,
    /// Number of sequences that can be evaluated in parallel.
    pub n_sequences: u32,
    /// Number of positions that the key–value cache holds over all sequences. Sequences that share
    /// a prefix share its cells.
    pub cache_cells: u32,
    /// Whether a sequence can be truncated and shared at any position. Recurrent models cannot,
    /// because they only have the state of the last position.
    pub supports_truncation: bool,
    /// Maximum number of rows of one batch.
    pub batch_size: usize,
    /// The model's own chat template (Jinja), if it has one.
    #[serde(skip)]
    pub chat_template: Option<String>,
    /// Text of the beginning-of-sequence token, empty if there is none.
    pub bos_token: String,
    /// Text of the end-of-sequence token, empty if there is none.
    pub eos_token: String,
    /// Median norm of the residual stream at the output of each decoder layer, measured on a short
    /// prompt when the model was loaded. Empty if not measured; without the last layer if that one
    /// cannot be steered.
    pub residual_norms: Vec<f32>,
    /// Why no layer of the model can be steered; `None` if layers can be.
    pub unsteerable: Option<String>,
}

impl ModelFacts {
    /// The facts of a model of which only its name and backend are known: numbers are 0 and texts
    /// empty, sequences can be cut at any position, and nothing was measured.
    pub fn new(name: impl Into<String>, backend: BackendKind) -> Self {
        Self {
            name: name.into(),
            backend,
            architecture: String::new(),
            description: String::new(),
            n_layers: 0,
            n_embd: 0,
            n_vocab: 0,
            n_params: 0,
            size_bytes: 0,
            weights_digest: String::new(),
            context_trained: 0,
            context_length: 0,
            n_sequences: 0,
            cache_cells: 0,
            supports_truncation: true,
            batch_size: 0,
            chat_template: None,
            bos_token: String::new(),
            eos_token: String::new(),
            residual_norms: Vec::new(),
            unsteerable: None,
        }
    }
}

/// The kind of a device.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::Display,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceKind {
    /// NVIDIA's CUDA.
    Cuda,
    /// AMD's `ROCm` (HIP).
    Rocm,
    /// Vulkan.
    Vulkan,
    /// Apple's Metal.
    Metal,
    /// The CPU.
    Cpu,
    /// Another accelerator.
    Other,
}

impl DeviceKind {
    /// The name used in settings and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether layers can be offloaded to it.
    pub const fn is_gpu(self) -> bool {
        !matches!(self, Self::Cpu | Self::Other)
    }
}

/// A device that a linked backend reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The backend that reports it.
    pub backend: BackendKind,
    /// Its kind.
    pub kind: DeviceKind,
    /// Index within the backend's own list.
    pub index: usize,
    /// Short name, such as `CUDA0`.
    pub name: String,
    /// Product name, such as `NVIDIA H200`.
    pub description: String,
    /// Memory in bytes.
    pub memory_total: u64,
    /// Free memory in bytes at the time of the query.
    pub memory_free: u64,
}
