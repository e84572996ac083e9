//! Constraints on the format of a reply, and the token masks that enforce them.
//!
//! A constraint is compiled once for a request. A [`Guide`] then determines before every token
//! which tokens may follow. The same implementation serves every backend, because it only needs the
//! bytes of the tokens. Grammars and masks are those of the crate `llguidance`, which the cargo
//! feature `tools` enables; without it no [`Guide`] can be created.

mod bounds;
#[cfg(not(feature = "tools"))]
mod disabled;
mod error;
mod format;
#[cfg(feature = "tools")]
mod guide;
mod schema;
#[cfg(feature = "tools")]
mod vocabulary;

pub use bounds::MAX_REPETITIONS;
#[cfg(not(feature = "tools"))]
pub use disabled::{Guide, Mask, Vocabulary};
pub use error::ConstraintError;
pub use format::{
    Grammar, MAX_CHOICES, MAX_GRAMMAR_BYTES, MAX_GRAMMAR_DEPTH, NamedSchema, ResponseFormat,
};
#[cfg(feature = "tools")]
pub use guide::{Guide, Mask};
#[cfg(feature = "tools")]
pub use vocabulary::Vocabulary;

pub use schema::check_tools;

use super::tools::{ControlToken, ToolFormat};

/// The part of a reply that a constraint applies to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// The whole reply, which is an answer.
    Answer,
    /// The whole reply, which consists of tool calls.
    Calls(Vec<ControlToken>),
    /// From the end of the model's thinking, or of other text before an answer. Until then the
    /// reply is free but cannot end.
    AfterThinking {
        /// The tool format of this template's models.
        format: ToolFormat,
        /// Markers of the format that are control tokens of the model.
        control: Vec<ControlToken>,
        /// Whether the reply begins inside the model's thinking.
        thinking: bool,
        /// Whether tool calls follow instead of an answer.
        calls: bool,
    },
    /// From the opening of the first tool call on. Before it the reply is free text.
    FromOpening {
        /// The tool format, which determines how calls begin.
        format: ToolFormat,
        /// The names of the offered tools.
        names: Vec<String>,
        /// Markers of the format that are control tokens of the model.
        control: Vec<ControlToken>,
        /// Whether the reply begins inside the model's thinking.
        thinking: bool,
    },
}

/// The effect of a token on a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whether the token completed the opening of a tool call, or the thinking, so that the reply
    /// is constrained from here on.
    pub entered: bool,
    /// Whether nothing can follow.
    pub complete: bool,
}
