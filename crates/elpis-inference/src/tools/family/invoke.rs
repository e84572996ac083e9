//! Families that write a call as an invocation and name the tool and each argument in an attribute.

use super::Part::{Arguments, Gap, Here, Index, Maybe, Name, Text};
use super::params::layout;
use super::{Around, Body, Family, Head, Part, Role, mark};
use crate::schema::{Middle, Params, Style};

static INVOKE: Params = Params {
    open: "<parameter name=\"",
    middle: Middle::Same("\">"),
    close: "</parameter>\n",
};

/// `MiniMax` M2.
pub const MINIMAX_M2: Family = Family {
    layouts: &[layout(
        &[Around {
            before: &[Text("<minimax:tool_call>"), Gap("\n")],
            between: Some("\n"),
            after: "\n</minimax:tool_call>",
        }],
        &[&[
            Text("<invoke name=\""),
            Here,
            Name,
            Text("\">\n"),
            Arguments,
            Text("</invoke>"),
        ]],
        &INVOKE,
        Style::Json,
    )],
    heads: &[Head {
        parts: &[Text("<invoke name=\""), Name, Text("\">")],
        body: Body::Params(&INVOKE, &["</invoke>", "</minimax:tool_call>"]),
    }],
    openers: &["<minimax:tool_call>"],
    closers: &["</minimax:tool_call>"],
    enclosed: true,
    control: &["<minimax:tool_call>", "</minimax:tool_call>"],
    ..Family::PLAIN
};

static PARAM: Params = Params {
    open: "<param name=\"",
    middle: Middle::Same("\">"),
    close: "</param>",
};

/// `MiniCPM` 5.
pub const MINICPM5: Family = Family {
    layouts: &[layout(
        &[Around::bare(Some("\n"))],
        &[&[
            Text("<function name=\""),
            Name,
            Text("\">"),
            Here,
            Arguments,
            Text("</function>"),
        ]],
        &PARAM,
        Style::Python,
    )],
    heads: &[Head {
        parts: &[Text("<function name=\""), Name, Text("\">")],
        body: Body::Params(&PARAM, &["</function>"]),
    }],
    ..Family::PLAIN
};

static DSML: Params = Params {
    open: "<｜DSML｜parameter name=\"",
    middle: Middle::ByText("\" string=\"true\">", "\" string=\"false\">"),
    close: "</｜DSML｜parameter>\n",
};

const DSML_CALL: &[&[Part]] = &[&[
    Text("<｜DSML｜invoke name=\""),
    Here,
    Name,
    Text("\">\n"),
    Arguments,
    Text("</｜DSML｜invoke>"),
]];

/// `DeepSeek` V3.2.
pub const DEEPSEEK_V32: Family = Family {
    layouts: &[layout(
        &[Around {
            before: &[Text("<｜DSML｜function_calls>"), Gap("\n")],
            between: Some("\n"),
            after: "\n</｜DSML｜function_calls>",
        }],
        DSML_CALL,
        &DSML,
        Style::Json,
    )],
    heads: &[Head {
        parts: &[Text("<｜DSML｜invoke name=\""), Name, Text("\">")],
        body: Body::Params(&DSML, &["</｜DSML｜invoke>"]),
    }],
    openers: &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
    closers: &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
    enclosed: true,
    framed: true,
    control: &["｜DSML｜"],
    ..Family::PLAIN
};

/// `DeepSeek` V4.
pub const DEEPSEEK_V4: Family = Family {
    layouts: &[layout(
        &[Around {
            before: &[Text("<｜DSML｜tool_calls>"), Gap("\n")],
            between: Some("\n"),
            after: "\n</｜DSML｜tool_calls>",
        }],
        DSML_CALL,
        &DSML,
        Style::Json,
    )],
    ..DEEPSEEK_V32
};

static K3: Params = Params {
    open: "<|open|>argument key=\"",
    middle: Middle::ByType("\" type=\"", "\"<|sep|>"),
    close: "<|close|>argument<|sep|>",
};

/// Kimi K3.
pub const KIMI_K3: Family = Family {
    layouts: &[layout(
        &[Around {
            before: &[Text("<|open|>tools<|sep|>")],
            between: Some(""),
            after: "<|close|>tools<|sep|>",
        }],
        &[&[
            Text("<|open|>call tool=\""),
            Here,
            Name,
            Text("\" index=\""),
            Index(1),
            Text("\"<|sep|>"),
            Arguments,
            Text("<|close|>call<|sep|>"),
        ]],
        &K3,
        Style::Json,
    )],
    heads: &[Head {
        parts: &[
            Text("<|open|>call tool=\""),
            Name,
            Text("\""),
            Maybe(&[Gap(" "), Text("index=\""), Index(1), Text("\"")]),
            Text("<|sep|>"),
        ],
        body: Body::Params(&K3, &["<|close|>call<|sep|>"]),
    }],
    openers: &["<|open|>tools<|sep|>"],
    closers: &[
        "<|close|>tools<|sep|>",
        "<|close|>message<|sep|>",
        "<|end_of_msg|>",
    ],
    marks: &[
        mark(&[Text("<|open|>think<|sep|>")], Role::Think),
        mark(&[Text("<|close|>think<|sep|>")], Role::Thought),
        mark(&[Text("<|open|>response<|sep|>")], Role::Answer),
        mark(&[Text("<|close|>response<|sep|>")], Role::Frame),
        mark(&[Text("<|close|>message<|sep|>")], Role::Frame),
        mark(&[Text("<|end_of_msg|>")], Role::Frame),
    ],
    enclosed: true,
    framed: true,
    control: &["<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"],
    ..Family::PLAIN
};
