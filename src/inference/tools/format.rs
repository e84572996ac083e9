//! How models write tool calls.

use std::fmt;
use std::fmt::Write;

use serde_json::{Value, json};

use super::call::MAX_PARALLEL_CALLS;
use super::definition::{ToolDefinition, ToolSet};
use super::opening::Finder;
use crate::inference::constraint::canonical_schema;

/// How a family of models writes its tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolFormat {
    /// Hermes and Qwen: `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, one block for
    /// each call (the function calling format of Nous Research).
    Hermes,
    /// Llama 3: the reply is `{"name": …, "parameters": …}`, several are separated by `; ` (Meta's
    /// prompt format of Llama 3.1, "JSON based tool calling").
    Llama3,
    /// Mistral from the third tokenizer version on: `[TOOL_CALLS] [{"name": …, "arguments": …}]`.
    Mistral,
    /// Gemma 2 and 3: `{"name": …, "parameters": …}`, bare or in a fence, as Google's guide to
    /// function calling with Gemma asks for it in the prompt.
    Gemma,
    /// For all others: `{"name": …, "arguments": …}`, several as a list.
    Json,
}

/// A marker of a [`ToolFormat`] that is a token of its own without text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlToken {
    /// The marker.
    pub text: &'static str,
    /// The token.
    pub id: u32,
}

impl ToolFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::Hermes,
        Self::Llama3,
        Self::Mistral,
        Self::Gemma,
        Self::Json,
    ];

    /// The format of the models that a chat template is for, by the markers that it writes.
    pub fn of_template(source: &str) -> Self {
        let marks = [
            ("<tool_call>", Self::Hermes),
            ("[TOOL_CALLS]", Self::Mistral),
            ("<|start_header_id|>", Self::Llama3),
            ("<start_of_turn>", Self::Gemma),
            ("<|im_start|>", Self::Hermes),
        ];
        let known = marks.iter().find(|(mark, _)| source.contains(mark));
        known.map_or(Self::Json, |(_, format)| *format)
    }

    /// A short name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hermes => "hermes",
            Self::Llama3 => "llama-3",
            Self::Mistral => "mistral",
            Self::Gemma => "gemma",
            Self::Json => "json",
        }
    }

    /// The markers that may be control tokens of the model.
    pub const fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Mistral => &["[TOOL_CALLS]"],
            Self::Llama3 | Self::Gemma | Self::Json => &[],
        }
    }

    /// Looks for the beginning of the first call in a reply; see [`Finder::new`] for `thinking`.
    pub fn finder(self, thinking: bool) -> Finder {
        let (openings, anchored): (&[&str], bool) = match self {
            Self::Hermes => (&["<tool_call>"], false),
            Self::Mistral => (&["[TOOL_CALLS]"], false),
            Self::Llama3 => (
                &["{\"name\": ", "{\"type\": \"function\", \"name\": "],
                true,
            ),
            Self::Gemma => (
                &[
                    "{\"name\": ",
                    "[{\"name\": ",
                    "```json\n{\"name\": ",
                    "```tool_code\n{\"name\": ",
                ],
                true,
            ),
            Self::Json => (&["{\"name\": ", "[{\"name\": "], true),
        };
        Finder::new(openings, anchored, thinking)
    }

    /// What may stand between, before and after calls, apart from white space.
    pub(super) const fn filling(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Mistral => &["[TOOL_CALLS]", "[", "]", ","],
            Self::Llama3 => &[";", ","],
            Self::Gemma => &["```", "```json", "```tool_code", "[", "]", ","],
            Self::Json => &["[", "]", ","],
        }
    }

    const fn arguments_key(self) -> &'static str {
        match self {
            Self::Hermes | Self::Mistral | Self::Json => "arguments",
            Self::Llama3 | Self::Gemma => "parameters",
        }
    }

    /// The grammar of a reply, from the beginning of the first call on, in llguidance's dialect
    /// of Lark: up to [`MAX_PARALLEL_CALLS`] calls or, without `parallel`, one. Markers among
    /// `control` are tokens, the others text.
    ///
    /// JSON is written with one space after `:` and `,`, as Python does and as the models have
    /// seen it; no model can then go on writing white space for ever.
    pub fn grammar(
        self,
        tools: &[ToolDefinition],
        parallel: bool,
        control: &[ControlToken],
    ) -> String {
        let several = |one: &str, between: &str| {
            if parallel {
                let (between, more) = (quote(between), MAX_PARALLEL_CALLS - 1);
                format!("{one} ({between} {one}){{0,{more}}}")
            } else {
                one.to_owned()
            }
        };
        let marker = |text: &str| match control.iter().find(|token| token.text == text) {
            Some(token) => format!("<[{}]>", token.id),
            None => quote(text),
        };
        let list = format!("\"[\" {} \"]\"", several("call", ", "));
        let start = match self {
            Self::Hermes => several("block", "\n"),
            Self::Mistral => format!("{} \" \"? {list}", marker("[TOOL_CALLS]")),
            Self::Llama3 => several("call", "; "),
            Self::Gemma => format!("call | {list} | fence call \"\\n```\""),
            Self::Json => format!("call | {list}"),
        };
        let mut text = format!("start: {start}\n");
        let rules = match self {
            Self::Hermes => format!(
                "block: {} \"\\n\" call \"\\n\" {}\n",
                marker("<tool_call>"),
                marker("</tool_call>")
            ),
            Self::Gemma => "fence: \"```json\\n\" | \"```tool_code\\n\"\n".to_owned(),
            _ => String::new(),
        };
        text.push_str(&rules);
        text.push_str("call: \"{\\\"name\\\": \" rest \"}\"");
        if self == Self::Llama3 {
            let typed = quote("{\"type\": \"function\", \"name\": ");
            let _ = write!(text, " | {typed} rest \"}}\"");
        }
        let names: Vec<_> = (0..tools.len()).map(|n| format!("tool_{n}")).collect();
        let _ = write!(text, "\nrest: {}\n", names.join(" | "));
        for (name, tool) in names.iter().zip(tools) {
            let head = format!("\"{}\", \"{}\": ", tool.name, self.arguments_key());
            let schema = canonical_schema(&tool.parameters);
            let _ = writeln!(text, "{name}: {} %json {schema}", quote(&head));
        }
        text
    }

    /// What tells a model of the tools whose chat template does not.
    pub(super) fn instructions(self, tools: &ToolSet) -> String {
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
        match self {
            Self::Hermes => format!(
                "You can call these functions:\n<tools>\n{list}\n</tools>\n\
                 To call one, write:\n<tool_call>\n{call}\n</tool_call>"
            ),
            Self::Mistral => format!(
                "You can call these functions:\n{list}\n\
                 To call them, write nothing but:\n[TOOL_CALLS] [{call}]"
            ),
            Self::Llama3 | Self::Gemma | Self::Json => format!(
                "You can call these functions:\n{list}\n\
                 To call one, write nothing but:\n{call}"
            ),
        }
    }

    /// Writes the calls of an earlier assistant message down, as the model would have.
    pub(super) fn write_calls(self, calls: &[Value]) -> String {
        let key = self.arguments_key();
        let call = |call: &Value| {
            let function = call.get("function").unwrap_or(call);
            let of = |name| function.get(name).cloned().unwrap_or_default();
            let (name, arguments) = (of("name"), spaced(&of("arguments")));
            format!("{{\"name\": {name}, \"{key}\": {arguments}}}")
        };
        let calls: Vec<_> = calls.iter().map(call).collect();
        match (self, calls.as_slice()) {
            (Self::Hermes, calls) => calls
                .iter()
                .map(|call| format!("<tool_call>\n{call}\n</tool_call>"))
                .collect::<Vec<_>>()
                .join("\n"),
            (Self::Mistral, calls) => format!("[TOOL_CALLS] [{}]", calls.join(", ")),
            (Self::Llama3, calls) => calls.join("; "),
            (Self::Gemma | Self::Json, [call]) => call.clone(),
            (Self::Gemma | Self::Json, calls) => format!("[{}]", calls.join(", ")),
        }
    }

    /// Writes the result of a tool down, for templates that have no turn for it.
    pub(super) fn write_result(self, name: Option<&str>, content: &str) -> String {
        match self {
            Self::Hermes => format!("<tool_response>\n{content}\n</tool_response>"),
            Self::Mistral => format!("[TOOL_RESULTS] {content}[/TOOL_RESULTS]"),
            Self::Llama3 | Self::Gemma | Self::Json => {
                let name = name.unwrap_or("the function");
                format!("Result of {name}: {content}")
            }
        }
    }
}

impl fmt::Display for ToolFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Lark string is written as in JSON.
fn quote(text: &str) -> String {
    json!(text).to_string()
}

/// JSON with a space after `:` and `,`.
fn spaced(value: &Value) -> String {
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
