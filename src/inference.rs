//! Input and output of a generation: the parts of [`elpis_inference`], and the options, the report
//! and the snapshot of a generation, which depend on moods and steering.

mod generation;
mod kv_snapshot;
mod request;

pub use elpis_emotion::{SESSION_ID_LIMIT, SessionId, SessionIdError};
pub use elpis_inference::*;
pub use generation::{
    AppliedModulation, AppliedSteering, Completion, ConstrainedSpan, GenerationReport,
    MODULATIONS_KEPT, RequestId, ThinkingSpan,
};
pub use kv_snapshot::{KvSnapshot, KvSnapshotError, KvSpan};
pub use request::{
    ClientSampling, GenerationOptions, MAX_LOGIT_BIASES, ModulationTiming, RequestError,
};
