//! The backend: a loaded checkpoint.

use std::sync::Arc;
use std::thread::ThreadId;

use tch::Kind;

use crate::CONFIG;
use crate::cache::KvCache;
use crate::checkpoint::{Checkpoint, Files};
use crate::config::DecoderConfig;
use crate::decoder::{Axes, Decoder};
use crate::device;
use crate::fields::Fields;
use crate::native::native;
use crate::steering::Steering;
use crate::step::Step;
use crate::tokenizer::{FolderTokenizer, TextFacts};
use crate::weights::Loader;

use elpis_steering::{Projection, ReadingAxes};

use elpis_backend::{
    Backend, BackendError, BackendKind, Batch, Device, LoadOptions, ModelFacts, ModelSource,
    SequenceId, Token, Tokenizer, TorchDtype, default_threads, norms,
};

/// The format that this backend loads.
const FOLDER: &str = "Hugging Face model folder";

/// A Hugging Face checkpoint with its cache.
#[derive(Debug)]
pub struct Transformers {
    facts: Arc<ModelFacts>,
    tokenizer: Arc<FolderTokenizer>,
    decoder: Decoder,
    pub(super) cache: KvCache,
    steering: Steering,
    /// For each row of the last batch, its index among the logits, or −1.
    outputs: Vec<i64>,
    /// `[outputs, vocabulary]`.
    logits: Vec<f32>,
    axes: Option<Axes>,
    /// `[outputs, 2]` of the last batch; empty if it was not read.
    projections: Vec<f32>,
    scratch: SequenceId,
    threads: i32,
    /// The thread for which libtorch's number of threads was set.
    configured: Option<ThreadId>,
    // Weights may point into its maps, so it must be dropped last.
    _checkpoint: Option<Checkpoint>,
}

impl Transformers {
    /// Loads a model from a folder or from the bundled bytes.
    ///
    /// # Errors
    /// [`BackendError`] if the source is not such a folder or is refused.
    pub fn load(options: &LoadOptions) -> Result<Self, BackendError> {
        let files = match &options.source {
            ModelSource::Bundled => Files::bundled()?,
            ModelSource::Folder(path) => Files::Folder(path.clone()),
            source @ (ModelSource::File(_) | ModelSource::Hub { .. }) => {
                return Err(source.unsupported(FOLDER));
            }
        };
        let value = files.json(CONFIG)?.ok_or_else(|| BackendError::NotAModel {
            path: files.path(""),
            expected: FOLDER,
            found: format!("it has no {CONFIG}"),
        })?;
        let path = files.path(CONFIG);
        let fields = Fields::new(&path, &value)?;
        let config = DecoderConfig::read(&fields)?;
        let (tokenizer, texts) = FolderTokenizer::read(&files, &fields)?;
        let checkpoint = Checkpoint::open(&files)?;
        Self::assemble(options, &config, &files, checkpoint, tokenizer, texts)
    }

    fn assemble(
        options: &LoadOptions,
        config: &DecoderConfig,
        files: &Files,
        checkpoint: Checkpoint,
        tokenizer: FolderTokenizer,
        texts: TextFacts,
    ) -> Result<Self, BackendError> {
        let settings = &options.model;
        let trained = config.context as u32;
        let context = settings.context_length_of(trained)?;
        let n_layers = config.layers.len();
        let devices = device::placement(options, n_layers)?;
        let on_gpu = devices.iter().any(|device| device.is_cuda());
        let kind = match settings.torch_dtype {
            TorchDtype::Auto if on_gpu => Kind::BFloat16,
            TorchDtype::Auto | TorchDtype::Float32 => Kind::Float,
            TorchDtype::Float16 => Kind::Half,
            TorchDtype::Bfloat16 => Kind::BFloat16,
        };
        let threads = settings.n_threads.unwrap_or_else(default_threads);
        let _no_grad = tch::no_grad_guard();
        let mut loader = Loader::new(
            &checkpoint,
            kind,
            // Weights that are used in the file's layout are read in place.
            settings.mmap.unwrap_or(true),
            settings.use_extra_bufts,
            threads,
        );
        let decoder = Decoder::load(config, &mut loader, kind, &devices, context as usize)?;
        let unused = loader.unused();
        if !unused.is_empty() {
            tracing::warn!(
                model = files.name(),
                count = unused.len(),
                first = unused.first(),
                "tensors of the checkpoint are not used"
            );
        }
        let borrowed = loader.borrowed();
        // Two more sequences than are evaluated: one for the cached sequence of the last
        // conversation and one for probes.
        let sequences = options.n_sequences + 2;
        let cache = KvCache::new(
            &devices,
            sequences as usize,
            context as usize,
            decoder.kv_width(),
            kind,
        )?;
        let (n_params, size_bytes) = checkpoint.size();
        let weights_digest = checkpoint.digest(files)?;
        let batch_size = settings.batch_size.max(options.n_sequences) as usize;
        let mut facts = ModelFacts::new(files.name(), BackendKind::Transformers);
        facts.architecture.clone_from(&config.architecture);
        facts.description = format!(
            "{} {:.1}M {}",
            config.architecture,
            n_params as f64 / 1e6,
            kind_name(kind)
        );
        facts.n_layers = n_layers;
        facts.n_embd = config.hidden;
        facts.n_vocab = config.vocab;
        facts.n_params = n_params;
        facts.size_bytes = size_bytes;
        facts.weights_digest = weights_digest;
        facts.context_trained = trained;
        facts.context_length = context;
        facts.n_sequences = options.n_sequences;
        facts.cache_cells = context.saturating_mul(options.n_sequences);
        facts.batch_size = batch_size;
        facts.chat_template = texts.chat_template;
        facts.bos_token = texts.bos_token;
        facts.eos_token = texts.eos_token;
        let mut loaded = Self {
            facts: Arc::new(facts),
            tokenizer: Arc::new(tokenizer),
            decoder,
            cache,
            steering: Steering::default(),
            outputs: Vec::new(),
            logits: Vec::new(),
            axes: None,
            projections: Vec::new(),
            scratch: sequences - 1,
            threads: threads as i32,
            configured: None,
            _checkpoint: borrowed.then_some(checkpoint),
        };
        let norms = norms::measure(&mut loaded, n_layers)?;
        Arc::make_mut(&mut loaded.facts).residual_norms = norms;
        Ok(loaded)
    }

    /// Sets libtorch's number of threads, which it keeps for each calling thread.
    fn configure_thread(&mut self) {
        let this = std::thread::current().id();
        if self.configured != Some(this) {
            tch::set_num_threads(self.threads);
            self.configured = Some(this);
        }
    }

    fn evaluate(
        &mut self,
        batch: &Batch,
        capture: &[usize],
    ) -> Result<Vec<tch::Tensor>, BackendError> {
        self.outputs.clear();
        self.projections.clear();
        if batch.is_empty() || batch.len() > self.facts.batch_size {
            return Err(BackendError::Limit {
                field: "batch rows",
                value: batch.len().to_string(),
                limit: format!("1 to {}", self.facts.batch_size),
            });
        }
        self.configure_thread();
        let step = Step::new(batch, &self.cache, self.facts.n_vocab)?;
        let _no_grad = tch::no_grad_guard();
        self.steering
            .set(batch, self.facts.n_layers, self.facts.n_embd)?;
        let evaluated = self
            .decoder
            .forward(
                &step,
                &mut self.cache,
                &self.steering,
                self.axes.as_ref(),
                capture,
            )
            .map_err(|error| native("evaluation", &error))?;
        if let Some(logits) = evaluated.logits {
            let count = step.outputs.len() * self.facts.n_vocab;
            self.logits.resize(count, 0.0);
            logits
                .f_copy_data(&mut self.logits, count)
                .map_err(|error| native("reading logits", &error))?;
        }
        if let Some(projections) = evaluated.projections {
            let count = step.outputs.len() * 2;
            self.projections.resize(count, 0.0);
            projections
                .f_copy_data(&mut self.projections, count)
                .map_err(|error| native("reading projections", &error))?;
        }
        for &(sequence, length) in &step.lengths {
            self.cache.grow(sequence, length);
        }
        self.outputs = step.outputs;
        Ok(evaluated.captured)
    }
}

impl Backend for Transformers {
    fn facts(&self) -> &Arc<ModelFacts> {
        &self.facts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::clone(&self.tokenizer) as Arc<dyn Tokenizer>
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.evaluate(batch, &[]).map(drop)
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        let n_vocab = self.facts.n_vocab;
        self.outputs
            .binary_search(&(row as i64))
            .ok()
            .and_then(|index| self.logits.get(index * n_vocab..(index + 1) * n_vocab))
            .ok_or(BackendError::NoLogits { row })
    }

    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        norms::check_axes(&self.facts, axes.as_deref())?;
        self.projections.clear();
        self.axes = match axes {
            None => None,
            Some(axes) => {
                let values = [&*axes.valence, &*axes.arousal].concat();
                let rows = tch::Tensor::f_from_slice(&values);
                let rows = rows.and_then(|rows| rows.f_view([2, -1]));
                Some(Axes {
                    layer: axes.layer,
                    rows: rows.map_err(|error| native("set_reading", &error))?,
                })
            }
        };
        Ok(())
    }

    fn projection(&self, row: usize) -> Option<Projection> {
        let index = self.outputs.binary_search(&(row as i64)).ok()?;
        let (pairs, _) = self.projections.as_chunks();
        let [valence, arousal] = *pairs.get(index)?;
        Some(Projection::new(valence, arousal))
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.cache.truncate(sequence, from)
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        let _no_grad = tch::no_grad_guard();
        self.cache.share(from, to, length)
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        let _no_grad = tch::no_grad_guard();
        self.cache.save(sequence, memory)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        let _no_grad = tch::no_grad_guard();
        self.cache.restore(sequence, length, bytes)
    }

    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        norms::check(&self.facts, tokens, layers)?;
        let mut batch = Batch::with_capacity(tokens.len());
        batch.push(self.scratch, 0, tokens, false, None);
        let captured = self.evaluate(&batch, layers);
        self.cache.truncate(self.scratch, 0)?;
        let n_embd = self.facts.n_embd;
        captured?
            .iter()
            .map(|rows| {
                let mut flat = vec![0.0_f32; rows.numel()];
                rows.f_copy_data(&mut flat, rows.numel())
                    .map_err(|error| native("reading activations", &error))?;
                Ok(flat.chunks_exact(n_embd).map(<[f32]>::to_vec).collect())
            })
            .collect()
    }
}

/// Lists the devices that libtorch reports.
pub fn devices() -> Vec<Device> {
    device::devices()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Half => "float16",
        Kind::BFloat16 => "bfloat16",
        _ => "float32",
    }
}
