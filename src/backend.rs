//! The edge of the house: loaded models, and the only code that touches FFI,
//! `unsafe` code or a device.
//!
//! A [`Backend`] is one loaded model with its key–value cache. The scheduler
//! hands it batches whose rows belong to different sequences, each row with a
//! steering vector of its own; everything above this module is the same for
//! every backend.

#[cfg(feature = "llama-cpp")]
pub(crate) mod llama_cpp;
#[cfg(feature = "transformers")]
pub(crate) mod transformers;

mod batch;
mod bundled;
mod digest;
#[cfg(any(unix, feature = "cli"))]
pub(crate) mod environment;
mod error;
mod facts;
#[cfg(all(feature = "_fuzz", not(feature = "transformers")))]
#[path = "backend/transformers/fuzzed.rs"]
mod fuzzed;
mod gguf;
#[cfg_attr(
    not(any(feature = "llama-cpp", feature = "transformers")),
    allow(dead_code)
)]
mod heartbeat;
mod layer;
#[cfg(any(feature = "llama-cpp", feature = "transformers", feature = "cli"))]
pub(crate) mod memory;
#[cfg(any(feature = "llama-cpp", feature = "transformers"))]
mod norms;
pub(crate) mod part;
#[cfg(unix)]
mod process;
mod prompt;
pub mod worker;

pub use batch::{Batch, Row, SequenceId};
pub use bundled::BundledModel;
pub use error::BackendError;
#[cfg(feature = "cli")]
pub(crate) use error::WorkerEnd;
pub use facts::{Device, DeviceKind, ModelFacts};
#[doc(hidden)]
pub use gguf::check_bytes as check_gguf_bytes;
pub use gguf::{GgufKind, check as check_gguf};
pub use layer::BackendLayer;
pub use prompt::prompt_tokens;

use std::fmt::Debug;
use std::sync::Arc;

pub use crate::settings::BackendKind;
use serde::{Deserialize, Serialize};

use crate::settings::{Isolation, ModelSettings, ModelSource, ModelTrust, Settings};
use worker::WorkerOptions;

/// Identifies a token of the model's vocabulary.
pub type Token = u32;

/// One loaded model with its key–value cache.
///
/// What is added here, [`BackendLayer`] has to hand on.
///
/// A backend is driven by one thread; it is `Send` so that the thread can be
/// given it. Positions count from 0 within a sequence.
pub trait Backend: Send {
    /// What is known of the loaded model.
    fn facts(&self) -> &Arc<ModelFacts>;

    /// The model's tokenizer, shared with callers that prepare prompts.
    fn tokenizer(&self) -> Arc<dyn Tokenizer>;

    /// Evaluates one batch: appends every row to its sequence's cache and
    /// computes logits for the rows that ask for them.
    ///
    /// # Errors
    /// [`BackendError::CacheFull`] if the cache has no room (nothing was
    /// evaluated), [`BackendError::Aborted`] after an abort, otherwise what
    /// the native library reported. After an error the caller must
    /// [`truncate`](Self::truncate) the sequences of the batch.
    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError>;

    /// Logits of a row of the last batch, `[n_vocab]`.
    ///
    /// # Errors
    /// [`BackendError::NoLogits`] if that row did not ask for logits.
    fn logits(&self, row: usize) -> Result<&[f32], BackendError>;

    /// Removes the positions `from..` of a sequence from the cache.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the cache cannot be cut there,
    /// [`BackendError::PastGone`] if the sequence could not go on from there.
    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError>;

    /// Makes the empty sequence `to` begin with the first `length` positions
    /// of `from`, which it shares or copies.
    ///
    /// # Errors
    /// [`BackendError::Limit`] for a sequence that does not exist,
    /// [`BackendError::PastGone`] if `to` could not go on from there.
    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError>;

    /// The keys and values of a sequence, in the backend's own form.
    ///
    /// They may be written over `memory`, which holds the bytes of another
    /// conversation that is no longer kept, or nothing: pages that were used
    /// before take a large copy several times faster than fresh ones do.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the backend cannot give them.
    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError>;

    /// Fills an empty sequence with `length` positions that
    /// [`save_sequence`](Self::save_sequence) returned for the same model.
    ///
    /// # Errors
    /// [`BackendError::Native`] if they do not fit; the sequence is then
    /// empty.
    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError>;

    /// Evaluates a prompt in a scratch sequence and returns the residual
    /// stream at the output of the given decoder layers: for each layer, one
    /// row of `[n_embd]` per token. The scratch sequence is empty afterwards.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`BackendError::Limit`] for a layer that
    /// does not exist or a prompt longer than one batch.
    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError>;

    /// Has `tell` called, once and on any thread, if the backend dies while
    /// nothing is asked of it. Only a backend in another process can.
    fn on_death(&mut self, tell: DeathNotice) {
        drop(tell);
    }
}

/// A vector of `size` bytes to be written over, of `memory` if that is not
/// wasted on it.
#[cfg(any(feature = "llama-cpp", feature = "transformers"))]
fn sized(mut memory: Vec<u8>, size: usize) -> Vec<u8> {
    if memory.capacity() == 0 || memory.capacity() / 2 > size {
        // Before the new one is there.
        drop(memory);
        return vec![0; size];
    }
    // Conversations grow; glibc grows large memory without copying it.
    memory.reserve_exact(size.saturating_sub(memory.len()));
    memory.resize(size, 0);
    memory
}

/// What is called when a backend dies by itself.
pub type DeathNotice = Box<dyn FnOnce(BackendError) + Send>;

/// A token that stands for no text, as it is written in chat templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlToken {
    /// The token.
    pub token: Token,
    /// How it is written.
    pub text: String,
    /// Whether it takes the white space in front of it along.
    pub strips_left: bool,
    /// Whether it takes the white space behind it along.
    pub strips_right: bool,
}

/// Text to tokens and back, safe to use from any thread.
pub trait Tokenizer: Send + Sync + Debug {
    /// Tokenises text. With `parse_special`, control tokens such as
    /// `<|im_end|>` are recognised; otherwise they are plain text. The
    /// beginning-of-sequence token is put in front when the model asks for
    /// one and the text does not begin with it.
    ///
    /// # Errors
    /// [`BackendError::WorkerDied`] if the tokenizer was in another process
    /// that is gone.
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError>;

    /// Tokenises a part of a text: nothing is put in front, and unless it is the `first` part,
    /// white space at its beginning is not taken for the beginning of a text.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        let _ = first;
        self.encode(text, parse_special)
    }

    /// The control tokens that [`encode`](Self::encode) recognises with `parse_special` alone,
    /// ascending. Texts of users never become one of these.
    fn control_tokens(&self) -> &[ControlToken] {
        &[]
    }

    /// Appends the bytes of a token to `out`; control tokens have none.
    fn append_piece(&self, token: Token, out: &mut Vec<u8>);

    /// Whether the token ends a generation.
    fn is_end(&self, token: Token) -> bool;
}

/// Names the backends that this build carries.
pub fn available_backends() -> &'static [BackendKind] {
    &[
        #[cfg(feature = "llama-cpp")]
        BackendKind::LlamaCpp,
        #[cfg(feature = "transformers")]
        BackendKind::Transformers,
    ]
}

/// Lists the devices that the linked backends really report.
pub fn devices() -> Vec<Device> {
    available_backends()
        .iter()
        .flat_map(|&backend| devices_of(backend))
        .collect()
}

/// Lists the devices that one backend reports; none if it is not linked.
pub fn devices_of(backend: BackendKind) -> Vec<Device> {
    match backend {
        #[cfg(feature = "llama-cpp")]
        BackendKind::LlamaCpp => llama_cpp::devices(),
        #[cfg(feature = "transformers")]
        BackendKind::Transformers => transformers::devices(),
        #[allow(unreachable_patterns)]
        _ => Vec::new(),
    }
}

/// The GPUs to test on, if `ELPIS_TEST_HARDWARE` asks for one; none: the processor.
#[cfg(all(test, any(feature = "llama-cpp", feature = "transformers")))]
fn tested_devices(backend: BackendKind) -> Vec<Device> {
    use crate::settings::HardwareBackend;

    let asked = std::env::var("ELPIS_TEST_HARDWARE").unwrap_or_else(|_| "cpu".to_owned());
    let asked: HardwareBackend = serde_json::from_value(asked.into()).unwrap();
    if asked == HardwareBackend::Cpu {
        return Vec::new();
    }
    let mut devices = devices_of(backend);
    devices.retain(|device| device.kind.is_gpu());
    assert!(!devices.is_empty(), "{backend} sees no GPU");
    devices
}

/// Everything that a backend needs to load a model.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The model settings, validated.
    pub model: ModelSettings,
    /// Where the model lies; a hub name has been resolved to a local path.
    pub source: ModelSource,
    /// Number of sequences that can be evaluated side by side.
    pub n_sequences: u32,
    /// The devices that may be used; empty: the CPU alone.
    pub devices: Vec<Device>,
    /// The process of its own that the model runs in, or is tried in; `None`:
    /// it is loaded in this one at once.
    pub worker: Option<WorkerOptions>,
}

impl LoadOptions {
    /// Takes what the settings say.
    pub fn new(settings: &Settings, source: ModelSource, devices: Vec<Device>) -> Self {
        let in_worker = settings.runtime.isolation == Isolation::Process;
        // The other backend has no native code that reads files, and what is
        // bundled was tried when it was built.
        let is_tried = settings.model.trust == ModelTrust::Isolate
            && settings.model.backend == BackendKind::LlamaCpp
            && matches!(source, ModelSource::File(_));
        Self {
            model: settings.model.clone(),
            source,
            n_sequences: settings.runtime.n_parallel as u32,
            devices,
            worker: (in_worker || is_tried).then(|| WorkerOptions {
                program: settings.runtime.worker.clone(),
                bound: settings.runtime.watchdog(),
                trial: !in_worker,
            }),
        }
    }
}

/// How a runtime comes by its backend, again after every restart of the engine.
#[derive(Clone)]
pub struct BackendFactory {
    make: Arc<dyn Fn(&LoadOptions) -> FactoryResult + Send + Sync>,
    loads_settings: bool,
}

type FactoryResult = Result<Box<dyn Backend>, BackendError>;

impl BackendFactory {
    /// Makes backends with a function of one's own, which decides by itself
    /// where they run ([`LoadOptions::worker`] says what the settings ask for).
    pub fn new(make: impl Fn(&LoadOptions) -> FactoryResult + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            loads_settings: false,
        }
    }

    /// Does something with every backend that is made, such as putting
    /// another around it.
    #[must_use]
    pub fn map(
        self,
        wrap: impl Fn(Box<dyn Backend>) -> Box<dyn Backend> + Send + Sync + 'static,
    ) -> Self {
        let make = self.make;
        Self {
            make: Arc::new(move |options| make(options).map(&wrap)),
            loads_settings: self.loads_settings,
        }
    }

    /// Whether the backend is the one that the settings name.
    pub fn loads_settings(&self) -> bool {
        self.loads_settings
    }

    /// Makes a backend.
    ///
    /// # Errors
    /// Why the model could not be loaded.
    pub fn create(&self, options: &LoadOptions) -> FactoryResult {
        (self.make)(options)
    }
}

impl Default for BackendFactory {
    /// Loads what the settings name.
    fn default() -> Self {
        Self {
            loads_settings: true,
            ..Self::new(create_backend)
        }
    }
}

impl Debug for BackendFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackendFactory")
    }
}

/// Loads a model with the backend that the settings name, in this process or
/// in one of its own.
///
/// # Errors
/// [`BackendError::NotBuilt`] if this build lacks the backend,
/// [`BackendError::WorkerUnusable`] if the process cannot be started,
/// [`BackendError::TrialFailed`] if it did not survive the trial of the model,
/// otherwise the reason why the model could not be loaded.
pub fn create_backend(options: &LoadOptions) -> Result<Box<dyn Backend>, BackendError> {
    match &options.worker {
        None => load_here(options),
        Some(worker) if worker.trial => {
            worker::try_load(options, worker)?;
            load_here(options)
        }
        Some(worker) => worker::load(options, worker),
    }
}

/// Loads a model in this process.
fn load_here(options: &LoadOptions) -> Result<Box<dyn Backend>, BackendError> {
    match options.model.backend {
        #[cfg(feature = "llama-cpp")]
        BackendKind::LlamaCpp => Ok(Box::new(llama_cpp::LlamaCpp::load(options)?)),
        #[cfg(feature = "transformers")]
        BackendKind::Transformers => Ok(Box::new(transformers::Transformers::load(options)?)),
        #[allow(unreachable_patterns)]
        other => Err(BackendError::NotBuilt { backend: other }),
    }
}

#[cfg(any(feature = "llama-cpp", feature = "transformers"))]
/// Physical cores, but no more than the process may use.
fn default_threads() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    num_cpus::get_physical().clamp(1, usable)
}

/// The tokens that one sequence may hold of a model trained for so many.
#[cfg(any(feature = "llama-cpp", feature = "transformers"))]
fn context_length_of(settings: &ModelSettings, trained: u32) -> Result<u32, BackendError> {
    match settings.context_length {
        Some(asked) if asked > trained => Err(BackendError::Limit {
            field: "context_length",
            value: asked.to_string(),
            limit: format!("{trained} tokens, the context that the model was trained for"),
        }),
        _ => Ok(settings.context_length_for(trained)),
    }
}

/// Reads the texts of a Hugging Face folder, for fuzzing.
#[cfg(all(feature = "_fuzz", not(feature = "transformers")))]
#[doc(hidden)]
pub fn read_folder(folder: &std::path::Path) {
    fuzzed::read_folder(folder);
}
