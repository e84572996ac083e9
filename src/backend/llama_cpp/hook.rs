//! Per-row steering inside llama.cpp's graph.
//!
//! llama.cpp asks an evaluation callback, for every tensor of the graph,
//! whether it wants to see it. The hook answers yes for `l_out-k`, the output
//! of decoder layer `k`, `[n_embd, n_rows]` in batch order, when a row of the
//! batch is steered at that layer, and adds each row's own vector in place.
//! While no row is steered it answers no to everything, which costs nothing.

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::super::{BackendError, Batch};
use crate::steering::SteeringPlan;

const LAYER_OUTPUT: &[u8] = b"l_out-";

/// What the callback does in the current evaluation.
#[derive(Debug)]
pub(super) struct Hook {
    n_embd: usize,
    /// Per layer, whether its output is wanted in this evaluation.
    wanted: Vec<bool>,
    active: bool,
    n_rows: usize,
    plans: Vec<Arc<SteeringPlan>>,
    /// Per row, the index of its plan.
    row_plans: Vec<Option<u32>>,
    captured: Option<Vec<Vec<f32>>>,
    scratch: Vec<f32>,
    fault: Option<String>,
}

impl Hook {
    /// Makes a hook that wants nothing.
    pub(super) fn new(n_layers: usize, n_embd: usize) -> Self {
        Self {
            n_embd,
            wanted: vec![false; n_layers],
            active: false,
            n_rows: 0,
            plans: Vec::new(),
            row_plans: Vec::new(),
            captured: None,
            scratch: Vec::new(),
            fault: None,
        }
    }

    fn start(&mut self, batch: &Batch) {
        self.wanted.fill(false);
        self.plans.clear();
        self.row_plans.clear();
        self.captured = None;
        self.fault = None;
        self.n_rows = batch.len();
        self.active = false;
    }

    /// Prepares the steering of a batch.
    pub(super) fn steer(&mut self, batch: &Batch) {
        self.start(batch);
        for plan in batch.plans() {
            for layer in &plan.layers {
                match self.wanted.get_mut(layer.layer) {
                    Some(wanted) if layer.values.len() == self.n_embd => *wanted = true,
                    _ => {
                        self.fault = Some(format!(
                            "a plan of width {} at layer {} does not fit this model",
                            layer.values.len(),
                            layer.layer
                        ));
                        return;
                    }
                }
                self.active = true;
            }
        }
        if self.active {
            self.plans.extend(batch.plans().iter().map(Arc::clone));
            self.row_plans
                .extend((0..batch.len()).map(|row| batch.plan_index_of(row)));
        }
    }

    /// Prepares the capture of the outputs of `layers`.
    pub(super) fn capture(&mut self, batch: &Batch, layers: &[usize]) {
        self.start(batch);
        for &layer in layers {
            if let Some(wanted) = self.wanted.get_mut(layer) {
                *wanted = true;
                self.active = true;
            }
        }
        self.captured = Some(vec![Vec::new(); self.wanted.len()]);
    }

    /// Ends an evaluation; returns what went wrong in it.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.active = false;
        self.plans.clear();
        self.fault.take()
    }

    /// Hands out what was captured, in the order of `layers`.
    pub(super) fn take_captured(
        &mut self,
        layers: &[usize],
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        let mut captured = self.captured.take().unwrap_or_default();
        layers
            .iter()
            .map(|&layer| {
                let rows = captured
                    .get_mut(layer)
                    .map(std::mem::take)
                    .unwrap_or_default();
                if rows.len() == self.n_rows * self.n_embd {
                    Ok(rows)
                } else {
                    Err(BackendError::Native {
                        call: "activation capture",
                        reason: format!("the graph shows no output of layer {layer}"),
                    })
                }
            })
            .collect()
    }

    fn wants(&self, layer: usize) -> bool {
        self.wanted.get(layer).copied().unwrap_or(false)
    }

    /// Works on the output of a layer.
    ///
    /// # Safety
    /// `tensor` must be a computed tensor of the graph in evaluation.
    unsafe fn visit(&mut self, tensor: *mut sys::ggml_tensor, layer: usize) -> Result<(), String> {
        // SAFETY: by the caller.
        let view = unsafe { RowView::of(tensor, self.n_embd)? };
        if view.n_rows != self.n_rows {
            return Err(format!(
                "layer {layer} shows {} rows of a batch of {}",
                view.n_rows, self.n_rows
            ));
        }
        if let Some(captured) = &mut self.captured {
            if let Some(rows) = captured.get_mut(layer) {
                rows.resize(self.n_rows * self.n_embd, 0.0);
                for (index, row) in rows.chunks_exact_mut(self.n_embd).enumerate() {
                    // SAFETY: `index` is below the view's number of rows.
                    unsafe { view.read(index, row) };
                }
            }
            return Ok(());
        }
        self.scratch.resize(self.n_embd, 0.0);
        for (index, plan) in self.row_plans.iter().enumerate() {
            let vector = plan
                .and_then(|plan| self.plans.get(plan as usize))
                .and_then(|plan| plan.layers.iter().find(|l| l.layer == layer));
            if let Some(vector) = vector {
                // SAFETY: `index` is below the view's number of rows, and the
                // vector's width was checked in `steer`.
                unsafe { view.add(index, &vector.values, &mut self.scratch) };
            }
        }
        Ok(())
    }
}

/// The rows of a float tensor `[n_embd, n_rows]` in host or device memory.
struct RowView {
    tensor: *mut sys::ggml_tensor,
    n_rows: usize,
    stride: usize,
    host: bool,
}

impl RowView {
    /// # Safety
    /// `tensor` must be a computed tensor of the graph in evaluation.
    unsafe fn of(tensor: *mut sys::ggml_tensor, n_embd: usize) -> Result<Self, String> {
        // SAFETY: by the caller.
        let t = unsafe { &*tensor };
        if t.type_ != sys::GGML_TYPE_F32 || t.ne[0] != n_embd as i64 || t.ne[2] != 1 || t.ne[3] != 1
        {
            return Err(format!(
                "the output of a layer has type {} and shape {:?}",
                t.type_, t.ne
            ));
        }
        // A view has no buffer of its own.
        let buffer = if t.buffer.is_null() && !t.view_src.is_null() {
            // SAFETY: a view's source outlives it.
            unsafe { (*t.view_src).buffer }
        } else {
            t.buffer
        };
        let aligned = t.data.cast::<f32>().is_aligned() && t.nb[1] % align_of::<f32>() == 0;
        if t.nb[0] != size_of::<f32>() || buffer.is_null() || t.data.is_null() || !aligned {
            return Err("the output of a layer is not stored as contiguous rows".to_owned());
        }
        Ok(Self {
            tensor,
            n_rows: usize::try_from(t.ne[1]).unwrap_or_default(),
            stride: t.nb[1],
            // SAFETY: the buffer belongs to a live tensor.
            host: unsafe { sys::ggml_backend_buffer_is_host(buffer) },
        })
    }

    /// # Safety
    /// `index < n_rows`.
    unsafe fn read(&self, index: usize, row: &mut [f32]) {
        // SAFETY: the row lies within the tensor, by the caller.
        unsafe {
            sys::ggml_backend_tensor_get(
                self.tensor,
                row.as_mut_ptr().cast(),
                index * self.stride,
                size_of_val(row),
            );
        }
    }

    /// # Safety
    /// `index < n_rows`; `vector` and `scratch` have the width of a row.
    unsafe fn add(&self, index: usize, vector: &[f32], scratch: &mut [f32]) {
        let sum = |row: &mut [f32]| {
            for (value, delta) in row.iter_mut().zip(vector) {
                *value += delta;
            }
        };
        if self.host {
            // SAFETY: host memory of the tensor; the row lies within it and
            // nobody else touches it while the graph waits for this callback.
            sum(unsafe {
                let row = (*self.tensor)
                    .data
                    .cast::<f32>()
                    .byte_add(index * self.stride);
                std::slice::from_raw_parts_mut(row, vector.len())
            });
            return;
        }
        // SAFETY: as in `read`; the range written is the range read.
        unsafe {
            self.read(index, scratch);
            sum(scratch);
            sys::ggml_backend_tensor_set(
                self.tensor,
                scratch.as_ptr().cast(),
                index * self.stride,
                size_of_val(scratch),
            );
        }
    }
}

/// llama.cpp's evaluation callback.
///
/// # Safety
/// `user_data` must be the context's [`Hook`], `tensor` a tensor of the graph
/// in evaluation; llama.cpp calls it on the thread that evaluates.
pub(super) unsafe extern "C" fn on_tensor(
    tensor: *mut sys::ggml_tensor,
    ask: bool,
    user_data: *mut c_void,
) -> bool {
    // SAFETY: by the contract above; nothing else refers to the hook meanwhile.
    let hook = unsafe { &mut *user_data.cast::<Hook>() };
    if !hook.active {
        return !ask;
    }
    // SAFETY: the tensor's name is a NUL-terminated array.
    let name = unsafe { CStr::from_ptr((*tensor).name.as_ptr()) };
    let layer = layer_of(name.to_bytes()).filter(|&layer| hook.wants(layer));
    let Some(layer) = layer else {
        return !ask;
    };
    if ask {
        return true;
    }
    // A panic must not unwind into C.
    let visited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: when it does not ask, llama.cpp has computed the tensor.
        unsafe { hook.visit(tensor, layer) }
    }));
    match visited {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => hook.fault = Some(reason),
        Err(_) => hook.fault = Some("the steering hook panicked".to_owned()),
    }
    // Returning false would end the evaluation half-way.
    true
}

/// The layer index in a tensor name such as `l_out-7`.
fn layer_of(name: &[u8]) -> Option<usize> {
    let digits = name.strip_prefix(LAYER_OUTPUT)?;
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0, |layer, digit| {
        digit
            .is_ascii_digit()
            .then(|| layer * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::layer_of;

    #[test]
    fn layer_names_are_read_and_others_ignored() {
        for (name, layer) in [
            ("l_out-0", Some(0)),
            ("l_out-31", Some(31)),
            ("l_out-", None),
            ("l_out-3 (view)", None),
            ("ffn_out-3", None),
            ("l_out-999999", None),
        ] {
            assert_eq!(layer_of(name.as_bytes()), layer, "{name}");
        }
    }
}
