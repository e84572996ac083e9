//! Families with their own notation for values.

use super::Part::{Ahead, Arguments, Gap, Here, Name, Text};
use super::{Around, Body, Family, Head, Layout, Role, mark};
use crate::schema::{Arguments as Form, Style};

const ESCAPE: &str = "<escape>";
const QUOTE: &str = "<|\"|>";

/// `FunctionGemma`.
pub const FUNCTION_GEMMA: Family = Family {
    layouts: &[Layout {
        calls: &[&[
            Text("<start_function_call>"),
            Gap(""),
            Text("call:"),
            Gap(""),
            Name,
            Ahead("{"),
            Here,
            Arguments,
            Text("<end_function_call>"),
        ]],
        style: Style::Marked(ESCAPE, None),
        ..Layout::JSON
    }],
    heads: &[Head {
        parts: &[Text("call:"), Gap(""), Name, Gap(""), Ahead("{")],
        body: Body::Marked(ESCAPE),
    }],
    openers: &["<start_function_call>"],
    closers: &["<end_function_call>"],
    enclosed: true,
    control: &["<start_function_call>", "<end_function_call>", ESCAPE],
    ..Family::PLAIN
};

/// Gemma 4.
pub const GEMMA4: Family = Family {
    layouts: &[Layout {
        calls: &[&[
            Text("<|tool_call>"),
            Gap(""),
            Text("call:"),
            Gap(""),
            Name,
            Ahead("{"),
            Here,
            Arguments,
            Text("<tool_call|>"),
        ]],
        style: Style::Marked(QUOTE, None),
        ..Layout::JSON
    }],
    heads: &[Head {
        parts: &[Text("call:"), Gap(""), Name, Gap(""), Ahead("{")],
        body: Body::Marked(QUOTE),
    }],
    openers: &["<|tool_call>"],
    closers: &["<tool_call|>"],
    enclosed: true,
    marks: &[
        mark(&[Text("<|channel>thought")], Role::Think),
        mark(&[Text("<channel|>")], Role::Thought),
    ],
    control: &[
        "<|tool_call>",
        "<tool_call|>",
        QUOTE,
        "<|channel>",
        "<channel|>",
    ],
    ..Family::PLAIN
};

/// LFM2 and LFM2.5.
pub const LFM2: Family = Family {
    layouts: &[
        Layout {
            around: &[Around {
                before: &[Text("<|tool_call_start|>"), Gap(""), Text("["), Gap("")],
                between: Some(", "),
                after: "]<|tool_call_end|>",
            }],
            calls: &[&[Name, Text("("), Here, Arguments, Text(")")]],
            style: Style::Python,
            arguments: Form::Keywords,
            ..Layout::JSON
        },
        Layout {
            around: &[
                Around {
                    before: &[Text("<|tool_call_start|>"), Gap("")],
                    between: None,
                    after: "",
                },
                Around {
                    before: &[Text("<|tool_call_start|>"), Gap(""), Text("["), Gap("")],
                    between: None,
                    after: "",
                },
            ],
            calls: &[&[Ahead("{"), Here]],
            read_only: true,
            ..Layout::JSON
        },
        Layout {
            around: &[Around {
                before: &[Text("<|tool_call_start|>"), Gap("")],
                between: None,
                after: "",
            }],
            calls: &[&[Name, Text("("), Here]],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: &[
        Head {
            parts: &[Name, Gap(""), Text("(")],
            body: Body::Keywords,
        },
        Head {
            parts: &[Text("{")],
            body: Body::Object,
        },
    ],
    openers: &["<|tool_call_start|>", "["],
    between: &[",", ";"],
    closers: &["]", "<|tool_call_end|>"],
    enclosed: true,
    control: &["<|tool_call_start|>", "<|tool_call_end|>"],
    ..Family::PLAIN
};

/// `OLMo` 3.
pub const OLMO3: Family = Family {
    layouts: &[Layout {
        around: &[Around {
            before: &[Text("<function_calls>"), Gap("")],
            between: Some("\n"),
            after: "</function_calls>",
        }],
        calls: &[&[Name, Text("("), Here, Arguments, Text(")")]],
        style: Style::Python,
        arguments: Form::Keywords,
        ..Layout::JSON
    }],
    heads: &[Head {
        parts: &[Name, Gap(""), Text("(")],
        body: Body::Keywords,
    }],
    openers: &["<function_calls>"],
    between: &[","],
    closers: &["</function_calls>"],
    enclosed: true,
    control: &["<function_calls>", "</function_calls>"],
    ..Family::PLAIN
};

const MARK: &str = "]<]minimax[>[";

/// `MiniMax` M3, which puts a mark before every tag.
pub const MINIMAX_M3: Family = Family {
    layouts: &[Layout {
        around: &[Around {
            before: &[Text("]<]minimax[>[<tool_call>"), Gap("\n")],
            between: Some("\n"),
            after: "\n]<]minimax[>[</tool_call>",
        }],
        calls: &[&[
            Text("]<]minimax[>[<invoke name=\""),
            Here,
            Name,
            Text("\">"),
            Arguments,
            Text("]<]minimax[>[</invoke>"),
        ]],
        arguments: Form::Elements(MARK),
        ..Layout::JSON
    }],
    heads: &[Head {
        parts: &[Text("]<]minimax[>[<invoke name=\""), Name, Text("\">")],
        body: Body::Elements(MARK, "invoke"),
    }],
    openers: &["]<]minimax[>[<tool_call>"],
    closers: &["]<]minimax[>[</tool_call>"],
    enclosed: true,
    framed: true,
    marks: &[
        mark(&[Text("<mm:think>")], Role::Think),
        mark(&[Text("</mm:think>")], Role::Thought),
    ],
    control: &[MARK],
    ..Family::PLAIN
};
