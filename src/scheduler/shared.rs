//! How a scheduler works, and what all of its slots share.

use std::sync::Arc;

use super::prefix::PrefixOptions;
use crate::backend::{ModelFacts, Tokenizer};
use crate::clock::Clock;
use crate::steering::{BlendOptions, SteeringLibrary};

/// How a scheduler works.
#[derive(Debug, Clone, Default)]
pub struct SchedulerOptions {
    /// Bounds of the blended steering vectors.
    pub blend: BlendOptions,
    /// What of earlier generations is kept for later prompts.
    pub prefix: PrefixOptions,
    /// Whether the constrained part of a reply is steered too.
    pub steer_constrained: bool,
}

/// What every slot needs of its scheduler.
pub(super) struct Shared {
    pub(super) facts: Arc<ModelFacts>,
    pub(super) tokenizer: Arc<dyn Tokenizer>,
    pub(super) library: Arc<SteeringLibrary>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: SchedulerOptions,
    pub(super) piece: Vec<u8>,
}
