//! Replies with calls, as models write them.

use elpis::inference::ToolFormat;

/// What the calls of a format look like in a reply.
pub(super) struct Case {
    pub(super) format: ToolFormat,
    /// What a template has that names the format.
    pub(super) marks: &'static str,
    /// In front of the first call.
    pub(super) text: &'static str,
    /// How a reply says that a call begins, as far as it is not free any more.
    pub(super) opening: &'static str,
    pub(super) calls: &'static str,
}

/// Two calls in each format: the weather in Paris, and that in `New York`. A model of plain JSON
/// has to begin with them, or to have thought before.
pub(super) const CASES: [Case; 10] = [
    Case {
        format: ToolFormat::Hermes,
        marks: "<tool_call>",
        text: "I look it up.\n",
        opening: "<tool_call>\n{",
        calls: "\"name\": \"weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"New York\"}}\n</tool_call>",
    },
    Case {
        format: ToolFormat::Llama3,
        marks: "<|start_header_id|>",
        text: "<think>I look it up.</think>",
        opening: "{\"name\":",
        calls: " \"weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"weather\", \"parameters\": {\"place\": \"New York\"}}",
    },
    Case {
        format: ToolFormat::Llama3,
        marks: "<|start_header_id|>",
        text: "I look it up: ",
        opening: "<|python_tag|>{\"type\": \"function\", \"name\":",
        calls: " \"weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"weather\", \"parameters\": {\"place\": \"New York\"}}",
    },
    Case {
        format: ToolFormat::Mistral,
        marks: "[TOOL_CALLS]",
        text: "I look it up. ",
        opening: "[TOOL_CALLS] [{",
        calls: "\"name\": \"weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"weather\", \"arguments\": {\"place\": \"New York\"}}]",
    },
    Case {
        format: ToolFormat::MistralV11,
        marks: "[ARGS]",
        text: "I look it up. ",
        opening: "[TOOL_CALLS]weather[ARGS]",
        calls: "{\"place\": \"Paris\"}[TOOL_CALLS]weather[ARGS]{\"place\": \"New York\"}",
    },
    Case {
        format: ToolFormat::Gemma,
        marks: "<start_of_turn>",
        text: "<think>I look it up.</think>",
        opening: "```json\n[\n  {\n    \"name\":",
        calls: " \"weather\", \"parameters\": {\"place\": \"Paris\"}}, {\"name\": \"weather\", \"parameters\": {\"place\": \"New York\"}}]\n```",
    },
    Case {
        format: ToolFormat::FunctionGemma,
        marks: "<start_function_call>",
        text: "I look it up. ",
        opening: "<start_function_call>call:weather{",
        calls: "place:<escape>Paris<escape>}<end_function_call><start_function_call>call:weather{place:<escape>New York<escape>}<end_function_call>",
    },
    Case {
        format: ToolFormat::Qwen3Coder,
        marks: "<tool_call> <function= <parameter=",
        text: "I look it up. ",
        opening: "<tool_call>\n<function=",
        calls: "weather>\n<parameter=place>\nParis\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=weather>\n<parameter=place>\nNew York\n</parameter>\n</function>\n</tool_call>",
    },
    Case {
        format: ToolFormat::Json,
        marks: "",
        text: "<think>I look it up.</think>",
        opening: "[{\"name\":",
        calls: "\"weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"weather\", \"arguments\": {\"place\": \"New York\"}}]",
    },
    Case {
        format: ToolFormat::Json,
        marks: "",
        text: "",
        opening: "```json\n[\n{\n\"name\" :",
        calls: "\t\"weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"weather\", \"arguments\": {\"place\": \"New York\"}}]\n```",
    },
];
