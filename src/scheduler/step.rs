//! The scheduler: assigns slots and runs steps.

use std::sync::Arc;

use super::in_flight::InFlightSlots;
use super::prefill_budget::PrefillShare;
use super::prefix::PrefixCache;
use super::shared::{SchedulerOptions, Shared};
use super::slot::Slot;
use super::summary::{CacheUsage, StepSummary};
use super::task::{Outcome, Task};
use crate::backend::{Backend, BackendError, Batch, DeathNotice, ModelFacts};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::steering::SteeringLibrary;

/// Number of consecutive failed evaluations after which the backend is abandoned.
const MAX_FAILURES: u32 = 8;

/// Runs many generations on one backend.
pub struct Scheduler {
    pub(super) backend: Box<dyn Backend>,
    pub(super) shared: Shared,
    pub(super) slots: Vec<Slot>,
    pub(super) in_flight: Arc<InFlightSlots>,
    pub(super) cache: PrefixCache,
    pub(super) batch: Batch,
    /// The slots in the order in which they enter the batch.
    pub(super) order: Vec<usize>,
    /// The prompts that wait in a step.
    pub(super) waiting: Vec<PrefillShare>,
    /// Whether the next prompt evaluated alone is the oldest one.
    pub(super) oldest_prompt: bool,
    /// Whether the last batch held no decoding row.
    pub(super) prompt_alone: bool,
    /// Consecutive failed evaluations.
    failures: u32,
}

impl Scheduler {
    /// Creates a scheduler for a loaded model.
    pub fn new(
        backend: Box<dyn Backend>,
        library: Arc<SteeringLibrary>,
        clock: Arc<dyn Clock>,
        options: SchedulerOptions,
    ) -> Self {
        let facts = Arc::clone(backend.facts());
        let n = facts.n_sequences;
        let prefix = options.prefix;
        let mut scheduler = Self {
            shared: Shared {
                tokenizer: backend.tokenizer(),
                library,
                reading: None,
                clock,
                options,
                piece: Vec::with_capacity(256),
                facts: Arc::clone(&facts),
            },
            slots: Vec::with_capacity(n as usize),
            in_flight: Arc::default(),
            cache: PrefixCache::new(backend.as_ref(), prefix),
            backend,
            batch: Batch::with_capacity(facts.batch_size),
            order: Vec::with_capacity(n as usize),
            waiting: Vec::with_capacity(n as usize),
            oldest_prompt: true,
            prompt_alone: false,
            failures: 0,
        };
        scheduler.read_with_library();
        scheduler
    }

    /// Facts about the model.
    pub fn facts(&self) -> &Arc<ModelFacts> {
        &self.shared.facts
    }

    /// Registers `tell` to be called if the backend dies by itself.
    pub fn on_death(&mut self, tell: DeathNotice) {
        self.backend.on_death(tell);
    }

    /// Number of generations that hold a slot.
    pub fn running(&self) -> usize {
        self.slots.len()
    }

    /// Number of free slots.
    pub fn free_slots(&self) -> usize {
        (self.shared.facts.n_sequences as usize).saturating_sub(self.slots.len())
    }

    /// Current use of the key–value cache.
    pub fn cache_usage(&self) -> CacheUsage {
        let (used, capacity) = self.cache.usage();
        CacheUsage {
            used,
            capacity,
            entries: self.cache.len(),
            stored_bytes: self.cache.stored(),
            spare_bytes: self.cache.spare(),
        }
    }

    /// Replaces the steering library for generations that start from now on.
    pub fn set_library(&mut self, library: Arc<SteeringLibrary>) {
        self.shared.library = library;
        self.read_with_library();
    }

    /// Hands the library's axes to the backend.
    fn read_with_library(&mut self) {
        let reading = self.shared.library.reading();
        if self.shared.reading.as_ref() == reading {
            return;
        }
        let reading = reading.map(Arc::clone);
        let axes = reading.as_ref().map(|reading| Arc::clone(&reading.axes));
        self.shared.reading = match self.backend.set_reading(axes) {
            Ok(()) => reading,
            Err(error) => {
                tracing::warn!(%error, "the backend cannot read what replies express");
                None
            }
        };
    }

    /// Gives a task a slot.
    ///
    /// # Errors
    /// The task itself, if every slot is taken.
    pub fn admit(&mut self, task: Task) -> Result<(), Box<Task>> {
        if self.free_slots() == 0 {
            return Err(Box::new(task));
        }
        let Some(sequence) = self.cache.open() else {
            return Err(Box::new(task));
        };
        match Slot::new(task, sequence, &self.shared) {
            Ok(slot) => self.slots.push(slot),
            Err(refused) => {
                let (mut task, error) = *refused;
                task.sink.finish(Outcome::Failed(error));
                self.cache.close(sequence);
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

    /// Whether a step would evaluate anything. Generations whose reader lags do not count.
    pub fn can_step(&self) -> bool {
        self.slots.iter().any(Slot::is_ready)
    }

    /// When the time of the first running generation runs out, in seconds of the scheduler's clock.
    pub fn next_deadline(&self) -> Option<f64> {
        let deadlines = self.slots.iter().filter_map(Slot::deadline);
        deadlines.min_by(f64::total_cmp)
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
    /// If a single generation fails, it ends with its error. If the cache is full, the generation
    /// that holds the most cells ends. If the evaluation fails for another reason, every generation
    /// of the batch ends with that error.
    ///
    /// # Errors
    /// [`BackendError`] if the backend is no longer usable: it is gone, its cache cannot be cleared
    /// after a failure, or eight evaluations in a row have failed. The generations are then left as
    /// they are and end when the scheduler is dropped.
    pub fn step(&mut self) -> Result<StepSummary, BackendError> {
        self.retire()?;
        let mut full = None;
        let mut summary = loop {
            let summary = self.build()?;
            if self.batch.is_empty() {
                // Not even a single generation fits.
                self.failures += u32::from(full.is_some());
                return match full {
                    Some(error) if self.failures >= MAX_FAILURES => Err(error),
                    _ => Ok(summary),
                };
            }
            let Err(error) = self.evaluate() else {
                self.failures = 0;
                break summary;
            };
            if matches!(error, BackendError::CacheFull { .. }) {
                tracing::error!(%error, rows = summary.rows, "evaluation failed: the KV cache is full");
                self.make_way(error.clone())?;
                full = Some(error);
                continue;
            }
            self.failures += 1;
            let in_a_row = self.failures;
            tracing::error!(%error, rows = summary.rows, in_a_row, "evaluation failed");
            if error.is_fatal() || in_a_row >= MAX_FAILURES {
                return Err(error);
            }
            while let Some(index) = self.slots.iter().position(Slot::in_batch) {
                self.release(index, Outcome::Failed(error.clone().into()))?;
            }
            return Ok(summary);
        };
        let mut index = 0;
        while index < self.slots.len() {
            let slot = &mut self.slots[index];
            let ended = match slot.take_logits_row() {
                None => None,
                Some(row) => {
                    summary.sampled += 1;
                    if let Some(projection) = self.backend.projection(row) {
                        slot.read(projection, &self.shared);
                    }
                    slot.follow_events(true, &self.shared);
                    let before = slot.generated();
                    let ended = match self.backend.logits(row) {
                        Ok(logits) => slot.sample(logits, &mut self.shared),
                        Err(error) => Some(Outcome::Failed(EngineError::Backend(error))),
                    };
                    summary.generated += (slot.generated() - before) as usize;
                    ended
                }
            };
            match ended {
                Some(outcome) => self.release(index, outcome)?,
                None => index += 1,
            }
        }
        Ok(summary)
    }

    fn evaluate(&mut self) -> Result<(), BackendError> {
        let _in_flight = self.in_flight.hold(&mut self.slots);
        self.backend.decode(&self.batch)
    }

    /// Makes room after the backend refused a batch without evaluating any of it. Idle cached
    /// sequences are offloaded; if there are none, the generation that holds the most positions
    /// ends, the newest of several.
    fn make_way(&mut self, error: BackendError) -> Result<(), BackendError> {
        let sizes = self.slots.iter().enumerate();
        // The size includes what the batch would have added.
        let largest = sizes.max_by_key(|(index, slot)| (slot.cached().len(), *index));
        let largest = largest.map(|(index, _)| index);
        for slot in &mut self.slots {
            slot.take_back_rows(self.cache.cells());
        }
        if self.cache.has_resident() {
            return self.cache.offload(self.backend.as_mut());
        }
        match largest {
            Some(index) => self.release(index, Outcome::Failed(error.into())),
            None => Ok(()),
        }
    }

    fn release(&mut self, index: usize, outcome: Outcome) -> Result<(), BackendError> {
        // The order decides which generation is served first, so it is kept.
        let remains = self.slots.remove(index).end(outcome);
        let backend = self.backend.as_mut();
        if remains.keep {
            let others_run = !self.slots.is_empty();
            let (session, sequence) = (remains.session, remains.sequence);
            self.cache
                .keep(backend, session, sequence, remains.cached, others_run)
        } else {
            self.cache
                .discard(backend, remains.sequence, remains.cached)
        }
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("model", &self.shared.facts.name)
            .field("running", &self.slots.len())
            .field("cache", &self.cache_usage())
            .finish_non_exhaustive()
    }
}
