//! What is done with an input. Each target panics if it finds something wrong.

#[cfg(feature = "transformers")]
pub mod checkpoint;
pub mod frames;
pub mod gguf;
pub mod gguf_model;
pub mod hub;
pub mod manifest;
pub mod pt;
pub mod safetensors;
pub mod schemas;
pub mod settings;
pub mod store_import;
pub mod store_rows;
pub mod templates;
pub mod tool_calls;

mod memory;
