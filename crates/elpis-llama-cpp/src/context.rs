//! Owns a llama.cpp context: the key–value cache and the decoder.

mod sequences;

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::guard::{Assertions, guarded, throwing};
use super::hook::{self, Hook};
use super::log;
use super::model::Model;
use elpis_backend::FlashAttention;
use elpis_backend::{BackendError, Batch};
#[cfg(test)]
use elpis_steering::SteeringPlan;
use elpis_steering::{Projection, ReadingAxes};

/// Serialises the creation of contexts, because creating two contexts of one model at once is
/// unsound in llama.cpp.
static CREATION: Mutex<()> = Mutex::new(());

/// Options for creating a context.
pub(super) struct ContextOptions {
    /// Cells of the key–value cache, shared by all sequences.
    pub(super) n_ctx: u32,
    /// Most rows of one batch.
    pub(super) n_batch: u32,
    /// Maximum number of sequences.
    pub(super) n_seq_max: u32,
    /// Maximum number of rows with logits in one batch.
    pub(super) n_outputs_max: u32,
    /// Number of threads.
    pub(super) n_threads: u32,
    pub(super) flash_attention: FlashAttention,
    /// Whether the cache may be on a GPU.
    pub(super) offload: bool,
}

/// A context with the hook that steers its rows.
#[derive(Debug)]
pub(super) struct Context {
    pointer: NonNull<sys::llama_context>,
    /// Owned; llama.cpp's callback holds the same pointer.
    hook: NonNull<Hook>,
    memory: sys::llama_memory_t,
    n_vocab: usize,
    n_batch: usize,
    n_seq_max: u32,
    /// Why it must no longer be used, because an exception left it in an unknown state.
    broken: Option<String>,
    /// Size of the model's sliding window in positions; 0 if there is none; `None` for a model
    /// whose memory is not a list of positions.
    n_window: Option<u32>,
    native: NativeBatch,
    logits_rows: Vec<bool>,
    _model: Arc<Model>,
}

// SAFETY: a llama.cpp context may move between threads as long as one thread
// uses it at a time; it is never shared (no `Sync`).
unsafe impl Send for Context {}

impl Context {
    /// Creates a context of a model.
    pub(super) fn new(model: Arc<Model>, options: &ContextOptions) -> Result<Self, BackendError> {
        let n_layers = model.inner().n_layer() as usize;
        let n_embd = usize::try_from(model.inner().n_embd()).unwrap_or_default();
        let n_vocab = usize::try_from(model.inner().n_vocab()).unwrap_or_default();
        let hook = Box::new(Hook::new(n_layers, n_embd, !model.supports_truncation()));
        let hook = NonNull::from(Box::leak(hook));
        // SAFETY: returns a plain struct of defaults.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.n_ctx;
        params.n_batch = options.n_batch;
        // Rows reach the hook in batch order only if a batch is never split.
        params.n_ubatch = options.n_batch;
        params.n_seq_max = options.n_seq_max;
        params.n_outputs_max = options.n_outputs_max;
        params.n_threads = i32::try_from(options.n_threads).unwrap_or(i32::MAX);
        params.n_threads_batch = params.n_threads;
        params.flash_attn_type = match options.flash_attention {
            FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        params.offload_kqv = options.offload;
        params.op_offload = options.offload;
        params.kv_unified = true;
        params.no_perf = true;
        params.cb_eval = Some(hook::on_tensor);
        params.cb_eval_user_data = hook.as_ptr().cast();
        let (context, log) = {
            let _one_at_a_time = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
            log::collecting(|| {
                // SAFETY: the model outlives the context (`_model`), the hook too.
                guarded(Assertions::All, || unsafe {
                    throwing::llama_init_from_model(model.as_ptr(), params)
                })
            })
        };
        let call = "llama_init_from_model";
        // llama.cpp may still hold the hook's address, so the hook is leaked.
        let context = context.map_err(|thrown| thrown.of(model.path(), call))?;
        let Some(context) = NonNull::new(context) else {
            // SAFETY: the hook was leaked above and nobody else holds it.
            drop(unsafe { Box::from_raw(hook.as_ptr()) });
            return Err(BackendError::Native {
                call,
                reason: log::reason(&log),
            });
        };
        // SAFETY: a plain query of a live context: it takes no more than its cells hold.
        let n_batch = unsafe { sys::llama_n_batch(context.as_ptr()) }.min(options.n_batch);
        // SAFETY: the context is valid; its memory lives as long.
        let memory = unsafe { sys::llama_get_memory(context.as_ptr()) };
        Ok(Self {
            pointer: context,
            hook,
            memory,
            n_vocab,
            n_batch: n_batch as usize,
            n_seq_max: options.n_seq_max,
            broken: None,
            n_window: model.supports_truncation().then(|| model.window()),
            native: NativeBatch::default(),
            logits_rows: Vec::new(),
            _model: model,
        })
    }

    /// Most rows of one batch.
    pub(super) fn n_batch(&self) -> usize {
        self.n_batch
    }

    /// Evaluates a batch under its steering plans.
    pub(super) fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        // SAFETY: llama.cpp uses the hook only inside `llama_decode`.
        unsafe { self.hook.as_mut() }.steer(batch);
        self.evaluate(batch)
    }

    /// Sets the axes that rows with logits are projected on.
    pub(super) fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) {
        // SAFETY: as in `decode`.
        unsafe { self.hook.as_mut() }.set_axes(axes);
    }

    /// The projection of a row of the last batch.
    pub(super) fn projection(&self, row: usize) -> Option<Projection> {
        if !self.logits_rows.get(row).copied().unwrap_or(false) {
            return None;
        }
        // SAFETY: as in `decode`.
        unsafe { self.hook.as_ref() }.projection(row)
    }

    /// Evaluates a batch unsteered and returns the residual stream at the
    /// output of each of `layers`, `[n_rows × n_embd]` each.
    pub(super) fn decode_capturing(
        &mut self,
        batch: &Batch,
        layers: &[usize],
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        // SAFETY: as in `decode`.
        unsafe { self.hook.as_mut() }.capture(batch, layers);
        self.evaluate(batch)?;
        // SAFETY: as in `decode`; the evaluation is over.
        unsafe { self.hook.as_mut() }.take_captured(layers)
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.logits_rows.clear();
        self.check_whole()?;
        self.check(batch)?;
        let native = self.native.fill(batch);
        let context = self.pointer.as_ptr();
        // SAFETY: the batch's arrays live in `self.native`, have `n_tokens`
        // entries each, and every sequence id is below `n_seq_max` (checked).
        let decoded = guarded(Assertions::OutsideTeams, || unsafe {
            throwing::llama_decode(context, native)
        });
        let code = decoded.map_err(|thrown| self.broke(thrown.reason()))?;
        // SAFETY: the evaluation is over.
        let fault = unsafe { self.hook.as_mut() }.finish(code == 0);
        match (code, fault) {
            (0, None) => {
                self.logits_rows
                    .extend(batch.rows().iter().map(|r| r.logits));
                Ok(())
            }
            (0, Some(reason)) => Err(BackendError::Native {
                call: hook::CALL,
                reason,
            }),
            (1, _) => Err(BackendError::CacheFull { rows: batch.len() }),
            (2, _) => Err(BackendError::Aborted),
            (code, _) => Err(BackendError::Native {
                call: "llama_decode",
                reason: format!("code {code}"),
            }),
        }
    }

    /// Fails if an exception left the context in an unknown state.
    fn check_whole(&self) -> Result<(), BackendError> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => Err(BackendError::Broken {
                reason: reason.clone(),
            }),
        }
    }

    /// Records why the context is no longer usable.
    fn broke(&mut self, reason: String) -> BackendError {
        self.broken = Some(reason.clone());
        BackendError::Broken { reason }
    }

    fn check(&self, batch: &Batch) -> Result<(), BackendError> {
        let limit = |field, value: u64, limit: u64| {
            Err(BackendError::Limit {
                field,
                value: value.to_string(),
                limit: limit.to_string(),
            })
        };
        if batch.is_empty() || batch.len() > self.n_batch {
            return limit("batch rows", batch.len() as u64, self.n_batch as u64);
        }
        for row in batch.rows() {
            if row.sequence >= self.n_seq_max {
                return limit("sequence", row.sequence.into(), self.n_seq_max.into());
            }
            if row.token as usize >= self.n_vocab {
                return limit("token", row.token.into(), self.n_vocab as u64);
            }
            if i32::try_from(row.position).is_err() {
                return limit("position", row.position.into(), i32::MAX as u64);
            }
        }
        Ok(())
    }

    /// Logits of a row of the last batch.
    pub(super) fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        if !self.logits_rows.get(row).copied().unwrap_or(false) {
            return Err(BackendError::NoLogits { row });
        }
        // SAFETY: the row asked for logits in the last, successful decode.
        let pointer = unsafe { sys::llama_get_logits_ith(self.pointer.as_ptr(), row as i32) };
        if pointer.is_null() {
            return Err(BackendError::NoLogits { row });
        }
        // SAFETY: llama.cpp keeps `n_vocab` floats per row until the next
        // decode, which needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(pointer, self.n_vocab) })
    }

    /// Sets llama.cpp's own control vector, which steers every row alike. Tests compare the hook
    /// with it.
    #[cfg(test)]
    pub(super) fn set_control_vector(&mut self, plan: &SteeringPlan, n_layers: usize) {
        // Row r of the buffer is layer r + 1. Omitted rows would keep the values of an earlier
        // call.
        let n_embd = plan.layers[0].values.len();
        let mut rows = vec![0.0_f32; n_embd * (n_layers - 1)];
        for layer in &plan.layers {
            let row = (layer.layer - 1) * n_embd;
            rows[row..row + n_embd].copy_from_slice(&layer.values);
        }
        // SAFETY: the buffer has the length that is passed.
        let code = unsafe {
            sys::llama_set_adapter_cvec(
                self.pointer.as_ptr(),
                rows.as_ptr(),
                rows.len(),
                n_embd as i32,
                1,
                n_layers as i32 - 1,
            )
        };
        assert_eq!(code, 0);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.broken.is_some() {
            // Parts of it may be freed already or still in use.
            return;
        }
        // SAFETY: both are owned and used by nobody else; the context goes
        // first because it holds the hook's pointer.
        unsafe {
            sys::llama_free(self.pointer.as_ptr());
            drop(Box::from_raw(self.hook.as_ptr()));
        }
    }
}

/// The arrays that a `llama_batch` points to, kept between steps.
#[derive(Debug, Default)]
struct NativeBatch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    sequence_counts: Vec<i32>,
    sequences: Vec<sys::llama_seq_id>,
    sequence_pointers: Vec<*mut sys::llama_seq_id>,
    logits: Vec<i8>,
}

impl NativeBatch {
    fn fill(&mut self, batch: &Batch) -> sys::llama_batch {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.sequence_pointers.clear();
        self.logits.clear();
        for row in batch.rows() {
            self.tokens.push(row.token as i32);
            self.positions.push(row.position as i32);
            self.sequences.push(row.sequence as i32);
            self.logits.push(i8::from(row.logits));
        }
        self.sequence_counts.resize(batch.len(), 1);
        // Set the pointers last, because pushing may have moved the ids.
        self.sequence_pointers
            .extend(self.sequences.iter_mut().map(std::ptr::from_mut));
        sys::llama_batch {
            n_tokens: batch.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.sequence_counts.as_mut_ptr(),
            seq_id: self.sequence_pointers.as_mut_ptr(),
            logits: self.logits.as_mut_ptr(),
        }
    }
}
