//! How models write tool calls.

use std::fmt;

use super::opening::{Finder, Opening};
use super::scan::is_name;

/// How a family of models writes its tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolFormat {
    /// Hermes and Qwen: `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, one block for
    /// each call (the function calling format of Nous Research).
    Hermes,
    /// Llama 3: the reply is `{"name": …, "parameters": …}`, several are separated by `; ` (Meta's
    /// prompt format of Llama 3.1, "JSON based tool calling"), with `<|python_tag|>` in front where
    /// the model likes.
    Llama3,
    /// Mistral from the third tokenizer version on: `[TOOL_CALLS] [{"name": …, "arguments": …}]`.
    Mistral,
    /// Mistral from the eleventh tokenizer version on: `[TOOL_CALLS]name[ARGS]{…}` for each call,
    /// with `[CALL_ID]` and an id before `[ARGS]` where the model writes one (the chat templates of
    /// Mistral Small 3.2, Magistral, Devstral and Ministral 3).
    MistralV11,
    /// Gemma 2 and 3: `{"name": …, "parameters": …}`, bare or in a fence, as Google's guide to
    /// function calling with Gemma asks for it in the prompt.
    Gemma,
    /// `FunctionGemma`: `<start_function_call>call:name{key:<escape>text<escape>,n:1}
    /// <end_function_call>` without the line break, with bare keys and texts between markers (the
    /// chat template of Google's `FunctionGemma` 270M).
    FunctionGemma,
    /// Qwen3-Coder: `<tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n
    /// </function>\n</tool_call>` without spaces; texts stand as they are, all else is JSON (the
    /// chat template of Qwen3-Coder-30B-A3B-Instruct, which Qwen3.5 and Nemotron 3 share).
    Qwen3Coder,
    /// For all others: `{"name": …, "arguments": …}`, several as a list, bare or in a fence.
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
    pub const ALL: [Self; 8] = [
        Self::Hermes,
        Self::Llama3,
        Self::Mistral,
        Self::MistralV11,
        Self::Gemma,
        Self::FunctionGemma,
        Self::Qwen3Coder,
        Self::Json,
    ];

    /// The format of the models that a chat template is for, by the markers that it writes.
    pub fn of_template(source: &str) -> Self {
        // Others write `<function=` as well, around JSON or in another envelope.
        let xml = ["<tool_call>", "<function=", "<parameter="];
        if xml.iter().all(|mark| source.contains(mark)) {
            return Self::Qwen3Coder;
        }
        let marks = [
            ("[ARGS]", Self::MistralV11),
            ("<start_function_call>", Self::FunctionGemma),
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
            Self::MistralV11 => "mistral-v11",
            Self::Gemma => "gemma",
            Self::FunctionGemma => "function-gemma",
            Self::Qwen3Coder => "qwen-3-coder",
            Self::Json => "json",
        }
    }

    /// The markers that may be control tokens of the model.
    pub const fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Hermes | Self::Qwen3Coder => &["<tool_call>", "</tool_call>"],
            Self::Mistral => &["[TOOL_CALLS]"],
            Self::MistralV11 => &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
            Self::FunctionGemma => &["<start_function_call>", "<end_function_call>", "<escape>"],
            Self::Llama3 => &["<|python_tag|>"],
            Self::Gemma | Self::Json => &[],
        }
    }

    /// Looks for the beginning of the first call in a reply; see [`Finder::new`] for `thinking`.
    pub fn finder(self, thinking: bool) -> Finder {
        Finder::new(self.openings(), thinking)
    }

    /// How calls begin. JSON counts as one from its name on, in whatever spacing, alone, in a list
    /// or in a fence.
    pub fn openings(self) -> &'static [Opening] {
        match self {
            Self::Hermes | Self::Qwen3Coder => &TAG,
            Self::Mistral | Self::MistralV11 => &BRACKETS,
            Self::FunctionGemma => &FUNCTION,
            Self::Llama3 => &LLAMA,
            Self::Gemma => &GEMMA,
            Self::Json => &JSON,
        }
    }

    /// What may stand between, before and after calls, apart from white space.
    pub(super) const fn filling(self) -> &'static [&'static str] {
        match self {
            Self::Hermes | Self::Qwen3Coder => &["<tool_call>", "</tool_call>"],
            Self::Mistral | Self::MistralV11 => &["[TOOL_CALLS]", "[", "]", ","],
            Self::Llama3 => &["<|python_tag|>", ";", "```", "```json", "[", "]", ","],
            Self::Gemma => &["```", "```json", "```tool_code", "[", "]", ","],
            Self::FunctionGemma => &["<start_function_call>", "<end_function_call>"],
            Self::Json => &["```", "```json", "[", "]", ","],
        }
    }

    /// Whether a call may begin so, or with what begins so.
    pub(super) fn may_head(self, text: &str) -> bool {
        match self {
            Self::FunctionGemma => "call:".starts_with(text),
            Self::Qwen3Coder => "<function=".starts_with(text) || text == "{",
            Self::MistralV11 => text == "{" || text.chars().all(is_name),
            _ => text == "{",
        }
    }

    pub(super) const fn arguments_key(self) -> &'static str {
        match self {
            Self::Llama3 | Self::Gemma => "parameters",
            _ => "arguments",
        }
    }
}

/// An opening that may stand anywhere in a reply.
const fn anywhere(parts: &'static [&'static str]) -> Opening {
    let anchored = false;
    Opening { parts, anchored }
}

/// An opening that a reply begins with.
const fn first(parts: &'static [&'static str]) -> Opening {
    let anchored = true;
    Opening { parts, anchored }
}

static TAG: [Opening; 1] = [anywhere(&["<tool_call>"])];
static BRACKETS: [Opening; 1] = [anywhere(&["[TOOL_CALLS]"])];
static FUNCTION: [Opening; 1] = [anywhere(&["<start_function_call>"])];
static LLAMA: [Opening; 13] = [
    anywhere(&["<|python_tag|>"]),
    first(&["{", "\"type\"", ":", "\"function\"", ",", "\"name\"", ":"]),
    first(&[
        "[",
        "{",
        "\"type\"",
        ":",
        "\"function\"",
        ",",
        "\"name\"",
        ":",
    ]),
    first(&[
        "```json",
        "{",
        "\"type\"",
        ":",
        "\"function\"",
        ",",
        "\"name\"",
        ":",
    ]),
    first(&[
        "```json",
        "[",
        "{",
        "\"type\"",
        ":",
        "\"function\"",
        ",",
        "\"name\"",
        ":",
    ]),
    first(&[
        "```",
        "{",
        "\"type\"",
        ":",
        "\"function\"",
        ",",
        "\"name\"",
        ":",
    ]),
    first(&[
        "```",
        "[",
        "{",
        "\"type\"",
        ":",
        "\"function\"",
        ",",
        "\"name\"",
        ":",
    ]),
    JSON[0],
    JSON[1],
    JSON[2],
    JSON[3],
    JSON[4],
    JSON[5],
];
static GEMMA: [Opening; 8] = [
    first(&["```tool_code", "{", "\"name\"", ":"]),
    first(&["```tool_code", "[", "{", "\"name\"", ":"]),
    JSON[0],
    JSON[1],
    JSON[2],
    JSON[3],
    JSON[4],
    JSON[5],
];
const JSON: [Opening; 6] = [
    first(&["{", "\"name\"", ":"]),
    first(&["[", "{", "\"name\"", ":"]),
    first(&["```json", "{", "\"name\"", ":"]),
    first(&["```json", "[", "{", "\"name\"", ":"]),
    first(&["```", "{", "\"name\"", ":"]),
    first(&["```", "[", "{", "\"name\"", ":"]),
];

impl fmt::Display for ToolFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
