//! Tools as types: definitions for the model, with the functions that answer calls.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::inference::schemars::JsonSchema;
use crate::inference::{FunctionCall, ToolDefinition, read_typed};

type BoxError = Box<dyn StdError + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<String, ToolCallError>> + Send>>;

/// The reason why a tool call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolCallError {
    /// No tool has this name.
    #[error("there is no tool {name:?}")]
    Unknown {
        /// The name that was called.
        name: String,
    },
    /// The arguments cannot be deserialised into the tool's type.
    #[error("the arguments of {name} cannot be read: {source}")]
    Arguments {
        /// The tool.
        name: String,
        /// The reason.
        source: BoxError,
    },
    /// The tool itself failed, or its result cannot be written as JSON.
    #[error("{name} failed: {source}")]
    Failed {
        /// The tool.
        name: String,
        /// The cause.
        source: BoxError,
    },
}

impl ToolCallError {
    /// Returns a short constant label for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_tool",
            Self::Arguments { .. } => "tool_arguments",
            Self::Failed { .. } => "tool_failed",
        }
    }
}

/// A tool: its definition for the model, and the function that answers a call.
///
/// ```
/// # #[cfg(feature = "tools")] {
/// use elpis::inference::schemars::{self, JsonSchema};
/// use elpis::{Tool, Tools};
/// use serde::Deserialize;
///
/// /// Waters a plant.
/// #[derive(Deserialize, JsonSchema)]
/// struct WaterPlant {
///     plant: String,
///     #[schemars(range(min = 0.1, max = 2.0))]
///     litres: f64,
/// }
///
/// let water = Tool::new("water_plant", async |water: WaterPlant| {
///     if water.plant == "cactus" {
///         return Err("the cactus does not like it");
///     }
///     Ok(format!("the {} drinks", water.plant))
/// });
/// let tools = Tools::new().with(water);
/// # }
/// ```
#[derive(Clone)]
pub struct Tool {
    definition: ToolDefinition,
    handler: Arc<dyn Fn(Value) -> Answer + Send + Sync>,
}

impl Tool {
    /// Creates a tool whose arguments are the fields of `A`, described by its doc comment.
    ///
    /// A string result is passed to the model as it is, any other as JSON.
    pub fn new<A, R, E, F>(
        name: impl Into<String>,
        handler: impl Fn(A) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<R, E>> + Send + 'static,
        R: Serialize,
        E: Into<BoxError>,
    {
        let definition = ToolDefinition::of::<A>(name);
        let name: Arc<str> = definition.name.as_str().into();
        let handler = move |arguments: Value| -> Answer {
            let name = name.to_string();
            let arguments = match read_typed::<A>(arguments) {
                Ok(arguments) => arguments,
                Err(error) => {
                    let source = error.into();
                    let error = ToolCallError::Arguments { name, source };
                    return Box::pin(std::future::ready(Err(error)));
                }
            };
            let answer = handler(arguments);
            Box::pin(async move {
                let text = match answer.await {
                    Ok(result) => text(&result),
                    Err(error) => Err(error.into()),
                };
                text.map_err(|source| ToolCallError::Failed { name, source })
            })
        };
        Self {
            definition,
            handler: Arc::new(handler),
        }
    }

    /// Replaces the tool's description, which is the doc comment of its arguments by default.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.definition.description = description.into();
        self
    }

    /// The definition that the model sees.
    pub fn definition(&self) -> &ToolDefinition {
        &self.definition
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

/// Tools to offer in a request: [`Chat::tools`](crate::Chat::tools) takes them by reference.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    tools: Vec<Tool>,
}

impl Tools {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool. A request refuses two tools of the same name.
    #[must_use]
    pub fn with(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Answers a call with the function of its tool.
    ///
    /// # Errors
    /// [`ToolCallError`]. Its message may be passed to the model as the result.
    ///
    /// # Cancel safety
    /// Dropping the future drops the future of the tool's function.
    pub async fn call(&self, call: &FunctionCall) -> Result<String, ToolCallError> {
        let called = |tool: &&Tool| tool.definition.name == call.name;
        let Some(tool) = self.tools.iter().find(called) else {
            let name = call.name.clone();
            return Err(ToolCallError::Unknown { name });
        };
        (tool.handler)(call.arguments.clone()).await
    }
}

impl FromIterator<Tool> for Tools {
    fn from_iter<I: IntoIterator<Item = Tool>>(tools: I) -> Self {
        let tools = tools.into_iter().collect();
        Self { tools }
    }
}

impl From<&Tools> for Value {
    /// The definitions in `OpenAI`'s JSON form.
    fn from(tools: &Tools) -> Self {
        let entry = |tool: &Tool| {
            let ToolDefinition {
                name,
                description,
                parameters,
            } = &tool.definition;
            json!({"type": "function", "function": {
                "name": name,
                "description": description,
                "parameters": parameters,
            }})
        };
        tools.tools.iter().map(entry).collect()
    }
}

fn text(result: &impl Serialize) -> Result<String, BoxError> {
    Ok(match serde_json::to_value(result)? {
        Value::String(text) => text,
        value => value.to_string(),
    })
}
