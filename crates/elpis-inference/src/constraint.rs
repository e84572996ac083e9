//! Constraints on the form of a reply, and the token masks that enforce them.
//!
//! A constraint is compiled once for a request; a [`Guide`] then says before every token which
//! ones may follow. The same implementation serves every backend: it needs the bytes of the
//! tokens and nothing else of a model. Grammars and masks are those of the crate `llguidance`,
//! which the cargo feature `tools` brings; without it no [`Guide`] can be made.

#[cfg(not(feature = "tools"))]
mod absent;
mod bounds;
mod error;
mod format;
#[cfg(feature = "tools")]
mod guide;
mod schema;
#[cfg(feature = "tools")]
mod vocabulary;

#[cfg(not(feature = "tools"))]
pub use absent::{Guide, Mask, Vocabulary};
pub use bounds::MAX_REPETITIONS;
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

/// When a constraint holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Extent {
    /// For the whole reply, which is an answer.
    Answer,
    /// For the whole reply, which is tool calls.
    Calls(Vec<ControlToken>),
    /// From where the model's thinking ends, or what else it writes before an answer; until there
    /// the reply is free, but does not end.
    AfterThinking {
        /// The tool format of this template's models.
        format: ToolFormat,
        /// Markers of the format that are control tokens of the model.
        control: Vec<ControlToken>,
        /// Whether the reply begins inside the model's thinking.
        thinking: bool,
        /// Whether tool calls follow, or else an answer.
        calls: bool,
    },
    /// From the opening of the first tool call on; before it the reply is free text.
    FromOpening {
        /// The tool format, which says how calls begin.
        format: ToolFormat,
        /// The names of the tools on offer.
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
    /// The token completed the opening of a tool call, or the thinking: from here on the reply is
    /// constrained.
    pub entered: bool,
    /// Nothing can follow any more.
    pub complete: bool,
}
