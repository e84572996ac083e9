//! Bare llama.cpp, which elpis is compared with.
//!
//! All calls of the C interface are in this file.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use llama_cpp_sys_2 as sys;

use crate::model::Noise;

/// The sampling parameters of both sides.
pub const TOP_K: u32 = 40;
pub const TOP_P: f32 = 0.9;
pub const TEMPERATURE: f32 = 0.7;

/// Size of a context, as in elpis.
#[derive(Debug, Clone, Copy)]
pub struct BareOptions {
    /// Number of cells of the key–value cache for each sequence.
    pub context: u32,
    pub sequences: u32,
    /// Rows of a batch.
    pub batch: u32,
    pub threads: usize,
    /// Whether all layers and the cache go to the GPUs.
    pub offload: bool,
}

/// A model and a context.
pub struct Bare {
    model: NonNull<sys::llama_model>,
    context: NonNull<sys::llama_context>,
    options: BareOptions,
    vocabulary: u64,
    rows: Rows,
}

impl Bare {
    /// Loads a model with the same parameters as elpis.
    pub fn load(path: &Path, options: BareOptions) -> Result<Self> {
        let path = path.to_str().context("the path is not UTF-8")?;
        let path = CString::new(path)?;
        // An empty list of devices means that only the processor is used.
        let mut devices: [sys::ggml_backend_dev_t; 1] = [ptr::null_mut()];
        // SAFETY: returns a plain struct of defaults.
        let mut params = unsafe { sys::llama_model_default_params() };
        if !options.offload {
            params.devices = devices.as_mut_ptr();
        }
        params.n_gpu_layers = if options.offload { -1 } else { 0 };
        // By default elpis does not map weights for the processor if there is enough memory.
        params.load_mode = if options.offload {
            sys::LLAMA_LOAD_MODE_MMAP
        } else {
            sys::LLAMA_LOAD_MODE_NONE
        };
        params.use_extra_bufts = true;
        // SAFETY: path and devices outlive the call.
        let model = unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) };
        let model = NonNull::new(model).context("llama.cpp cannot load the model")?;
        // SAFETY: the model is valid, its vocabulary lives as long.
        let vocabulary =
            unsafe { sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(model.as_ptr())) };
        // SAFETY: the model is valid.
        let context =
            unsafe { sys::llama_init_from_model(model.as_ptr(), context_params(options)) };
        let Some(context) = NonNull::new(context) else {
            // SAFETY: nothing else holds the model.
            unsafe { sys::llama_model_free(model.as_ptr()) };
            anyhow::bail!("llama.cpp cannot create the context");
        };
        Ok(Self {
            model,
            context,
            options,
            vocabulary: u64::try_from(vocabulary)?,
            rows: Rows::default(),
        })
    }

    /// Decodes `tokens` tokens after each prompt of the given lengths. Returns the time at which each
    /// token of each sequence was chosen.
    pub fn streams(
        &mut self,
        prompts: &[usize],
        tokens: usize,
        seed: u64,
    ) -> Result<Vec<Vec<Instant>>> {
        ensure!(prompts.len() <= self.options.sequences as usize && tokens > 1);
        // SAFETY: the context is valid.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.context.as_ptr()), false) };
        let samplers: Vec<_> = (0..prompts.len() as u64)
            .map(|sequence| Sampler::new(seed << 8 | sequence))
            .collect::<Result<_>>()?;
        let mut streams = vec![Vec::with_capacity(tokens); prompts.len()];
        let mut next = Vec::with_capacity(prompts.len());
        for (sequence, (&length, sampler)) in prompts.iter().zip(&samplers).enumerate() {
            self.prefill(sequence, length, seed)?;
            next.push(self.sample(sampler, -1));
            streams[sequence].push(Instant::now());
        }
        for step in 0..tokens - 1 {
            self.rows.clear();
            for (sequence, (&length, &token)) in prompts.iter().zip(&next).enumerate() {
                self.rows.push(token, length + step, sequence, true);
            }
            self.decode()?;
            for (row, (next, sampler)) in next.iter_mut().zip(&samplers).enumerate() {
                *next = self.sample(sampler, row as i32);
                streams[row].push(Instant::now());
            }
        }
        Ok(streams)
    }

    fn prefill(&mut self, sequence: usize, length: usize, seed: u64) -> Result<()> {
        let noise = Noise::new(seed << 8 | sequence as u64);
        let positions: Vec<usize> = (0..length).collect();
        for chunk in positions.chunks(self.options.batch as usize) {
            self.rows.clear();
            for &position in chunk {
                let token = noise.bits(position as u64) % self.vocabulary;
                let last = position + 1 == length;
                self.rows.push(token as i32, position, sequence, last);
            }
            self.decode()?;
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<()> {
        let batch = self.rows.batch();
        // SAFETY: the batch's arrays live in `self.rows`, which is not touched meanwhile;
        // tokens are below the vocabulary's size and sequences below `n_seq_max`.
        let code = unsafe { sys::llama_decode(self.context.as_ptr(), batch) };
        ensure!(code == 0, "llama_decode returned {code}");
        Ok(())
    }

    fn sample(&self, sampler: &Sampler, row: i32) -> sys::llama_token {
        // SAFETY: both are valid, and the row of the last batch asked for logits.
        unsafe { sys::llama_sampler_sample(sampler.0.as_ptr(), self.context.as_ptr(), row) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: both are owned; the context goes before its model.
        unsafe {
            sys::llama_free(self.context.as_ptr());
            sys::llama_model_free(self.model.as_ptr());
        }
    }
}

/// The parameters that elpis uses for its context.
fn context_params(options: BareOptions) -> sys::llama_context_params {
    // SAFETY: returns a plain struct of defaults.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = options.context * options.sequences;
    params.n_batch = options.batch;
    params.n_ubatch = options.batch;
    params.n_seq_max = options.sequences + 1;
    params.n_outputs_max = options.sequences + 2;
    params.n_threads = options.threads as i32;
    params.n_threads_batch = params.n_threads;
    params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_AUTO;
    params.offload_kqv = options.offload;
    params.op_offload = options.offload;
    params.kv_unified = true;
    params.no_perf = true;
    params
}

/// llama.cpp's chain of samplers.
struct Sampler(NonNull<sys::llama_sampler>);

impl Sampler {
    fn new(seed: u64) -> Result<Self> {
        // SAFETY: the chain takes over the samplers that are added to it.
        let chain = unsafe {
            let mut params = sys::llama_sampler_chain_default_params();
            params.no_perf = true;
            let chain = sys::llama_sampler_chain_init(params);
            if !chain.is_null() {
                for sampler in [
                    sys::llama_sampler_init_top_k(TOP_K as i32),
                    sys::llama_sampler_init_top_p(TOP_P, 1),
                    sys::llama_sampler_init_temp(TEMPERATURE),
                    sys::llama_sampler_init_dist(seed as u32),
                ] {
                    sys::llama_sampler_chain_add(chain, sampler);
                }
            }
            chain
        };
        NonNull::new(chain).map(Self).context("no sampler")
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: the chain is owned, and frees its parts.
        unsafe { sys::llama_sampler_free(self.0.as_ptr()) };
    }
}

/// The arrays of a batch.
#[derive(Default)]
struct Rows {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    counts: Vec<i32>,
    sequences: Vec<sys::llama_seq_id>,
    pointers: Vec<*mut sys::llama_seq_id>,
    logits: Vec<i8>,
}

impl Rows {
    fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.counts.clear();
        self.sequences.clear();
        self.pointers.clear();
        self.logits.clear();
    }

    fn push(&mut self, token: i32, position: usize, sequence: usize, logits: bool) {
        self.tokens.push(token);
        self.positions.push(position as i32);
        self.counts.push(1);
        self.sequences.push(sequence as i32);
        self.logits.push(i8::from(logits));
    }

    fn batch(&mut self) -> sys::llama_batch {
        // The pointers are set last, because pushing may have moved the ids.
        self.pointers.clear();
        self.pointers
            .extend(self.sequences.iter_mut().map(ptr::from_mut));
        sys::llama_batch {
            n_tokens: self.tokens.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.pointers.as_mut_ptr(),
            logits: self.logits.as_mut_ptr(),
        }
    }
}

/// Discards the log of llama.cpp, in a process without elpis, which would set its own log callback.
pub fn silence() {
    unsafe extern "C" fn ignore(
        _: sys::ggml_log_level,
        _: *const std::ffi::c_char,
        _: *mut std::ffi::c_void,
    ) {
    }
    // SAFETY: the function does nothing, at any time and on any thread.
    unsafe { sys::llama_log_set(Some(ignore), ptr::null_mut()) };
}

/// The processor features that the kernels were built for.
pub fn system_info() -> String {
    // SAFETY: returns a NUL-terminated text that llama.cpp keeps.
    let text = unsafe { CStr::from_ptr(sys::llama_print_system_info()) };
    text.to_string_lossy()
        .trim()
        .trim_end_matches('|')
        .trim()
        .to_owned()
}
