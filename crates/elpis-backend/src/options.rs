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
        /// Where the backend can.
        Auto = "auto",
        /// Always; loading fails where the backend cannot.
        On = "on",
        /// Never.
        Off = "off",
    }
}

crate::named_values! {
    /// The trust in a model file before llama.cpp reads it.
    pub enum ModelTrust {
        /// It is checked for what llama.cpp is known to end the program over.
        Check = "check",
        /// It is checked, and then loaded in a process of its own to see whether that survives.
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
    /// A folder on disk, in the form of a Hugging Face repository.
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
    /// The error of a backend that does not load this kind of source; `expected` names what it
    /// loads.
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
    /// Tokens that one sequence may hold, prompt and reply together; `None`: as many as
    /// [`DEFAULT_CONTEXT_LENGTH`](Self::DEFAULT_CONTEXT_LENGTH) and the model allow.
    pub context_length: Option<u32>,
    /// Layers that are kept on a GPU; −1 means all.
    pub gpu_layers: i32,
    /// Threads that compute; `None`: [`default_threads`].
    pub n_threads: Option<usize>,
    /// Number type of the transformers backend.
    pub torch_dtype: TorchDtype,
    /// Whether attention is computed by the fused kernel.
    pub flash_attention: FlashAttention,
    /// Whether the model file is mapped into memory; `None`: the backend decides.
    pub mmap: Option<bool>,
    /// Shares of the model that each GPU takes, in the order of the devices; `None`: by free
    /// memory.
    pub tensor_split: Option<Vec<f32>>,
    /// The trust in a GGUF file.
    pub trust: ModelTrust,
    /// Whether weights may be repacked into the layout that the processor computes fastest in.
    pub use_extra_bufts: bool,
    /// Tokens that are decoded in one step over all sequences.
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
    /// Tokens per sequence when [`context_length`](Self::context_length) is `None` and the model
    /// allows it.
    pub const DEFAULT_CONTEXT_LENGTH: u32 = 4096;

    /// The tokens that one sequence may hold of a model that was trained for so many.
    ///
    /// # Errors
    /// [`BackendError::Limit`] if more are asked for than the model was trained for.
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

/// Physical cores, but no more than the process may use.
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
    /// Number of sequences that can be evaluated side by side.
    pub n_sequences: u32,
    /// The devices that may be used; empty: the CPU alone.
    pub devices: Vec<Device>,
    /// The process of its own that the model runs in, or is tried in; `None`: it is loaded in this
    /// one at once.
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
    /// The program; `None`: this executable.
    pub program: Option<PathBuf>,
    /// How long one call may take before the process counts as hung and is killed; `None`: for
    /// ever. Loading the model may take as long as it likes, but not so long without a sign of
    /// life.
    pub bound: Option<Duration>,
    /// Whether the process only tries whether it survives the model, which is then loaded in this
    /// one.
    pub trial: bool,
}
