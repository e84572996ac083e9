//! llama.cpp: GGUF models, quantised or not, on the CPU or a GPU.
//!
//! The crate `llama-cpp-2` has no safe call for control vectors, evaluation
//! callbacks or all load parameters, so the model and its context are created
//! through the raw bindings behind the two small owners in `model` and
//! `context`; vocabulary and metadata go through the crate.
#![allow(unsafe_code)]

mod context;
mod hook;
mod log;
mod model;
#[cfg(all(test, feature = "bundled-model"))]
mod tests;
mod tokenizer;

use std::sync::Arc;

use context::{Context, ContextOptions};
use model::Model;
use tokenizer::LlamaTokenizer;

use super::{
    Backend, BackendError, BackendKind, Batch, Device, DeviceKind, LoadOptions, ModelFacts,
    SequenceId, Token, Tokenizer, context_length_of, default_threads, norms,
};
use crate::settings::ModelSource;

/// Sampling needs one row of logits for each sequence; a few more for probes.
const SPARE_OUTPUTS: u32 = 1;

/// A GGUF model with its context.
#[derive(Debug)]
pub(crate) struct LlamaCpp {
    facts: Arc<ModelFacts>,
    tokenizer: Arc<LlamaTokenizer>,
    context: Context,
    scratch: SequenceId,
}

impl LlamaCpp {
    /// Loads a model from a file or from the bundled bytes.
    pub(crate) fn load(options: &LoadOptions) -> Result<Self, BackendError> {
        log::install();
        let model = match &options.source {
            ModelSource::Bundled => {
                let bytes = super::BundledModel::gguf().ok_or(BackendError::NoBundledModel)?;
                Model::from_bytes(super::BundledModel::NAME, bytes, options)?
            }
            ModelSource::File(path) => Model::from_file(path, options)?,
            ModelSource::Folder(path) => {
                return Err(BackendError::NotAModel {
                    path: path.clone(),
                    expected: "GGUF",
                    found: "a folder".to_owned(),
                });
            }
            ModelSource::Hub { repo, .. } => {
                return Err(BackendError::NotAModel {
                    path: repo.into(),
                    expected: "GGUF",
                    found: "a hub name that was not resolved to a file".to_owned(),
                });
            }
        };
        Self::with_model(&Arc::new(model), options)
    }

    fn with_model(model: &Arc<Model>, options: &LoadOptions) -> Result<Self, BackendError> {
        let settings = &options.model;
        let trained = model.context_trained();
        let context_length = context_length_of(settings, trained)?;
        // Two sequences more than are evaluated: one for what the last
        // conversation left behind, one for probes.
        let sequences = options.n_sequences + 2;
        let batch_size = settings.batch_size.max(options.n_sequences) as usize;
        let cells = context_length.saturating_mul(options.n_sequences);
        let context = Context::new(
            Arc::clone(model),
            &ContextOptions {
                n_ctx: cells,
                n_batch: batch_size as u32,
                n_seq_max: sequences,
                // llama.cpp makes room for a row of every sequence and aborts if
                // it may not.
                n_outputs_max: sequences + SPARE_OUTPUTS,
                n_threads: settings.n_threads.unwrap_or_else(default_threads) as u32,
                flash_attention: settings.flash_attention,
                offload: options.devices.iter().any(|d| d.kind.is_gpu()),
            },
        )?;
        let tokenizer = Arc::new(LlamaTokenizer::new(Arc::clone(model)));
        let mut loaded = Self {
            facts: Arc::new(ModelFacts {
                context_length,
                n_sequences: options.n_sequences,
                cache_cells: cells,
                batch_size,
                ..model.facts()
            }),
            tokenizer,
            context,
            scratch: sequences - 1,
        };
        let norms = norms::measure(&mut loaded)?;
        Arc::make_mut(&mut loaded.facts).residual_norms = norms;
        Ok(loaded)
    }
}

impl Backend for LlamaCpp {
    fn facts(&self) -> &Arc<ModelFacts> {
        &self.facts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::clone(&self.tokenizer) as Arc<dyn Tokenizer>
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.context.decode(batch)
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        self.context.logits(row)
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.context.truncate(sequence, from)
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.context.share_prefix(from, to, length)
    }

    fn save_sequence(&mut self, sequence: SequenceId) -> Result<Vec<u8>, BackendError> {
        self.context.save_sequence(sequence)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.context.restore_sequence(sequence, length, bytes)
    }

    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        norms::check(&self.facts, tokens, layers)?;
        let mut batch = Batch::with_capacity(tokens.len());
        batch.push(self.scratch, 0, tokens, true, None);
        let captured = self.context.decode_capturing(&batch, layers);
        self.context.truncate(self.scratch, 0)?;
        let n_embd = self.facts.n_embd;
        Ok(captured?
            .into_iter()
            .map(|flat| flat.chunks_exact(n_embd).map(<[f32]>::to_vec).collect())
            .collect())
    }
}

/// Lists what the linked llama.cpp reports.
pub(crate) fn devices() -> Vec<Device> {
    log::install();
    llama_cpp_2::list_llama_ggml_backend_devices()
        .into_iter()
        .map(|device| Device {
            backend: BackendKind::LlamaCpp,
            kind: match device.backend.to_ascii_lowercase().as_str() {
                "cuda" => DeviceKind::Cuda,
                "rocm" | "hip" => DeviceKind::Rocm,
                "vulkan" => DeviceKind::Vulkan,
                "metal" | "mtl" => DeviceKind::Metal,
                "cpu" => DeviceKind::Cpu,
                _ => DeviceKind::Other,
            },
            index: device.index,
            name: device.name,
            description: device.description,
            memory_total: device.memory_total as u64,
            memory_free: device.memory_free as u64,
        })
        .collect()
}
