//! Continuous batching over a [`Backend`].
//!
//! One step evaluates one batch for all running generations: a row for each
//! generation that decodes, then as much of the waiting prompts as fits, so
//! that a long prompt holds no running stream up for longer than one batch.
//! Every row carries its own generation's steering vector, every generation is
//! sampled with its own parameters. Generations join and leave between steps.
//!
//! The scheduler is plain synchronous code: the engine thread drives it, and
//! tests drive it without any actor.

mod queue;
mod slot;
mod task;

pub use queue::AdmissionQueue;
pub use task::{MoodSource, Outcome, Outlet, Task};

use std::sync::Arc;

use slot::Slot;

use crate::backend::{Backend, BackendError, Batch, ModelFacts, SequenceId, Tokenizer};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::steering::{BlendOptions, SteeringLibrary};

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// Bounds of the blended steering vectors.
    pub blend: BlendOptions,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepSummary {
    /// Rows evaluated.
    pub rows: usize,
    /// Rows among them that belong to prompts.
    pub prefill_rows: usize,
    /// Rows among them that were steered.
    pub steered_rows: usize,
    /// Tokens sampled.
    pub sampled: usize,
}

/// Runs many generations on one backend.
pub struct Scheduler {
    backend: Box<dyn Backend>,
    shared: Shared,
    slots: Vec<Slot>,
    free: Vec<SequenceId>,
    batch: Batch,
}

/// What every slot needs of its scheduler.
struct Shared {
    facts: Arc<ModelFacts>,
    tokenizer: Arc<dyn Tokenizer>,
    library: Arc<SteeringLibrary>,
    clock: Arc<dyn Clock>,
    options: SchedulerOptions,
    piece: Vec<u8>,
}

impl Scheduler {
    /// Makes a scheduler for a loaded model.
    pub fn new(
        backend: Box<dyn Backend>,
        library: Arc<SteeringLibrary>,
        clock: Arc<dyn Clock>,
        options: SchedulerOptions,
    ) -> Self {
        let facts = Arc::clone(backend.facts());
        let n = facts.n_sequences;
        Self {
            shared: Shared {
                tokenizer: backend.tokenizer(),
                library,
                clock,
                options,
                piece: Vec::with_capacity(64),
                facts: Arc::clone(&facts),
            },
            backend,
            slots: Vec::with_capacity(n as usize),
            free: (0..n).rev().collect(),
            batch: Batch::with_capacity(facts.batch_size),
        }
    }

    /// What is known of the model.
    pub fn facts(&self) -> &Arc<ModelFacts> {
        &self.shared.facts
    }

    /// Generations that hold a slot.
    pub fn running(&self) -> usize {
        self.slots.len()
    }

    /// Slots that stand free.
    pub fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// Replaces the steering library; generations that start from now on use
    /// it.
    pub fn set_library(&mut self, library: Arc<SteeringLibrary>) {
        self.shared.library = library;
    }

    /// Gives a task a slot. Without a free slot the task is handed back.
    ///
    /// # Errors
    /// The task itself, if every slot is taken.
    pub fn admit(&mut self, task: Task) -> Result<(), Box<Task>> {
        let Some(sequence) = self.free.pop() else {
            return Err(Box::new(task));
        };
        match Slot::new(task, sequence, &self.shared) {
            Ok(slot) => self.slots.push(slot),
            Err(refused) => {
                let (mut task, error) = *refused;
                task.outlet.finish(Outcome::Failed(error));
                self.free.push(sequence);
            }
        }
        Ok(())
    }

    /// Ends every running generation with the same outcome.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn end_all(&mut self, outcome: &Outcome) -> Result<(), BackendError> {
        while !self.slots.is_empty() {
            self.release(0, outcome.clone())?;
        }
        Ok(())
    }

    /// Whether any running generation can go on, that is, whether a step
    /// would evaluate anything. Generations whose reader lags do not count.
    pub fn can_step(&self) -> bool {
        self.slots.iter().any(Slot::is_ready)
    }

    /// Ends generations whose caller is gone or whose time has run out.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn retire(&mut self) -> Result<(), BackendError> {
        let now = self.shared.clock.now();
        let mut index = 0;
        while let Some(slot) = self.slots.get(index) {
            match slot.ended_early(now) {
                Some(outcome) => self.release(index, outcome)?,
                None => index += 1,
            }
        }
        Ok(())
    }

    /// Evaluates one batch and samples from it.
    ///
    /// A generation that fails alone ends with its error. If the evaluation
    /// fails, every generation of the batch ends with that error.
    ///
    /// # Errors
    /// [`BackendError`] if the cache cannot be cleared after a failure: the
    /// backend is then no longer usable.
    pub fn step(&mut self) -> Result<StepSummary, BackendError> {
        self.retire()?;
        let mut summary = self.build();
        if self.batch.is_empty() {
            return Ok(summary);
        }
        if let Err(error) = self.backend.decode(&self.batch) {
            tracing::error!(%error, rows = summary.rows, "evaluation failed");
            while let Some(index) = self.slots.iter().position(Slot::in_batch) {
                self.release(index, Outcome::Failed(error.clone().into()))?;
            }
            return Ok(summary);
        }
        let mut index = 0;
        while index < self.slots.len() {
            let slot = &mut self.slots[index];
            let ended = match slot.take_logits_row() {
                None => None,
                Some(row) => {
                    summary.sampled += 1;
                    match self.backend.logits(row) {
                        Ok(logits) => slot.sample(logits, &mut self.shared),
                        Err(error) => Some(Outcome::Failed(EngineError::Backend(error))),
                    }
                }
            };
            match ended {
                Some(outcome) => self.release(index, outcome)?,
                None => index += 1,
            }
        }
        Ok(summary)
    }

    /// Fills the batch: decoding generations first, then prompts.
    fn build(&mut self) -> StepSummary {
        self.batch.clear();
        for slot in &mut self.slots {
            slot.follow_events(&self.shared);
        }
        let capacity = self.shared.facts.batch_size;
        for slot in &mut self.slots {
            if self.batch.len() < capacity {
                slot.push_decode(&mut self.batch);
            }
        }
        let decode_rows = self.batch.len();
        for slot in &mut self.slots {
            let room = capacity - self.batch.len();
            slot.push_prefill(&mut self.batch, room);
        }
        StepSummary {
            rows: self.batch.len(),
            prefill_rows: self.batch.len() - decode_rows,
            steered_rows: (0..self.batch.len())
                .filter(|&row| self.batch.plan_index_of(row).is_some())
                .count(),
            sampled: 0,
        }
    }

    fn release(&mut self, index: usize, outcome: Outcome) -> Result<(), BackendError> {
        // Order decides who is served first, so it is kept.
        let slot = self.slots.remove(index);
        let sequence = slot.sequence();
        slot.end(outcome);
        self.backend.truncate(sequence, 0)?;
        self.free.push(sequence);
        Ok(())
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("model", &self.shared.facts.name)
            .field("running", &self.slots.len())
            .field("free", &self.free.len())
            .finish_non_exhaustive()
    }
}
