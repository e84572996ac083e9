//! The events of a stream.

use std::sync::Arc;

use crate::inference::{FunctionCall, GenerationReport, ToolEvent};

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GenerationEvent {
    /// The next piece of the reply: whole characters, at least one.
    Text(String),
    /// The next piece of the model's thinking before an answer with a response format. In all other
    /// replies, thinking is a part of the text.
    Thinking(String),
    /// The model calls a tool; its arguments follow.
    ToolCallStarted {
        /// The index of the call in the reply, from 0.
        index: usize,
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// The next piece of a call's arguments.
    ToolCallArguments {
        /// The index of the call in the reply, from 0.
        index: usize,
        /// A piece of JSON text.
        json: String,
    },
    /// A call is complete.
    ToolCall(FunctionCall),
    /// The end, with the report of the generation.
    Finished(Arc<GenerationReport>),
}

impl From<ToolEvent> for GenerationEvent {
    fn from(event: ToolEvent) -> Self {
        match event {
            ToolEvent::Text(text) => Self::Text(text),
            ToolEvent::Started { index, id, name } => Self::ToolCallStarted { index, id, name },
            ToolEvent::Arguments { index, json } => Self::ToolCallArguments { index, json },
            ToolEvent::Finished { call, .. } => Self::ToolCall(call),
        }
    }
}
