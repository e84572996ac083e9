//! Options for loading a model.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::os_path;
use super::{BackendError, Device};

crate::named_values! {
    /// The code that runs the model.
    pub enum BackendKind {
        /// llama.cpp, for GGUF files.
        LlamaCpp = "llama-cpp",
        /// Transformers, for Hugging Face folders with safetensors.
        Transformers = "transformers",
    }
}

crate::named_values! {
    /// The number type that the transformers backend computes in.
    pub enum TorchDtype {
        /// `bfloat16` on a GPU, `float32` on the CPU.
        Auto = "auto",
        /// IEEE half precision.
        Float16 = "float16",
        /// Brain floating point.
        Bfloat16 = "bfloat16",
        /// IEEE single precision.
        Float32 = "float32",
    }
}

crate::named_values! {
    /// Whether attention is computed by the fused kernel.
    pub enum FlashAttention {
        /// If the backend supports it.
        Auto = "auto",
        /// Always. Loading fails if the backend cannot.
        On = "on",
        /// Never.
        Off = "off",
    }
}

crate::named_values! {
    /// The trust in a model file before llama.cpp reads it.
    pub enum ModelTrust {
        /// The file is checked for defects that are known to crash llama.cpp.
        Check = "check",
        /// The file is checked, and then loaded in a separate process to see whether that survives.
        Isolate = "isolate",
        /// Nothing is checked beyond its first bytes.
        Trust = "trust",
    }
}

/// The source of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModelSource {
    /// The model inside the library (feature `bundled-model`).
    Bundled,
    /// A file on disk.
    File(#[serde(with = "os_path")] PathBuf),
    /// A folder on disk with the layout of a Hugging Face repository.
    Folder(#[serde(with = "os_path")] PathBuf),
    /// A repository of the Hugging Face Hub.
    Hub {
        /// The repository, `org/name`.
        repo: String,
        /// The file within it; `None` lets the resolver choose.
        file: Option<String>,
    },
}

impl ModelSource {
    /// The error of a backend that does not load this kind of source. `expected` names the kind
    /// that it loads.
    pub fn unsupported(&self, expected: &'static str) -> BackendError {
        let (path, found) = match self {
            Self::Bundled => (self.to_string().into(), "the bundled model"),
            Self::File(path) => (path.clone(), "a single file"),
            Self::Folder(path) => (path.clone(), "a folder"),
            Self::Hub { repo, .. } => (repo.into(), "a hub name that was not resolved"),
        };
        BackendError::NotAModel {
            path,
            expected,
            found: found.to_owned(),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("the bundled model"),
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Hub { repo, file: None } => f.write_str(repo),
            Self::Hub {
                repo,
                file: Some(file),
            } => write!(f, "{repo}:{file}"),
        }
    }
}

/// Options for loading a model. The defaults are those of the settings of the same names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelOptions {
    /// The code that runs the model.
    pub backend: BackendKind,
    /// Maximum number of tokens of one sequence, prompt and reply together; with `None`, as many as
    /// [`DEFAULT_CONTEXT_LENGTH`](Self::DEFAULT_CONTEXT_LENGTH) and the model allow.
    pub context_length: Option<u32>,
    /// Number of layers on the GPU; −1 means all.
    pub gpu_layers: i32,
    /// Number of compute threads; with `None`, [`default_threads`].
    pub n_threads: Option<usize>,
    /// Number type of the transformers backend.
    pub torch_dtype: TorchDtype,
    /// Whether attention is computed by the fused kernel.
    pub flash_attention: FlashAttention,
    /// Whether the model file is mapped into memory; with `None`, the backend decides.
    pub mmap: Option<bool>,
    /// Proportion of the model on each GPU, in the order of the devices; with `None`, by free
    /// memory.
    pub tensor_split: Option<Vec<f32>>,
    /// The trust in a GGUF file.
    pub trust: ModelTrust,
    /// Whether weights may be repacked into the layout that is fastest on the CPU.
    pub use_extra_bufts: bool,
    /// Maximum number of tokens evaluated in one step over all sequences.
    pub batch_size: u32,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            backend: BackendKind::LlamaCpp,
            context_length: None,
            gpu_layers: -1,
            n_threads: None,
            torch_dtype: TorchDtype::Auto,
            flash_attention: FlashAttention::Auto,
            mmap: None,
            tensor_split: None,
            trust: ModelTrust::Check,
            use_extra_bufts: true,
            batch_size: 512,
        }
    }
}

impl ModelOptions {
    /// Tokens per sequence if [`context_length`](Self::context_length) is `None` and the model
    /// allows it.
    pub const DEFAULT_CONTEXT_LENGTH: u32 = 4096;

    /// Returns the context length of a model that was trained for `trained` tokens.
    ///
    /// # Errors
    /// [`BackendError::Limit`] if the configured length exceeds that.
    pub fn context_length_of(&self, trained: u32) -> Result<u32, BackendError> {
        match self.context_length {
            Some(asked) if asked > trained => Err(BackendError::Limit {
                field: "context_length",
                value: asked.to_string(),
                limit: format!("{trained} tokens, the context that the model was trained for"),
            }),
            Some(asked) => Ok(asked),
            None => Ok(Self::DEFAULT_CONTEXT_LENGTH.min(trained)),
        }
    }
}

/// Number of physical cores, but at most the processors that the process may use.
pub fn default_threads() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    num_cpus::get_physical().clamp(1, usable)
}

/// Everything that a backend needs to load a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The options of the model.
    pub model: ModelOptions,
    /// The source of the model; a hub name has been resolved to a local path.
    pub source: ModelSource,
    /// Number of sequences that can be evaluated in parallel.
    pub n_sequences: u32,
    /// The devices that may be used; if empty, only the CPU.
    pub devices: Vec<Device>,
    /// The worker process in which the model runs or is tried; with `None`, it is loaded directly
    /// in this process.
    pub worker: Option<WorkerOptions>,
}

impl LoadOptions {
    /// One sequence of a model, on the CPU, in this process.
    pub fn new(model: impl Into<ModelOptions>, source: ModelSource) -> Self {
        Self {
            model: model.into(),
            source,
            n_sequences: 1,
            devices: Vec::new(),
            worker: None,
        }
    }

    /// Sets [`n_sequences`](Self#structfield.n_sequences).
    #[must_use]
    pub fn n_sequences(mut self, n_sequences: u32) -> Self {
        self.n_sequences = n_sequences;
        self
    }

    /// Sets [`devices`](Self#structfield.devices).
    #[must_use]
    pub fn devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = devices;
        self
    }

    /// Sets [`worker`](Self#structfield.worker).
    #[must_use]
    pub fn worker(mut self, worker: impl Into<Option<WorkerOptions>>) -> Self {
        self.worker = worker.into();
        self
    }
}

/// Options for starting and watching a worker process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The program; with `None`, this executable.
    pub program: Option<PathBuf>,
    /// Time limit of a call, after which the process counts as hung and is killed; `None` for no
    /// limit. While the model is loaded, it limits the time between two heartbeats.
    pub bound: Option<Duration>,
    /// Whether the process only tries to load the model, which is then loaded in this process.
    pub trial: bool,
}
