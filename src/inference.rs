//! What goes into a model and what comes out, without a model: chat messages and templates,
//! sampling, and the way from token bytes to text.
//!
//! Everything here is pure: no clock, no files, no threads. The date is a value
//! ([`CivilDateTime`]), randomness is a seed. One exception: a [`Vocabulary`] compiles grammars,
//! which may come from anyone, on threads of their own and within a time limit.

mod chat_format;
mod chat_template;
mod constraint;
mod conversation;
mod generation;
mod kv_snapshot;
mod message;
mod request;
mod sampling;
mod text;
mod tools;

pub use chat_format::{ChatFormat, ChatFormatError};
pub use chat_template::{
    ArgumentsForm, ChatTemplate, CivilDateTime, ControlTexts, MAX_RENDERED_BYTES,
    MAX_TEMPLATE_BYTES, MarkedText, PromptText, RenderOptions, SpecialTokens, TemplateCapabilities,
    TemplateError,
};
pub use constraint::{
    ConstraintError, Extent, Grammar, Guide, MAX_CHOICES, MAX_GRAMMAR_BYTES, MAX_GRAMMAR_DEPTH,
    MAX_REPETITIONS, Mask, Progress, ResponseFormat, Vocabulary, canonical_schema,
};
pub use conversation::Conversation;
pub(crate) use conversation::{least_that_fits, turn_starts, without_oldest};
pub use generation::{
    AppliedModulation, AppliedSteering, Completion, ConstrainedSpan, FinishReason,
    GenerationReport, MODULATIONS_KEPT, RequestId,
};
pub use kv_snapshot::{KvSnapshot, KvSnapshotError, KvSpan};
pub use message::{ChatMessage, MessageError, Role, validate_messages};
pub use request::{GenerationOptions, ModulationTiming, RequestError, SESSION_ID_LIMIT, SessionId};
pub use sampling::{
    MAX_REPETITION_WINDOW, MAX_TEMPERATURE, Sampler, SamplingError, SamplingParams, greedy, masked,
};
pub use text::{MAX_STOP_BYTES, MAX_STOPS, Pushed, TextError, TextStream};
pub use tools::{
    ControlToken, Finder, FunctionCall, MAX_PARALLEL_CALLS, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH,
    MAX_TOOL_NAME, MAX_TOOLS, Opening, ToolChoice, ToolDefinition, ToolError, ToolEvent,
    ToolFormat, ToolParseError, ToolParser, ToolSet,
};
