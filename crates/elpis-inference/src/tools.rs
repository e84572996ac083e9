//! Function calling: what tools are on offer, how a model writes its calls, and how they are read
//! back while they are being written.
//!
//! A [`ToolFormat`] is chosen from the chat template. It says how calls look in the reply
//! ([`ToolFormat::grammar`] makes that binding) and how a [`ToolParser`] finds them there. All
//! that is known of a family's notation stands in one table, `family`.

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

pub(crate) use measure::{Measured, measure};
pub(crate) use recognise::recognise;
