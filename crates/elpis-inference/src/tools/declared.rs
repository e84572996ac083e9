//! The argument types that the offered tools declare.

use std::sync::Arc;

use super::set::ToolSet;
use crate::schema::{Document, Types};

/// The schemas of the offered tools, if known.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared(Option<Arc<ToolSet>>);

impl Declared {
    pub fn new(tools: &ToolSet) -> Self {
        Self(Some(Arc::new(tools.clone())))
    }

    /// The schema of a tool's arguments.
    pub fn schema(&self, tool: &str) -> Option<&serde_json::Value> {
        let tools = self.0.as_ref()?.tools();
        let tool = tools.iter().find(|known| known.name == tool)?;
        Some(&tool.parameters)
    }

    /// The types that an argument may have; `None` if it is not declared.
    pub fn types(&self, tool: &str, key: &str) -> Option<Types> {
        let schema = self.schema(tool)?;
        let document = Document::new(schema);
        let part = crate::schema::Lookup::root(&document).property(&document, key)?;
        Some(part.types(&document))
    }
}
