//! The request of a response.

use elpis::{ChatMessage, GenerationOptions, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::input::Input;
use crate::error::ApiError;
use crate::extension::RequestExtension;
use crate::extract::{field, unknown_fields};
use crate::openai::{read_response_format, read_tool_choice};

/// Fields that cannot change the answer of this server.
const WITHOUT_EFFECT: [&str; 5] = [
    "service_tier",
    "include",
    "stream_options",
    "prompt_cache_retention",
    "client_metadata",
];

#[derive(Debug, Deserialize)]
pub(crate) struct ResponseRequest {
    pub(super) model: String,
    #[serde(default)]
    input: Option<Input>,
    #[serde(default)]
    pub(super) instructions: Option<String>,
    #[serde(default)]
    pub(super) previous_response_id: Option<String>,
    #[serde(default)]
    pub(super) max_output_tokens: Option<u32>,
    #[serde(default)]
    pub(super) temperature: Option<f32>,
    #[serde(default)]
    pub(super) top_p: Option<f32>,
    #[serde(default)]
    pub(super) presence_penalty: Option<f32>,
    #[serde(default)]
    pub(super) frequency_penalty: Option<f32>,
    #[serde(default)]
    pub(super) tools: Option<Vec<Value>>,
    #[serde(default)]
    pub(super) tool_choice: Option<Value>,
    #[serde(default)]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(default)]
    pub(super) text: Option<Text>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    pub(super) store: Option<bool>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) safety_identifier: Option<String>,
    #[serde(default)]
    pub(super) prompt_cache_key: Option<String>,
    #[serde(default)]
    pub(super) elpis: Option<RequestExtension>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Text {
    #[serde(default)]
    pub(super) format: Option<Value>,
}

impl ResponseRequest {
    pub(super) fn ignored(&self) -> Vec<String> {
        unknown_fields(&self.rest, &WITHOUT_EFFECT)
    }

    /// The options of the generation. Without a maximum, the reply may have `max_tokens`.
    pub(super) fn options(&self, max_tokens: Option<u32>) -> Result<GenerationOptions, ApiError> {
        if self.background == Some(true) {
            return Err(field(
                "background",
                "is true, but this server answers at once only",
            ));
        }
        let mut options = GenerationOptions::default().allow_unfinished(true);
        options.max_tokens = self.max_output_tokens.or(max_tokens);
        options.temperature = self.temperature;
        options.top_p = self.top_p;
        options.presence_penalty = self.presence_penalty;
        options.frequency_penalty = self.frequency_penalty;
        options.parallel_tool_calls = self.parallel_tool_calls;
        let tools = self.tools.iter().flatten().enumerate().map(tool);
        let mut tools = tools.collect::<Result<Vec<_>, _>>()?;
        let choice = self.tool_choice.clone().filter(|choice| !choice.is_null());
        let choice = choice.map(|choice| read_tool_choice(nested(choice), &mut tools));
        let choice = choice.transpose()?;
        if !tools.is_empty() {
            options.tool_choice = choice;
            options.tools = Some(Value::Array(tools));
        } else if choice == Some(ToolChoice::Required) {
            return Err(field(
                "tool_choice",
                "demands a call, but there are no tools",
            ));
        }
        if let Some(format) = self.text.as_ref().and_then(|text| text.format.clone()) {
            options.response_format = read_response_format(wrapped(format), "text.format")?;
        }
        Ok(options)
    }

    /// The conversation: what came before, and the input.
    pub(super) fn conversation(
        &mut self,
        before: Vec<ChatMessage>,
    ) -> Result<Vec<ChatMessage>, ApiError> {
        let mut messages = before;
        let Some(input) = self.input.take() else {
            return Err(field("input", "is missing"));
        };
        input.add_to(&mut messages)?;
        Ok(messages)
    }
}

/// A tool in the form of chat completions.
fn tool((index, tool): (usize, &Value)) -> Result<Value, ApiError> {
    if tool["type"] != "function" {
        let reason = format!(
            "is {}, but this server runs no tools of its own",
            tool["type"]
        );
        return Err(field(format!("tools[{index}].type"), &reason));
    }
    let mut function = tool.clone();
    if let Some(fields) = function.as_object_mut() {
        fields.remove("type");
    }
    Ok(json!({"type": "function", "function": function}))
}

/// A choice of a function, in the form of chat completions.
fn nested(choice: Value) -> Value {
    match choice.get("name") {
        Some(name) if choice["type"] == "function" => {
            json!({"type": "function", "function": {"name": name}})
        }
        _ => choice,
    }
}

/// A format with a schema, in the form of chat completions.
fn wrapped(format: Value) -> Value {
    if format["type"] == "json_schema" && format.get("json_schema").is_none() {
        return json!({"type": "json_schema", "json_schema": {"schema": format["schema"]}});
    }
    format
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::ResponseFormat;

    fn options(mut fields: Value) -> Result<GenerationOptions, ApiError> {
        fields["model"] = "m".into();
        let request: ResponseRequest = serde_json::from_value(fields).unwrap();
        request.options(Some(99))
    }

    #[test]
    fn tools_and_formats_are_read_in_their_flat_form() {
        let tool = json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true});
        let choice = json!({"type": "function", "name": "f"});
        let read = options(json!({"tools": [tool], "tool_choice": choice})).unwrap();
        assert_eq!(read.tool_choice, Some(ToolChoice::Named("f".to_owned())));
        assert_eq!(read.tools.unwrap()[0]["function"]["name"], "f");
        let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}});
        let read = options(json!({"text": {"format": format}})).unwrap();
        let expected = ResponseFormat::json_schema(json!({"type": "object"}));
        assert_eq!(
            (read.response_format, read.max_tokens),
            (Some(expected), Some(99))
        );
    }

    #[test]
    fn what_this_server_cannot_do_is_named() {
        for (fields, param) in [
            (json!({"background": true}), "background"),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (json!({"text": {"format": {"type": "xml"}}}), "text.format"),
        ] {
            assert_eq!(options(fields).unwrap_err().param.as_deref(), Some(param));
        }
    }
}
