//! The tools on offer, read from JSON.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::definition::{
    MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_TOOLS, ToolChoice, ToolDefinition, ToolError,
};
use super::entry::definition;
use super::measure::{Measured, measure};

/// The tools of a request, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSet {
    tools: Vec<ToolDefinition>,
}

impl ToolSet {
    /// Reads a list of tools, each in one of these forms:
    ///
    /// - `{"type": "function", "function": {"name", "description", "parameters"}}`, as in
    ///   `OpenAI`'s chat completions, or the inner object alone, as in its responses;
    /// - `{"name", "description", "inputSchema"}`, as MCP servers list them;
    /// - `{"name", "description", "input_schema"}`, as in Anthropic's messages.
    ///
    /// Without a schema a tool takes no arguments.
    ///
    /// Whether the schemas can be enforced shows when they are compiled.
    ///
    /// # Errors
    /// [`ToolError`] with the tool, the field and the limit.
    pub fn from_json(list: &Value) -> Result<Self, ToolError> {
        let entries = list.as_array().filter(|entries| !entries.is_empty());
        let entries = entries.ok_or(ToolError::NoList)?;
        if entries.len() > MAX_TOOLS {
            return Err(ToolError::TooMany {
                count: entries.len(),
            });
        }
        let Measured { bytes, depth } = measure(list);
        if bytes > MAX_SCHEMA_BYTES {
            return Err(ToolError::TooLarge {
                what: format!("{bytes} bytes long"),
                limit: "at most 262144 bytes",
            });
        }
        // A schema lies three levels below the list.
        if depth > MAX_SCHEMA_DEPTH + 3 {
            return Err(ToolError::TooLarge {
                what: format!("{depth} levels deep"),
                limit: "at most 67 levels",
            });
        }
        let mut names = HashSet::new();
        let mut tools = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let tool = definition(index, entry)?;
            if !names.insert(tool.name.clone()) {
                let name = tool.name;
                return Err(ToolError::Duplicate { index, name });
            }
            tools.push(tool);
        }
        Ok(Self { tools })
    }

    /// The tools, in the order given.
    pub fn tools(&self) -> &[ToolDefinition] {
        &self.tools
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.name.as_str())
    }

    /// Those that a choice leaves: all of them, or the one that it names.
    ///
    /// # Errors
    /// [`ToolError::UnknownChoice`].
    pub fn chosen(&self, choice: &ToolChoice) -> Result<&[ToolDefinition], ToolError> {
        let ToolChoice::Named(name) = choice else {
            return Ok(&self.tools);
        };
        match self.tools.iter().position(|tool| tool.name == *name) {
            Some(index) => Ok(&self.tools[index..=index]),
            None => Err(ToolError::UnknownChoice {
                name: name.chars().take(64).collect(),
            }),
        }
    }

    /// The list in the form that chat templates read.
    pub fn to_json(&self) -> Value {
        let function = |tool: &ToolDefinition| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            })
        };
        self.tools.iter().map(function).collect()
    }
}
