//! Batches: the rows that are evaluated in one step.

use std::sync::Arc;

use super::Token;
use elpis_steering::SteeringPlan;

/// Identifies a sequence of the key–value cache, counted from 0.
pub type SequenceId = u32;

/// One token to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The token.
    pub token: Token,
    /// Its position within the sequence, from 0.
    pub position: u32,
    /// The sequence it is appended to.
    pub sequence: SequenceId,
    /// Whether logits are wanted after this token.
    pub logits: bool,
    /// Index into the batch's steering plans; `None` if not steered.
    steering: Option<u32>,
}

/// Rows of one step with the steering plans that they refer to.
#[derive(Debug, Default)]
pub struct Batch {
    rows: Vec<Row>,
    plans: Vec<Arc<SteeringPlan>>,
}

impl Batch {
    /// Creates an empty batch with room for `capacity` rows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            rows: Vec::with_capacity(capacity),
            plans: Vec::with_capacity(capacity),
        }
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.plans.clear();
    }

    /// Appends rows for consecutive tokens of one sequence under one plan;
    /// with `logits`, the last of them asks for logits.
    pub fn push(
        &mut self,
        sequence: SequenceId,
        first_position: u32,
        tokens: &[Token],
        logits: bool,
        plan: Option<&Arc<SteeringPlan>>,
    ) {
        let steering = plan.map(|plan| self.plan_index(plan));
        for (offset, &token) in tokens.iter().enumerate() {
            self.rows.push(Row {
                token,
                position: first_position + offset as u32,
                sequence,
                logits: logits && offset + 1 == tokens.len(),
                steering,
            });
        }
    }

    fn plan_index(&mut self, plan: &Arc<SteeringPlan>) -> u32 {
        let known = self.plans.iter().position(|p| Arc::ptr_eq(p, plan));
        known.unwrap_or_else(|| {
            self.plans.push(Arc::clone(plan));
            self.plans.len() - 1
        }) as u32
    }

    /// The rows, in evaluation order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The distinct steering plans of the rows.
    pub fn plans(&self) -> &[Arc<SteeringPlan>] {
        &self.plans
    }

    /// Index into [`plans`](Self::plans) of a row's plan; `None` if not steered.
    pub fn plan_index_of(&self, row: usize) -> Option<u32> {
        self.rows.get(row)?.steering
    }

    /// The steering plan of a row.
    pub fn plan_of(&self, row: usize) -> Option<&SteeringPlan> {
        let index = self.plan_index_of(row)?;
        self.plans.get(index as usize).map(AsRef::as_ref)
    }
}
