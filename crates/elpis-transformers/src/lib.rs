//! Hugging Face checkpoints on libtorch, for `elpis`.
//!
//! One decoder, described by data, runs the architectures of the Llama family. Weights stay in the
//! mapped files if type and device allow, keys and values are in a cache that never moves, and
//! every row of a batch is steered with its own vector.
//!
//! Without the feature `libtorch`, only the code that reads configurations and tokenizers is built.
#![allow(
    clippy::disallowed_methods,
    reason = "no emotional state depends on it"
)]
#![allow(
    unsafe_code,
    reason = "files are mapped, and libtorch reads borrowed memory"
)]
#![cfg_attr(not(feature = "libtorch"), allow(dead_code))]

mod checkpoint;
mod config;
mod family;
mod fields;
mod folder;
mod rope;
mod tokenizer;

#[cfg(feature = "libtorch")]
mod attention;
#[cfg(feature = "libtorch")]
mod cache;
#[cfg(feature = "libtorch")]
mod decoder;
#[cfg(feature = "libtorch")]
mod device;
#[cfg(feature = "libtorch")]
mod inputs;
#[cfg(feature = "libtorch")]
mod layer;
#[cfg(feature = "libtorch")]
mod model;
#[cfg(feature = "libtorch")]
mod native;
#[cfg(feature = "libtorch")]
mod rotary;
#[cfg(feature = "libtorch")]
mod steering;
#[cfg(feature = "libtorch")]
mod step;
#[cfg(all(test, feature = "libtorch", feature = "bundled-model"))]
mod tests;
#[cfg(feature = "libtorch")]
mod weights;

#[doc(hidden)]
pub use folder::read_folder;
#[cfg(feature = "libtorch")]
pub use model::{Transformers, devices};

const CONFIG: &str = "config.json";

/// The loader that a program registers for Hugging Face folders.
#[cfg(feature = "libtorch")]
pub const LOADER: elpis_backend::Loader = elpis_backend::Loader {
    kind: elpis_backend::BackendKind::Transformers,
    load: |options| Ok(Box::new(Transformers::load(options)?)),
    devices,
};
