//! Per-row steering and reading inside llama.cpp's graph.
//!
//! For every tensor of the graph, llama.cpp asks an evaluation callback whether it wants to see it.
//! The hook answers yes for `l_out-k`, the output of decoder layer `k`, `[n_embd, n_rows]` in batch
//! order, when a row of the batch is steered at that layer, and adds each row's own vector in
//! place. Before it adds anything, it projects the rows whose logits are requested, if this is the
//! layer that is read. While no row is steered or read it answers no to everything, which costs
//! nothing.
//!
//! At the last layer llama.cpp only keeps the rows whose logits are requested. A layer is shown
//! once, unless the model is recurrent: llama.cpp may then evaluate a batch in parts, which keep
//! the batch's order if [`keeps_order`] holds. Anything else is an error of the whole evaluation,
//! so a row is never steered by guess or silently left out.

mod rows;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use self::rows::RowView;
use elpis_backend::{BackendError, Batch};
use elpis_steering::{Projection, ReadingAxes, SteeringPlan};

/// The name of the call in errors of the hook.
pub(super) const CALL: &str = "steering hook";

const LAYER_OUTPUT: &[u8] = b"l_out-";

/// The state of the callback in the current evaluation.
#[derive(Debug)]
pub(super) struct Hook {
    n_embd: usize,
    /// For each layer, whether its output is needed in this evaluation.
    wanted: Vec<bool>,
    active: bool,
    /// Whether llama.cpp may evaluate a batch in parts.
    splits: bool,
    n_rows: usize,
    /// For each layer, the number of rows of the batch that are done.
    done: Vec<usize>,
    /// The rows whose logits are asked for.
    outputs: Vec<usize>,
    plans: Vec<Arc<SteeringPlan>>,
    /// For each row, the index of its plan.
    row_plans: Vec<Option<u32>>,
    captured: Option<Vec<Vec<f32>>>,
    /// The axes that rows with logits are projected on.
    axes: Option<Arc<ReadingAxes>>,
    /// Whether rows of the current evaluation are projected.
    reads: bool,
    /// For each row of the last batch, its projection.
    projections: Vec<Option<Projection>>,
    /// The steered rows among those that a layer shows, with their plans.
    steered: Vec<(usize, u32)>,
    /// Buffer for the rows of a batch, if they are in device memory.
    scratch: Vec<f32>,
    fault: Option<String>,
}

impl Hook {
    /// Creates a hook that needs no outputs.
    pub(super) fn new(n_layers: usize, n_embd: usize, splits: bool) -> Self {
        Self {
            n_embd,
            wanted: vec![false; n_layers],
            active: false,
            splits,
            n_rows: 0,
            done: vec![0; n_layers],
            outputs: Vec::new(),
            plans: Vec::new(),
            row_plans: Vec::new(),
            captured: None,
            axes: None,
            reads: false,
            projections: Vec::new(),
            steered: Vec::new(),
            scratch: Vec::new(),
            fault: None,
        }
    }

    /// Sets the axes that rows with logits are projected on.
    pub(super) fn set_axes(&mut self, axes: Option<Arc<ReadingAxes>>) {
        self.axes = axes;
        self.projections.clear();
    }

    /// The projection of a row of the last batch.
    pub(super) fn projection(&self, row: usize) -> Option<Projection> {
        self.projections.get(row).copied().flatten()
    }

    fn start(&mut self, batch: &Batch) {
        self.wanted.fill(false);
        self.done.fill(0);
        self.outputs.clear();
        self.plans.clear();
        self.row_plans.clear();
        self.captured = None;
        self.reads = false;
        self.projections.clear();
        self.fault = None;
        self.n_rows = batch.len();
        self.active = false;
    }

    /// Prepares the steering and reading of a batch.
    pub(super) fn steer(&mut self, batch: &Batch) {
        self.start(batch);
        let reads = self.axes.is_some();
        if batch.plans().is_empty() && !reads {
            return;
        }
        let in_order = !self.splits || keeps_order(batch);
        self.note_outputs(batch);
        if reads && in_order {
            self.read(batch);
        }
        if batch.plans().is_empty() {
            return;
        }
        if !in_order {
            self.fault = Some(
                "this model evaluates rows of several prompts out of order, so they cannot be \
                 steered in one batch"
                    .to_owned(),
            );
            return;
        }
        for plan in batch.plans() {
            for layer in &plan.layers {
                // Without logits, the last layer's output has no effect.
                let matters = layer.layer + 1 < self.wanted.len() || !self.outputs.is_empty();
                match self.wanted.get_mut(layer.layer) {
                    Some(wanted) if layer.values.len() == self.n_embd => *wanted |= matters,
                    _ => {
                        self.fault = Some(format!(
                            "a plan of width {} at layer {} does not fit this model",
                            layer.values.len(),
                            layer.layer
                        ));
                        return;
                    }
                }
                self.active |= matters;
            }
        }
        if !batch.plans().is_empty() && self.active {
            self.plans.extend(batch.plans().iter().map(Arc::clone));
            self.row_plans
                .extend((0..batch.len()).map(|row| batch.plan_index_of(row)));
        }
    }

    /// Prepares the projection of the rows with logits.
    fn read(&mut self, batch: &Batch) {
        let layer = self.axes.as_ref().map(|axes| axes.layer);
        let wanted = layer.and_then(|layer| self.wanted.get_mut(layer));
        if let (Some(wanted), false) = (wanted, self.outputs.is_empty()) {
            *wanted = true;
            self.active = true;
            self.reads = true;
            self.projections.resize(batch.len(), None);
        }
    }

    /// Prepares the capture of the outputs of `layers`.
    pub(super) fn capture(&mut self, batch: &Batch, layers: &[usize]) {
        self.start(batch);
        self.note_outputs(batch);
        for &layer in layers {
            if let Some(wanted) = self.wanted.get_mut(layer) {
                *wanted = true;
                self.active = true;
            }
        }
        self.captured = Some(vec![Vec::new(); self.wanted.len()]);
    }

    fn note_outputs(&mut self, batch: &Batch) {
        let rows = batch.rows().iter().enumerate();
        self.outputs
            .extend(rows.filter(|(_, row)| row.logits).map(|(index, _)| index));
    }

    /// Ends an evaluation, successful or not. Returns the hook's error, if any.
    pub(super) fn finish(&mut self, evaluated: bool) -> Option<String> {
        let active = std::mem::take(&mut self.active);
        self.plans.clear();
        if active && evaluated && self.fault.is_none() {
            let mut layers = self.wanted.iter().zip(&self.done);
            let missing = layers.position(|(wanted, done)| *wanted && *done != self.n_rows);
            self.fault =
                missing.map(|layer| format!("the graph does not show the output of layer {layer}"));
        }
        self.fault.take()
    }

    /// Returns the captured outputs in the order of `layers`.
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
                        call: CALL,
                        reason: format!("the graph does not show every row at layer {layer}"),
                    })
                }
            })
            .collect()
    }

    fn wants(&self, layer: usize) -> bool {
        self.wanted.get(layer).copied().unwrap_or(false)
    }

    /// Processes the output of a layer.
    ///
    /// # Safety
    /// `tensor` must be a computed tensor of the graph in evaluation.
    unsafe fn visit(&mut self, tensor: *mut sys::ggml_tensor, layer: usize) -> Result<(), String> {
        // SAFETY: by the caller.
        let view = unsafe { RowView::of(tensor, self.n_embd)? };
        let shown = self.shown(layer, view.n_rows)?;
        if let Some(captured) = &mut self.captured {
            if let Some(rows) = captured.get_mut(layer) {
                let before = rows.len();
                rows.resize(before + view.n_rows * self.n_embd, 0.0);
                let new = rows.get_mut(before..).unwrap_or_default();
                // SAFETY: `new` has room for the view's rows, and for no more.
                unsafe { view.read(0, new) };
            }
            return Ok(());
        }
        if self.reads {
            // SAFETY: the tensor is computed, and its rows have the width of the axes.
            unsafe { self.project(&view, layer, shown) };
        }
        let vector_at = |plan: u32| {
            let plan = self.plans.get(plan as usize)?;
            let at = plan.layers.iter().find(|at| at.layer == layer)?;
            Some(&*at.values)
        };
        self.steered.clear();
        for index in 0..view.n_rows {
            let row = match shown {
                Shown::From(first) => Some(first + index),
                Shown::Outputs => self.outputs.get(index).copied(),
            };
            let plan = row.and_then(|row| *self.row_plans.get(row)?);
            if let Some(plan) = plan.filter(|&plan| vector_at(plan).is_some()) {
                self.steered.push((index, plan));
            }
        }
        // SAFETY: the rows are rows of the view, and the vectors' width was checked in `steer`.
        unsafe { view.add(&self.steered, vector_at, &mut self.scratch) };
        Ok(())
    }

    /// Projects the rows with logits that a layer shows, if it is the one that is read.
    ///
    /// # Safety
    /// `view` must be a view of a computed tensor.
    unsafe fn project(&mut self, view: &RowView, layer: usize, shown: Shown) {
        let Some(axes) = self.axes.as_ref().filter(|axes| axes.layer == layer) else {
            return;
        };
        for (place, &row) in self.outputs.iter().enumerate() {
            let index = match shown {
                Shown::From(first) => row.checked_sub(first).filter(|at| *at < view.n_rows),
                Shown::Outputs => Some(place),
            };
            if let (Some(index), Some(projection)) = (index, self.projections.get_mut(row)) {
                // SAFETY: the row lies within the view.
                *projection =
                    unsafe { view.with_row(index, &mut self.scratch, |row| axes.project(row)) };
            }
        }
    }

    /// Determines which rows of the batch a layer shows.
    fn shown(&mut self, layer: usize, rows: usize) -> Result<Shown, String> {
        let last = layer + 1 == self.wanted.len();
        let all = self.outputs.len() == self.n_rows;
        let done = self.done.get_mut(layer).ok_or("there is no such layer")?;
        let first = *done;
        if rows == self.n_rows && first == 0 {
            *done = self.n_rows;
            return Ok(Shown::From(0));
        }
        if self.splits && (all || !last) {
            if first + rows <= self.n_rows {
                *done += rows;
                return Ok(Shown::From(first));
            }
        } else if rows == self.outputs.len() && first == 0 {
            *done = self.n_rows;
            return Ok(Shown::Outputs);
        }
        Err(format!(
            "layer {layer} shows {rows} rows of a batch of {} with {} outputs, {first} of which \
             it has shown before",
            self.n_rows,
            self.outputs.len()
        ))
    }
}

/// The rows of the batch that a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Consecutive rows from this one on.
    From(usize),
    /// The rows whose logits are requested.
    Outputs,
}

/// Whether a recurrent model processes the rows in order, in one part or several. It does for rows
/// of one sequence, or one row of each of several ascending sequences.
fn keeps_order(batch: &Batch) -> bool {
    let pairs = || batch.rows().windows(2);
    pairs().all(|pair| matches!(pair, [a, b] if a.sequence == b.sequence))
        || pairs().all(|pair| matches!(pair, [a, b] if a.sequence < b.sequence))
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
