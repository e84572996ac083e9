//! The request of a chat completion, in every form that clients send.

use std::collections::BTreeMap;

use elpis::{GenerationOptions, ResponseFormat, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::message::Message;
use crate::error::ApiError;
use crate::extension::RequestExtension;
use crate::extract::{field, is_empty, unknown_fields};

/// Fields that cannot change the answer of this server, so that nobody needs to hear that they are
/// not used.
const WITHOUT_EFFECT: [&str; 8] = [
    "store",
    "service_tier",
    "prompt_cache_retention",
    "safety_settings",
    "stream_usage",
    "cache_prompt",
    "return_progress",
    "timings_per_token",
];

/// Fields whose meaning this server does not have, and whose absence a client would not notice.
const REFUSED: [(&str, &str); 5] = [
    ("functions", "send `tools` instead"),
    ("function_call", "send `tool_choice` instead"),
    ("audio", "this model writes text only"),
    (
        "grammar",
        "send `response_format` of the type `lark` instead",
    ),
    ("logprobs", "this server has no log-probabilities yet"),
];

/// The request of a chat completion.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatCompletionRequest {
    pub(super) messages: Vec<Message>,
    pub(super) model: String,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    min_p: Option<f32>,
    #[serde(default, alias = "repeat_penalty")]
    repetition_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default, alias = "repeat_last_n")]
    repetition_window: Option<u32>,
    #[serde(default)]
    logit_bias: Option<BTreeMap<String, f32>>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stop: Option<OneOrMany>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    response_format: Option<Value>,
    #[serde(default)]
    modalities: Option<Vec<String>>,
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) safety_identifier: Option<String>,
    #[serde(default)]
    pub(super) prompt_cache_key: Option<String>,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) elpis: Option<RequestExtension>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl ChatCompletionRequest {
    /// The number of replies.
    pub(super) fn choices(&self, limit: u32) -> Result<u32, ApiError> {
        match self.n.unwrap_or(1) {
            n if (1..=limit).contains(&n) => Ok(n),
            n => Err(ApiError::invalid(
                "n",
                format!("n is {n}, but must be 1 to {limit} (`server.max_choices`)"),
            )),
        }
    }

    pub(super) fn includes_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|options| options.include_usage) == Some(true)
    }

    /// The fields that were not used, by name.
    pub(super) fn ignored(&self) -> Vec<String> {
        unknown_fields(&self.rest, &WITHOUT_EFFECT)
    }

    /// The options of the generation. Without a maximum, the reply may have `max_tokens`.
    pub(super) fn options(
        &mut self,
        max_tokens: Option<u32>,
    ) -> Result<GenerationOptions, ApiError> {
        for (name, advice) in REFUSED {
            if self.rest.get(name).is_some_and(|value| !is_empty(value)) {
                let message = format!("`{name}` is not supported: {advice}");
                return Err(ApiError::invalid(name, message));
            }
        }
        if let Some(other) = self
            .modalities
            .iter()
            .flatten()
            .find(|kind| *kind != "text")
        {
            let message = format!("modalities has {other:?}, but this model writes text only");
            return Err(ApiError::invalid("modalities", message));
        }
        let mut options = GenerationOptions::default();
        options.max_tokens = self
            .max_completion_tokens
            .or(self.max_tokens)
            .or(max_tokens);
        options.temperature = self.temperature;
        // A mass of 0 keeps the likeliest token, as the smallest mass does.
        options.top_p = self
            .top_p
            .map(|mass| if mass == 0.0 { f32::EPSILON } else { mass });
        // Some clients send -1 for all.
        options.top_k = self
            .top_k
            .map(|k| u32::try_from(k.max(0)).unwrap_or(u32::MAX));
        options.min_p = self.min_p;
        options.repetition_penalty = self.repetition_penalty;
        options.presence_penalty = self.presence_penalty;
        options.frequency_penalty = self.frequency_penalty;
        options.repetition_window = self.repetition_window;
        options.logit_bias = self.logit_bias.take().map(logit_bias).transpose()?;
        options.seed = self.seed.map(i64::cast_unsigned);
        options.stop = match self.stop.take() {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        // An empty text would end every reply at once; some clients send it for "none".
        options.stop.retain(|text| !text.is_empty());
        // Clients read from the finish reason that a reply was cut off.
        options.allow_unfinished = Some(true);
        options.parallel_tool_calls = self.parallel_tool_calls;
        let mut tools = self.tools.take().unwrap_or_default();
        let choice = self.tool_choice.take().filter(|choice| !choice.is_null());
        let choice = choice
            .map(|choice| read_tool_choice(choice, &mut tools))
            .transpose()?;
        if !tools.is_empty() {
            options.tool_choice = choice;
            options.tools = Some(Value::Array(tools));
        } else if choice
            .is_some_and(|choice| matches!(choice, ToolChoice::Required | ToolChoice::Named(_)))
        {
            let message = "tool_choice demands a call, but there are no tools";
            return Err(ApiError::invalid("tool_choice", message));
        }
        if let Some(format) = self.response_format.take() {
            options.response_format = read_response_format(format, "response_format")?;
        }
        Ok(options)
    }
}

/// Reads the tokens of a bias, which JSON has as texts.
fn logit_bias(bias: BTreeMap<String, f32>) -> Result<BTreeMap<u32, f32>, ApiError> {
    let entry = |(token, value): (String, f32)| match token.trim().parse() {
        Ok(token) => Ok((token, value)),
        Err(_) => Err(field(
            "logit_bias",
            &format!("has {token:?}, which is not a token's number"),
        )),
    };
    bias.into_iter().map(entry).collect()
}

/// Reads the choice among tools. A choice of some removes the others.
pub(crate) fn read_tool_choice(
    choice: Value,
    tools: &mut Vec<Value>,
) -> Result<ToolChoice, ApiError> {
    if choice == "any" {
        return Ok(ToolChoice::Required);
    }
    if choice["type"] == "allowed_tools" {
        // Chat completions nest it, responses do not.
        let allowed = choice.get("allowed_tools").unwrap_or(&choice);
        let names = allowed["tools"].as_array().into_iter().flatten();
        let names: Vec<_> = names
            .filter_map(|tool| name_of(tool).map(str::to_owned))
            .collect();
        tools.retain(|tool| name_of(tool).is_some_and(|name| names.iter().any(|n| n == name)));
        return match allowed["mode"].as_str() {
            Some("required") => Ok(ToolChoice::Required),
            _ => Ok(ToolChoice::Auto),
        };
    }
    serde_json::from_value(choice)
        .map_err(|error| ApiError::invalid("tool_choice", format!("tool_choice: {error}")))
}

fn name_of(tool: &Value) -> Option<&str> {
    tool["function"]["name"]
        .as_str()
        .or_else(|| tool["name"].as_str())
}

/// Reads the format of a reply; an error names it as `place`.
pub(crate) fn read_response_format(
    format: Value,
    place: &str,
) -> Result<Option<ResponseFormat>, ApiError> {
    if format.is_null() {
        return Ok(None);
    }
    if format["type"] == "json_object"
        && let Some(schema) = format.get("schema")
    {
        return Ok(Some(ResponseFormat::json_schema(schema.clone())));
    }
    let format = serde_json::from_value(format)
        .map_err(|error| ApiError::invalid(place, format!("{place}: {error}")))?;
    Ok(Some(format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(mut fields: Value) -> Result<(GenerationOptions, Vec<String>), ApiError> {
        fields["messages"] = json!([]);
        fields["model"] = "m".into();
        let mut request: ChatCompletionRequest = serde_json::from_value(fields).unwrap();
        let ignored = request.ignored();
        Ok((request.options(Some(99))?, ignored))
    }

    #[test]
    fn what_clients_send_is_read() {
        let (options, ignored) = read(json!({
            "temperature": 1.0, "top_p": 0, "top_k": -1, "seed": -1, "n": null, "stop": "a",
            "max_tokens": 5, "max_completion_tokens": 7, "presence_penalty": 0.5,
            "repeat_penalty": 1.1, "tools": [], "tool_choice": "auto", "logprobs": false,
            "functions": null, "store": true, "verbosity": "low", "reasoning_effort": "high",
            "modalities": ["text"], "response_format": {"type": "text"}, "logit_bias": {"12": -100},
        }))
        .unwrap();
        assert_eq!(options.max_tokens, Some(7));
        assert_eq!(options.top_k, Some(0));
        assert_eq!(options.top_p, Some(f32::EPSILON));
        assert_eq!(options.seed, Some(u64::MAX));
        assert_eq!(options.stop, ["a"]);
        assert_eq!(options.repetition_penalty, Some(1.1));
        assert_eq!(options.logit_bias, Some(BTreeMap::from([(12, -100.0)])));
        assert_eq!(options.tools, None);
        assert_eq!(options.response_format, Some(ResponseFormat::Text));
        assert!(options.validate().is_ok());
        let mut ignored = ignored;
        ignored.sort();
        assert_eq!(ignored, ["reasoning_effort", "verbosity"]);
        let (options, _) = read(json!({"stop": ["", "b"]})).unwrap();
        assert_eq!(
            (options.max_tokens, options.stop),
            (Some(99), vec!["b".to_owned()])
        );
    }

    #[test]
    fn choices_among_tools_are_read_in_every_form() {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let read = |choice: Value| {
            let (options, _) =
                read(json!({"tools": [tool("f"), tool("g")], "tool_choice": choice})).unwrap();
            (
                options.tool_choice,
                options.tools.unwrap().as_array().unwrap().len(),
            )
        };
        assert_eq!(read(json!(null)), (None, 2));
        assert_eq!(read(json!("any")), (Some(ToolChoice::Required), 2));
        assert_eq!(
            read(tool("g")),
            (Some(ToolChoice::Named("g".to_owned())), 2)
        );
        let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}});
        assert_eq!(read(allowed), (Some(ToolChoice::Required), 1));
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (fields, param) in [
            (json!({"functions": [{"name": "f"}]}), "functions"),
            (json!({"logit_bias": {"x": 1}}), "logit_bias"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [{}], "tool_choice": "perhaps"}),
                "tool_choice",
            ),
            (
                json!({"response_format": {"type": "xml"}}),
                "response_format",
            ),
        ] {
            let error = read(fields).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{error:?}");
        }
    }

    #[test]
    fn a_schema_is_read_in_both_forms() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let named = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
        let (named, _) = read(json!({"response_format": named})).unwrap();
        let (plain, _) =
            read(json!({"response_format": {"type": "json_object", "schema": schema}})).unwrap();
        assert_eq!(named.response_format, plain.response_format);
    }

    #[test]
    fn the_number_of_choices_is_limited() {
        let request = |n: u32| -> ChatCompletionRequest {
            serde_json::from_value(json!({"messages": [], "model": "m", "n": n})).unwrap()
        };
        assert_eq!(request(8).choices(8).unwrap(), 8);
        assert_eq!(
            request(9).choices(8).unwrap_err().param.as_deref(),
            Some("n")
        );
        assert!(request(0).choices(8).is_err());
    }
}
