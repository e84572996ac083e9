//! Models on the backends of this build. Nothing is left of it without one.
#![cfg(any(feature = "llama-cpp", feature = "transformers"))]

mod architectures;
#[cfg(all(
    feature = "llama-cpp",
    feature = "transformers",
    feature = "bundled-model"
))]
mod both_backends;
#[cfg(feature = "transformers")]
mod checkpoints;
#[cfg(feature = "llama-cpp")]
mod expressed;
#[cfg(all(feature = "llama-cpp", feature = "bundled-model"))]
mod gguf_models;
#[cfg(all(feature = "llama-cpp", feature = "bundled-model"))]
mod llama_cpp;
#[cfg(all(feature = "llama-cpp", feature = "bundled-model"))]
mod mood;
mod offload;
#[cfg(all(feature = "llama-cpp", feature = "bundled-model"))]
mod prompt_tokens;
#[path = "../support/set_mood.rs"]
mod set_mood;
#[cfg(feature = "llama-cpp")]
mod shipped;
mod support;
#[path = "../support/task.rs"]
mod task;
#[cfg(all(feature = "transformers", feature = "bundled-model"))]
mod transformers;
