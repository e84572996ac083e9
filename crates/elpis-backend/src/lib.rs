//! The interface of backends, which run a model, and their shared parts.
//!
//! A [`Backend`] is one loaded model with its key–value cache. A scheduler hands it batches whose
//! rows belong to different sequences, each row with its own steering plan. Everything above this
//! crate is the same for every backend. [`BackendLayer`] is for backends that wrap others.
//!
//! The crate also has parts that backends need: the validation of model files before native code
//! reads them ([`check_gguf`]), prompts whose texts never become control tokens
//! ([`prompt_tokens`]), the norms of the residual stream ([`norms`]), the system's memory
//! ([`memory`]) and heartbeats while a model is loaded ([`heartbeat`]).

#![forbid(unsafe_code)]

mod batch;
mod buffer;
mod bundled;
mod choice;
mod digest;
mod error;
mod facts;
mod gguf;
pub mod heartbeat;
mod interface;
mod layer;
mod loader;
pub mod memory;
pub mod norms;
mod options;
mod prompt;
mod tokenizer;
mod wire;

pub use batch::{Batch, Row, SequenceId};
pub use buffer::sized;
pub use bundled::BundledModel;
pub use digest::WeightsDigest;
pub use error::{BackendError, WORKER_ENDS, WorkerEnd};
pub use facts::{Device, DeviceKind, ModelFacts};
pub use gguf::{GgufKind, check as check_gguf, check_beginning as check_gguf_beginning};
#[doc(hidden)]
pub use gguf::{check_bytes as check_gguf_bytes, names as gguf_names};
pub use interface::{Backend, DeathNotice};
pub use layer::BackendLayer;
pub use loader::{Loader, load_with};
pub use options::{
    BackendKind, FlashAttention, LoadOptions, ModelOptions, ModelSource, ModelTrust, TorchDtype,
    WorkerOptions, default_threads,
};
pub use prompt::prompt_tokens;
#[doc(hidden)]
pub use prompt::{by_parts as prompt_by_parts, controls as prompt_controls};
pub use tokenizer::{ControlToken, Token, Tokenizer};
#[doc(hidden)]
pub use wire::FactsDef;
