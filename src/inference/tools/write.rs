//! Writes tools, calls and results down for templates that do not.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::definition::ToolSet;
use super::format::ToolFormat;

impl ToolFormat {
    /// What tells a model of the tools whose chat template does not.
    pub(crate) fn instructions(self, tools: &ToolSet) -> String {
        let list: Vec<_> = tools
            .to_json()
            .as_array()
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let list = list.join("\n");
        let key = self.arguments_key();
        let call = format!("{{\"name\": <function name>, \"{key}\": <arguments as JSON>}}");
        let tools = match self {
            Self::Hermes | Self::Qwen3Coder => format!("<tools>\n{list}\n</tools>"),
            _ => list,
        };
        let (how, call) = match self {
            Self::Hermes => (
                "To call one",
                format!("\n<tool_call>\n{call}\n</tool_call>"),
            ),
            Self::Qwen3Coder => (
                "To call one",
                "\n<tool_call>\n<function=function name>\n<parameter=parameter name>\nvalue\n\
                 </parameter>\n</function>\n</tool_call>"
                    .to_owned(),
            ),
            Self::Mistral => (
                "To call them",
                format!(" nothing but:\n[TOOL_CALLS] [{call}]"),
            ),
            Self::MistralV11 => (
                "To call one",
                " nothing but:\n[TOOL_CALLS]function name[ARGS]arguments as JSON".to_owned(),
            ),
            Self::FunctionGemma => (
                "To call one",
                " nothing but:\n<start_function_call>call:function name{key:<escape>text<escape>,\
                 key:number}<end_function_call>"
                    .to_owned(),
            ),
            Self::Llama3 | Self::Gemma | Self::Json => {
                ("To call one", format!(" nothing but:\n{call}"))
            }
        };
        format!(
            "You can call these functions:\n{tools}\n{how}, write{}{call}",
            if call.starts_with('\n') { ":" } else { "" }
        )
    }

    /// Writes the calls of an earlier assistant message down, as the model would have.
    pub(crate) fn write_calls(self, calls: &[Value]) -> String {
        let key = self.arguments_key();
        let call = |call: &Value| {
            let function = call.get("function").unwrap_or(call);
            let of = |name| function.get(name).cloned().unwrap_or_default();
            let (name, arguments) = (of("name"), of("arguments"));
            let bare = name.as_str().unwrap_or_default();
            match self {
                Self::MistralV11 => format!("[TOOL_CALLS]{bare}[ARGS]{}", spaced(&arguments)),
                Self::FunctionGemma => format!(
                    "<start_function_call>call:{bare}{}<end_function_call>",
                    escaped(&arguments)
                ),
                Self::Qwen3Coder => in_tags(bare, &arguments),
                _ => format!("{{\"name\": {name}, \"{key}\": {}}}", spaced(&arguments)),
            }
        };
        let calls: Vec<_> = calls.iter().map(call).collect();
        let block = |call: &String| format!("<tool_call>\n{call}\n</tool_call>");
        match (self, calls.as_slice()) {
            (Self::Hermes | Self::Qwen3Coder, calls) => {
                calls.iter().map(block).collect::<Vec<_>>().join("\n")
            }
            (Self::Mistral, calls) => format!("[TOOL_CALLS] [{}]", calls.join(", ")),
            (Self::MistralV11 | Self::FunctionGemma, calls) => calls.concat(),
            (Self::Llama3, calls) => calls.join("; "),
            (Self::Gemma | Self::Json, [call]) => call.clone(),
            (Self::Gemma | Self::Json, calls) => format!("[{}]", calls.join(", ")),
        }
    }

    /// Writes the result of a tool down, for templates that have no turn for it.
    pub(crate) fn write_result(self, name: Option<&str>, content: &str) -> String {
        match self {
            Self::Hermes | Self::Qwen3Coder => {
                format!("<tool_response>\n{content}\n</tool_response>")
            }
            Self::Mistral => format!("[TOOL_RESULTS] {content}[/TOOL_RESULTS]"),
            Self::MistralV11 => format!("[TOOL_RESULTS]{content}[/TOOL_RESULTS]"),
            Self::FunctionGemma => {
                let name = name.unwrap_or("function");
                let value = escaped(&Value::from(content));
                format!(
                    "<start_function_response>response:{name}{{value:{value}}}<end_function_response>"
                )
            }
            Self::Llama3 | Self::Gemma | Self::Json => {
                let name = name.unwrap_or("the function");
                format!("Result of {name}: {content}")
            }
        }
    }
}

/// JSON with a space after `:` and `,`.
pub(super) fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(spaced).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field =
                |(key, value): (&String, &Value)| format!("{}: {}", json!(key), spaced(value));
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A value as `FunctionGemma` writes it.
fn escaped(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains("<escape>") => format!("<escape>{text}<escape>"),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(escaped).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                let key = if is_bare(key) {
                    key.clone()
                } else {
                    json!(key).to_string()
                };
                format!("{key}:{}", escaped(value))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

/// Whether `FunctionGemma` can write a key without quotes.
pub(super) fn is_bare(key: &str) -> bool {
    let sign = |letter: char| letter.is_control() || "{}[],:\"<>".contains(letter);
    !key.is_empty() && key.trim() == key && !key.contains(sign)
}

/// A call as Qwen3-Coder writes it.
fn in_tags(name: &str, arguments: &Value) -> String {
    let mut call = format!("<function={name}>\n");
    for (key, value) in arguments.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) if !text.contains("</parameter>") => text.clone(),
            other => spaced(other),
        };
        // Writing to a string does not fail.
        let _ = write!(call, "<parameter={key}>\n{value}\n</parameter>\n");
    }
    call.push_str("</function>");
    call
}
