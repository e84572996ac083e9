//! The events and errors of a parser.

use thiserror::Error;

use crate::tools::call::FunctionCall;

/// An event in a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolEvent {
    /// Text outside calls.
    Text(String),
    /// A call has begun. Its name is complete.
    Started {
        /// The index of the call in the reply, from 0.
        index: usize,
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
    },
    /// A piece of the call's arguments, as JSON text.
    Arguments {
        /// The index of the call in the reply, from 0.
        index: usize,
        /// The piece.
        json: String,
    },
    /// The call is complete.
    Finished {
        /// The index of the call in the reply, from 0.
        index: usize,
        /// The call.
        call: FunctionCall,
    },
}

/// A call that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ToolParseError {
    /// The reply ended in the middle of a call.
    #[error("the reply ends in the middle of a call to {name:?}")]
    #[strum(to_string = "unfinished_call")]
    Unfinished {
        /// The tool.
        name: String,
    },
    /// The arguments violate the notation of a call, or contain a number that cannot be represented
    /// exactly.
    #[error("the arguments of a call to {name:?} cannot be read: {reason}")]
    #[strum(to_string = "unreadable_arguments")]
    Arguments {
        /// The tool.
        name: String,
        /// The reason.
        reason: String,
    },
}

impl ToolParseError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
