//! Options of a scheduler, and the data that all of its slots share.

use std::sync::Arc;

use super::prefix::PrefixOptions;
use crate::backend::{ModelFacts, Tokenizer};
use crate::clock::Clock;
use crate::steering::{BlendOptions, Reading, SteeringLibrary};

/// Options of a scheduler.
#[derive(Debug, Clone, Default)]
pub struct SchedulerOptions {
    /// Bounds of the blended steering vectors.
    pub blend: BlendOptions,
    /// How earlier generations are cached for later prompts.
    pub prefix: PrefixOptions,
    /// Whether the constrained part of a reply is also steered.
    pub steer_constrained: bool,
    /// Whether the model's thinking is also steered.
    pub steer_thinking: bool,
    /// Whether the steering of a reply that loops is lowered.
    pub repetition_guard: bool,
    /// Gain of the control that holds what replies express near the state; 0 switches it off.
    pub expression_feedback: f64,
}

/// The scheduler's data that every slot needs.
pub(super) struct Shared {
    pub(super) facts: Arc<ModelFacts>,
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) library: Arc<SteeringLibrary>,
    /// How rows are read, if the library has axes and the backend took them.
    pub(super) reading: Option<Arc<Reading>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: SchedulerOptions,
    pub(super) piece: Vec<u8>,
}
