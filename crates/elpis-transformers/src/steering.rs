//! Each row's steering vector, as tensors.

use std::sync::Arc;

use tch::Tensor;

use elpis_backend::{BackendError, Batch};
use elpis_steering::SteeringPlan;

/// The vector that is added to the output of one layer.
#[derive(Debug)]
pub(super) struct RowSteering {
    /// The steered rows; `None` for all rows of the batch.
    pub rows: Option<Tensor>,
    /// `[steered rows, width]` in f32, or `[1, width]` for all rows alike.
    pub values: Tensor,
}

/// The steering of a batch, which is reused for the next batch of the same rows.
#[derive(Debug, Default)]
pub(super) struct Steering {
    plans: Vec<Arc<SteeringPlan>>,
    row_plans: Vec<Option<u32>>,
    layers: Vec<Option<RowSteering>>,
}

impl Steering {
    /// The vectors added at a layer.
    pub fn layer(&self, layer: usize) -> Option<&RowSteering> {
        self.layers.get(layer)?.as_ref()
    }

    /// Sets the plans of a batch.
    ///
    /// # Errors
    /// [`BackendError::Native`] for a plan that does not fit the model.
    pub fn set(
        &mut self,
        batch: &Batch,
        n_layers: usize,
        n_embd: usize,
    ) -> Result<(), BackendError> {
        let rows = || (0..batch.len()).map(|row| batch.plan_index_of(row));
        let same_plans = self.plans.len() == batch.plans().len()
            && self
                .plans
                .iter()
                .zip(batch.plans())
                .all(|(a, b)| Arc::ptr_eq(a, b));
        if same_plans
            && self.row_plans.len() == batch.len()
            && rows().eq(self.row_plans.iter().copied())
        {
            return Ok(());
        }
        self.layers.clear();
        self.row_plans.clear();
        self.plans.clear();
        for plan in batch.plans() {
            for layer in &plan.layers {
                if layer.layer >= n_layers || layer.values.len() != n_embd {
                    return Err(BackendError::Native {
                        call: "steering",
                        reason: format!(
                            "a plan of width {} at layer {} does not fit this model",
                            layer.values.len(),
                            layer.layer
                        ),
                    });
                }
            }
        }
        if !batch.plans().is_empty() {
            self.layers = (0..n_layers)
                .map(|layer| at_layer(batch, layer))
                .collect::<Result<_, _>>()
                .map_err(|error| super::native::native("steering", &error))?;
        }
        self.row_plans.extend(rows());
        self.plans.extend(batch.plans().iter().cloned());
        Ok(())
    }
}

fn at_layer(batch: &Batch, layer: usize) -> Result<Option<RowSteering>, tch::TchError> {
    let values_of = |plan: &SteeringPlan| {
        let at = plan.layers.iter().position(|l| l.layer == layer)?;
        Some(at)
    };
    let steered: Vec<(usize, &[f32])> = (0..batch.len())
        .filter_map(|row| {
            let plan = batch.plan_of(row)?;
            let at = values_of(plan)?;
            Some((row, &*plan.layers.get(at)?.values))
        })
        .collect();
    let Some(&(_, first)) = steered.first() else {
        return Ok(None);
    };
    let all = steered.len() == batch.len();
    if all
        && steered
            .iter()
            .all(|(_, values)| std::ptr::eq(*values, first))
    {
        return Ok(Some(RowSteering {
            rows: None,
            values: Tensor::f_from_slice(first)?.f_unsqueeze(0)?,
        }));
    }
    let flat: Vec<f32> = steered
        .iter()
        .flat_map(|(_, values)| *values)
        .copied()
        .collect();
    let values = Tensor::f_from_slice(&flat)?.f_view([steered.len() as i64, -1])?;
    let rows = if all {
        None
    } else {
        let rows: Vec<i64> = steered.iter().map(|(row, _)| *row as i64).collect();
        Some(Tensor::f_from_slice(&rows)?)
    };
    Ok(Some(RowSteering { rows, values }))
}
