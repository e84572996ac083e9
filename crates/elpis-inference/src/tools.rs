//! Function calling: definitions of the offered tools, the notations in which models write calls,
//! and their incremental parsing.
//!
//! A [`ToolFormat`] is chosen from the chat template. It describes how calls look in the reply
//! ([`ToolFormat::grammar`] enforces that) and how a [`ToolParser`] finds them there. The notations
//! of all model families are in one table, `family`.

mod call;
mod declared;
mod definition;
mod entry;
mod family;
mod format;
mod grammar;
mod measure;
mod name;
mod opening;
mod parser;
mod pattern;
mod preface;
mod recognise;
mod scan;
mod set;
#[cfg(test)]
mod tests;
mod thinking;
mod write;

pub use call::{FunctionCall, MAX_PARALLEL_CALLS};
pub use definition::{
    MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_TOOL_NAME, MAX_TOOLS, ToolChoice, ToolDefinition,
    ToolError,
};
pub use name::{ControlToken, ToolFormat};
pub use opening::Finder;
pub use parser::{ToolEvent, ToolParseError, ToolParser};
pub use preface::Preface;
pub use set::ToolSet;
pub use thinking::ThinkingTracker;

pub(crate) use measure::{Measured, measure};
pub(crate) use recognise::recognise;
