//! The input and output of language models, without a model: chat messages and templates,
//! sampling, and the decoding of token bytes to text.
//!
//! The crate is pure: it uses no clock, no files and no threads. The date is a value
//! ([`CivilDateTime`]), and randomness comes from a seed. The only exception is that a
//! [`Vocabulary`] compiles grammars, which may be untrusted, on separate threads with a time limit.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod chat_format;
mod chat_template;
mod constraint;
mod conversation;
mod finish;
mod message;
mod repetition;
mod sampling;
mod schema;
mod special_tokens;
mod text;
mod tools;
#[cfg(feature = "tools")]
mod typed;

pub use chat_format::{ChatFormat, ChatFormatError};
pub use chat_template::{
    ArgumentsForm, ChatTemplate, CivilDateTime, ControlTexts, MAX_RENDERED_BYTES,
    MAX_TEMPLATE_BYTES, MarkedText, PromptText, RenderOptions, TemplateCapabilities, TemplateError,
};
#[doc(hidden)]
pub use constraint::check_tools;
pub use constraint::{
    ConstraintError, Grammar, Guide, MAX_CHOICES, MAX_GRAMMAR_BYTES, MAX_GRAMMAR_DEPTH,
    MAX_REPETITIONS, Mask, NamedSchema, Progress, ResponseFormat, Scope, Vocabulary,
};
pub use conversation::Conversation;
#[doc(hidden)]
pub use conversation::{least_that_fits, turn_starts, without_oldest};
pub use finish::FinishReason;
pub use message::{ChatMessage, MessageError, Role, validate_messages};
pub use repetition::repetition;
pub use sampling::{
    MAX_BIAS, MAX_PENALTY, MAX_REPETITION_WINDOW, MAX_TEMPERATURE, Sampler, SamplingError,
    SamplingParams, check_bias, greedy, masked,
};
pub use special_tokens::SpecialTokens;
pub use text::{MAX_STOP_BYTES, MAX_STOPS, Pushed, TextError, TextStream};
pub use tools::{
    ControlToken, Finder, FunctionCall, MAX_PARALLEL_CALLS, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH,
    MAX_TOOL_NAME, MAX_TOOLS, Preface, ThinkingTracker, ToolChoice, ToolDefinition, ToolError,
    ToolEvent, ToolFormat, ToolParseError, ToolParser, ToolSet,
};
#[cfg(feature = "tools")]
pub use typed::{read_typed, schema_of};

/// The crate whose derive macro generates a schema for a type.
#[cfg(feature = "tools")]
pub use schemars;
