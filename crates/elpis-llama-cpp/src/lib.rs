//! llama.cpp: GGUF models, quantised or not, on the CPU or a GPU.
//!
//! The crate `llama-cpp-2` has no safe call for control vectors, evaluation
//! callbacks or all load parameters, so the model and its context are created
//! through the raw bindings behind the two small owners in `model` and
//! `context`; vocabulary and metadata go through the crate.
#![allow(unsafe_code, reason = "llama.cpp is called through its C interface")]

mod context;
mod guard;
mod hook;
mod log;
mod model;
#[cfg(test)]
mod names;
#[cfg(all(test, feature = "bundled-model"))]
mod tests;
mod tokenizer;

use std::sync::Arc;

use context::{Context, ContextOptions};
use model::Model;
use tokenizer::LlamaTokenizer;

use elpis_steering::{Projection, ReadingAxes};

use elpis_backend::memory::SystemMemory;
use elpis_backend::{
    Backend, BackendError, BackendKind, Batch, Device, DeviceKind, LoadOptions, Loader, ModelFacts,
    ModelSource, SequenceId, Token, Tokenizer, default_threads, heartbeat, norms,
};

/// One more row of logits than sampling needs, which is one for each sequence.
const SPARE_OUTPUTS: u32 = 1;

/// Number of rows with logits in a probe of the last layer, which shows no other rows.
const PROBE_OUTPUTS: u32 = 16;

/// The loader that a program registers for GGUF models.
pub const LOADER: Loader = Loader {
    kind: BackendKind::LlamaCpp,
    load: |options| Ok(Box::new(LlamaCpp::load(options)?)),
    devices,
};

/// A GGUF model with its context.
#[derive(Debug)]
pub struct LlamaCpp {
    facts: Arc<ModelFacts>,
    tokenizer: Arc<LlamaTokenizer>,
    context: Context,
    scratch: SequenceId,
}

impl LlamaCpp {
    /// Loads a model from a file or from the bundled bytes.
    ///
    /// # Errors
    /// [`BackendError`] if the source is not a GGUF file or the file is refused.
    pub fn load(options: &LoadOptions) -> Result<Self, BackendError> {
        log::install();
        let model = match &options.source {
            ModelSource::Bundled => {
                let bytes =
                    elpis_backend::BundledModel::gguf().ok_or(BackendError::NoBundledModel)?;
                Model::from_bytes(elpis_backend::BundledModel::NAME, bytes, options)?
            }
            ModelSource::File(path) => Model::from_file(path, options)?,
            source @ (ModelSource::Folder(_) | ModelSource::Hub { .. }) => {
                return Err(source.unsupported("GGUF"));
            }
        };
        Self::with_model(&Arc::new(model), options)
    }

    fn with_model(model: &Arc<Model>, options: &LoadOptions) -> Result<Self, BackendError> {
        let settings = &options.model;
        let trained = model.context_trained();
        let context_length = settings.context_length_of(trained)?;
        // Two more sequences than are evaluated: one for the cached sequence of the last
        // conversation and one for probes.
        let sequences = options.n_sequences + 2;
        heartbeat::beat();
        let batch_size = settings.batch_size.max(options.n_sequences) as usize;
        let cells = context_length.saturating_mul(options.n_sequences);
        let context = Context::new(
            Arc::clone(model),
            &ContextOptions {
                n_ctx: cells,
                n_batch: batch_size as u32,
                n_seq_max: sequences,
                // llama.cpp reserves a row for every sequence and aborts if it may not.
                n_outputs_max: (sequences + SPARE_OUTPUTS).max(PROBE_OUTPUTS),
                n_threads: settings.n_threads.unwrap_or_else(default_threads) as u32,
                flash_attention: settings.flash_attention,
                offload: options.devices.iter().any(|d| d.kind.is_gpu()),
            },
        )?;
        let batch_size = context.n_batch();
        let tokenizer = Arc::new(LlamaTokenizer::new(Arc::clone(model)));
        let mut facts = model.facts();
        facts.context_length = context_length;
        facts.n_sequences = options.n_sequences;
        facts.cache_cells = cells;
        facts.batch_size = batch_size;
        let mut loaded = Self {
            facts: Arc::new(facts),
            tokenizer,
            context,
            scratch: sequences - 1,
        };
        heartbeat::beat();
        let measured = loaded.measure()?;
        heartbeat::beat();
        let facts = Arc::make_mut(&mut loaded.facts);
        match measured {
            Ok(norms) => facts.residual_norms = norms,
            Err(reason) => {
                tracing::warn!(model = %facts.name, %reason, "this model cannot be steered");
                facts.unsteerable = Some(reason);
            }
        }
        Ok(loaded)
    }

    /// The norms at all layers that the model's graph exposes, or why it exposes none. The graphs
    /// of some architectures do not have layer outputs as rows, or not that of the last layer.
    fn measure(&mut self) -> Result<Result<Vec<f32>, String>, BackendError> {
        let n_layers = self.facts.n_layers;
        let mut last_reason = String::new();
        for layers in [n_layers, n_layers.saturating_sub(1)] {
            match norms::measure(self, layers) {
                Err(BackendError::Native { call, reason }) if call == hook::CALL => {
                    last_reason = reason;
                }
                other => return other.map(Ok),
            }
        }
        Ok(Err(last_reason))
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

    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        norms::check_axes(&self.facts, axes.as_deref())?;
        self.context.set_reading(axes);
        Ok(())
    }

    fn projection(&self, row: usize) -> Option<Projection> {
        self.context.projection(row)
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

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.context.save_sequence(sequence, memory)
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
        // The last layer only shows rows whose logits are requested.
        let all = layers.iter().any(|layer| layer + 1 == self.facts.n_layers);
        let most = if all {
            tokens.len().min(PROBE_OUTPUTS as usize)
        } else {
            tokens.len()
        };
        let mut stream = vec![Vec::with_capacity(tokens.len()); layers.len()];
        let mut batch = Batch::with_capacity(most);
        let mut evaluate = |context: &mut Context| {
            for (chunk, position) in tokens.chunks(most.max(1)).zip((0..).step_by(most.max(1))) {
                batch.clear();
                for (token, position) in chunk.iter().zip(position..) {
                    batch.push(self.scratch, position, &[*token], all, None);
                }
                let captured = context.decode_capturing(&batch, layers)?;
                for (rows, flat) in stream.iter_mut().zip(captured) {
                    rows.extend(flat.chunks_exact(self.facts.n_embd).map(<[f32]>::to_vec));
                }
            }
            Ok(())
        };
        let evaluated = evaluate(&mut self.context);
        self.context.truncate(self.scratch, 0)?;
        evaluated.map(|()| stream)
    }
}

/// Lists the devices that the linked llama.cpp reports.
pub fn devices() -> Vec<Device> {
    log::install();
    // For the CPU, llama.cpp reports all memory as free.
    let machine = SystemMemory::look();
    llama_cpp_2::list_llama_ggml_backend_devices()
        .into_iter()
        .map(|device| {
            let kind = match device.backend.to_ascii_lowercase().as_str() {
                "cuda" => DeviceKind::Cuda,
                "rocm" | "hip" => DeviceKind::Rocm,
                "vulkan" => DeviceKind::Vulkan,
                "metal" | "mtl" => DeviceKind::Metal,
                "cpu" => DeviceKind::Cpu,
                _ => DeviceKind::Other,
            };
            let (total, free) = (device.memory_total as u64, device.memory_free as u64);
            let (memory_total, memory_free) = match machine {
                Some(machine) if kind == DeviceKind::Cpu => (machine.total, machine.available),
                _ => (total, free),
            };
            Device {
                backend: BackendKind::LlamaCpp,
                kind,
                index: device.index,
                name: device.name,
                description: device.description,
                memory_total,
                memory_free,
            }
        })
        .collect()
}
