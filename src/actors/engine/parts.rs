//! What a stream is made of.

use super::Permit;
use crate::bus::EventBus;
use crate::inference::{RequestId, SessionId};
use crate::telemetry::RequestWatch;

/// What a stream is made of.
#[derive(Debug)]
pub(crate) struct StreamParts {
    /// Names the generation.
    pub id: RequestId,
    /// Its session.
    pub session: SessionId,
    /// What is told of it.
    pub watch: RequestWatch,
    /// Tokens whose text is held for a slow reader.
    pub buffer: usize,
    /// Where its fate is published.
    pub bus: EventBus,
    /// Its right to run, given back at its end.
    pub permit: Permit,
}
