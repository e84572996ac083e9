//! Continuous batching over a [`Backend`](crate::backend::Backend).
//!
//! One step evaluates one batch for all running generations: a row for each generation that
//! decodes, then as much of the waiting prompts as fits. A long prompt therefore delays a running
//! stream by at most one batch, and a short prompt by little more. Every row carries its own
//! generation's steering vector, and every generation is sampled with its own parameters.
//! Generations join and leave between steps.
//!
//! A recurrent model splits a batch and reorders its rows unless they are alike. Its batches hold
//! either one row of each decoding generation, by ascending sequence, or a part of one prompt. If
//! both wait, they alternate.
//!
//! The scheduler is plain synchronous code: the engine thread drives it, and
//! tests drive it without any actor.

mod applied;
mod batching;
mod cached_sequence;
mod cells;
mod expression_control;
mod in_flight;
mod lent;
mod prefill_budget;
mod prefix;
mod queue;
mod repetition_guard;
mod resume;
mod shared;
mod slot;
mod snapshot;
mod step;
mod summary;
mod task;
mod token_realignment;

pub use in_flight::{InFlightSlots, Recovered};
pub use prefix::PrefixOptions;
pub use queue::AdmissionQueue;
pub use shared::SchedulerOptions;
pub use step::Scheduler;
pub use summary::{CacheUsage, StepSummary};
pub use task::{MoodSource, Outcome, PromptAccount, Task, TokenSink};
