//! Grammars of tool calls.

use super::definition::ToolDefinition;
use super::name::{ControlToken, ToolFormat};
use crate::constraint::ConstraintError;

#[cfg(feature = "tools")]
mod calls;

impl ToolFormat {
    /// The grammar of a reply, from the beginning of the first call on, in llguidance's dialect
    /// of Lark: up to [`MAX_PARALLEL_CALLS`](super::MAX_PARALLEL_CALLS) calls or, without
    /// `parallel`, one. Markers among `control` are tokens, the others text.
    ///
    /// Arguments conform to the schemas of the tools. They are in the family's notation, with
    /// exactly one space after `:` and `,` in JSON, so that no model can write white space forever.
    /// Other white space is only accepted up to the point where the reply is known to be a call.
    ///
    /// # Errors
    /// [`ConstraintError::Refused`] for a schema that cannot be enforced in this notation, with
    /// the tool, the place in the schema and the reason; [`ConstraintError::NotBuilt`] in a build
    /// without the feature `tools`.
    pub fn grammar(
        self,
        tools: &[ToolDefinition],
        parallel: bool,
        control: &[ControlToken],
    ) -> Result<String, ConstraintError> {
        written(self, tools, parallel, control)
    }
}

#[cfg(feature = "tools")]
use calls::written;

#[cfg(not(feature = "tools"))]
fn written(
    _: ToolFormat,
    _: &[ToolDefinition],
    _: bool,
    _: &[ControlToken],
) -> Result<String, ConstraintError> {
    Err(ConstraintError::NotBuilt { field: "tools" })
}
