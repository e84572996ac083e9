//! What a parser tells of a reply, and why it may fail.

use thiserror::Error;

use crate::tools::call::FunctionCall;

/// The content of a piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolEvent {
    /// Text outside of calls.
    Text(String),
    /// A call began: its name is complete, and its arguments begin.
    Started {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The id that the whole call will have.
        id: String,
        /// The tool.
        name: String,
    },
    /// The next piece of the call's arguments, as JSON text.
    Arguments {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The piece.
        json: String,
    },
    /// The call is complete.
    Finished {
        /// The call's place in the reply, from 0.
        index: usize,
        /// The call.
        call: FunctionCall,
    },
}

/// Says why a call could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ToolParseError {
    /// The reply ended in the middle of a call.
    #[error("the reply ends in the middle of a call of {name:?}")]
    #[strum(to_string = "unfinished_call")]
    Unfinished {
        /// The tool.
        name: String,
    },
    /// Arguments that are not in the notation of a call, or a number that cannot be kept to the
    /// digit.
    #[error("the arguments of a call of {name:?} cannot be read: {reason}")]
    #[strum(to_string = "unreadable_arguments")]
    Arguments {
        /// The tool.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
}

impl ToolParseError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
