//! Families that write arguments one by one.

use super::Part::{Ahead, Arguments, Gap, Here, Index, Maybe, Name, Text};
use super::{Around, Body, Family, Head, Layout, Mark, Part, Role, mark};
use crate::schema::{Arguments as Form, Middle, Params, Style};

const fn layout(
    around: &'static [Around],
    calls: &'static [&'static [Part]],
    params: &'static Params,
    style: Style,
) -> Layout {
    Layout {
        around,
        calls,
        style,
        arguments: Form::Params(params),
        ..Layout::JSON
    }
}

static QWEN: Params = Params {
    open: "<parameter=",
    middle: Middle::Same(">\n"),
    close: "\n</parameter>\n",
};

/// Qwen3-Coder, Qwen3.5, Nemotron 3 and Step 3.5.
pub const QWEN3_CODER: Family = Family {
    layouts: &[
        layout(
            &[Around::bare(Some("\n"))],
            &[&[
                Text("<tool_call>"),
                Gap("\n"),
                Text("<function="),
                Here,
                Name,
                Text(">\n"),
                Arguments,
                Text("</function>\n</tool_call>"),
            ]],
            &QWEN,
            Style::Python,
        ),
        // These models leave the outer tag out at times.
        layout(
            &[Around::bare(Some("\n"))],
            &[&[
                Text("<function="),
                Name,
                Text(">"),
                Here,
                Text("\n"),
                Arguments,
                Text("</function>\n</tool_call>"),
            ]],
            &QWEN,
            Style::Python,
        ),
        Layout {
            calls: &[&[Text("<tool_call>"), Gap(""), Text("{"), Here]],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: &[
        Head {
            parts: &[Text("<function="), Gap(""), Name, Gap(""), Text(">")],
            body: Body::Params(&QWEN, &["</function>", "</tool_call>"]),
        },
        Head {
            parts: &[Text("{")],
            body: Body::Object,
        },
    ],
    openers: &["<tool_call>"],
    closers: &["</tool_call>"],
    calls_while_thinking: true,
    control: &["<tool_call>", "</tool_call>"],
    ..Family::PLAIN
};

static INLINE: Params = Params {
    open: "<parameter=",
    middle: Middle::Same(">"),
    close: "</parameter>\n",
};

/// Seed-OSS.
pub const SEED_OSS: Family = Family {
    layouts: &[layout(
        &[Around::bare(Some("\n"))],
        &[&[
            Text("<seed:tool_call>"),
            Gap("\n"),
            Text("<function="),
            Here,
            Name,
            Text(">\n"),
            Arguments,
            Text("</function>\n</seed:tool_call>"),
        ]],
        &INLINE,
        Style::Python,
    )],
    heads: &[Head {
        parts: &[Text("<function="), Gap(""), Name, Gap(""), Text(">")],
        body: Body::Params(&INLINE, &["</function>", "</seed:tool_call>"]),
    }],
    openers: &["<seed:tool_call>"],
    closers: &["</seed:tool_call>"],
    marks: &[
        mark(&[Text("<seed:think>")], Role::Think),
        mark(&[Text("</seed:think>")], Role::Thought),
    ],
    control: &[
        "<seed:tool_call>",
        "</seed:tool_call>",
        "<seed:think>",
        "</seed:think>",
    ],
    ..Family::PLAIN
};

static GLM_LINES: Params = Params {
    open: "<arg_key>",
    middle: Middle::Same("</arg_key>\n<arg_value>"),
    close: "</arg_value>\n",
};

static GLM_INLINE: Params = Params {
    open: "<arg_key>",
    middle: Middle::Same("</arg_key><arg_value>"),
    close: "</arg_value>",
};

const GLM_HEADS: &[Head] = &[Head {
    parts: &[Text("<tool_call>"), Gap(""), Name, Gap(""), Ahead("<")],
    body: Body::Params(&GLM_LINES, &["</tool_call>"]),
}];

/// GLM 4.5 and 4.6, Laguna XS and Ling 3.
pub const GLM45: Family = Family {
    layouts: &[layout(
        &[Around::bare(Some("\n"))],
        &[&[
            Text("<tool_call>"),
            Gap(""),
            Name,
            Gap("\n"),
            Ahead("<"),
            Here,
            Arguments,
            Text("</tool_call>"),
        ]],
        &GLM_LINES,
        Style::Json,
    )],
    heads: GLM_HEADS,
    closers: &["</tool_call>"],
    control: &[
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
    ],
    ..Family::PLAIN
};

/// GLM 4.7 and 5, Spark 2.5 and Laguna S.
pub const GLM47: Family = Family {
    layouts: &[layout(
        &[Around::bare(Some(""))],
        &[&[
            Text("<tool_call>"),
            Gap(""),
            Name,
            Gap(""),
            Ahead("<"),
            Here,
            Arguments,
            Text("</tool_call>"),
        ]],
        &GLM_INLINE,
        Style::Json,
    )],
    ..GLM45
};

static HUNYUAN: Params = Params {
    open: "<arg_key:opensource>",
    middle: Middle::Same("</arg_key:opensource>\n<arg_value:opensource>"),
    close: "</arg_value:opensource>\n",
};

/// Hunyuan 3.
pub const HUNYUAN3: Family = Family {
    layouts: &[layout(
        &[Around {
            before: &[Text("<tool_calls:opensource>"), Gap("\n")],
            between: Some("\n"),
            after: "\n</tool_calls:opensource>",
        }],
        &[&[
            Text("<tool_call:opensource>"),
            Here,
            Name,
            Text("<tool_sep:opensource>\n"),
            Arguments,
            Text("</tool_call:opensource>"),
        ]],
        &HUNYUAN,
        Style::Json,
    )],
    heads: &[Head {
        parts: &[
            Text("<tool_call:opensource>"),
            Gap(""),
            Name,
            Gap(""),
            Text("<tool_sep:opensource>"),
        ],
        body: Body::Params(&HUNYUAN, &["</tool_call:opensource>"]),
    }],
    openers: &["<tool_calls:opensource>"],
    closers: &["</tool_calls:opensource>"],
    marks: &[
        mark(&[Text("<think:opensource>")], Role::Think),
        mark(&[Text("</think:opensource>")], Role::Thought),
    ],
    control: &[
        "<tool_calls:opensource>",
        "</tool_calls:opensource>",
        "<tool_call:opensource>",
        "</tool_call:opensource>",
        "<tool_sep:opensource>",
        "<arg_key:opensource>",
        "</arg_key:opensource>",
        "<arg_value:opensource>",
        "</arg_value:opensource>",
        "<think:opensource>",
        "</think:opensource>",
    ],
    ..Family::PLAIN
};

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

static ATEM: Params = Params {
    open: "<atem:parameter name=\"",
    middle: Middle::Same("\">"),
    close: "</atem:parameter>\n",
};

/// Muse Glimmer, whose calls have their recipient in the role.
pub const MUSE_GLIMMER: Family = Family {
    layouts: &[
        Layout {
            anchored: true,
            ..layout(
                &[Around::bare(None)],
                &[&[
                    Gap(" "),
                    Text("to="),
                    Name,
                    Text("<|message|>"),
                    Here,
                    Text("<atem:function_calls>\n<atem:invoke name=\""),
                    Name,
                    Text("\">\n"),
                    Arguments,
                    Text("</atem:invoke>\n</atem:function_calls>"),
                ]],
                &ATEM,
                Style::Json,
            )
        },
        layout(
            &[Around::bare(None)],
            &[&[
                Text("<atem:function_calls>"),
                Gap("\n"),
                Text("<atem:invoke name=\""),
                Here,
                Name,
                Text("\">\n"),
                Arguments,
                Text("</atem:invoke>\n</atem:function_calls>"),
            ]],
            &ATEM,
            Style::Json,
        ),
    ],
    heads: &[
        Head {
            parts: &[
                Text("to="),
                Name,
                Text("<|message|>"),
                Gap(""),
                Text("<atem:function_calls>"),
                Gap("\n"),
                Text("<atem:invoke name=\""),
                Name,
                Text("\">"),
            ],
            body: Body::Params(&ATEM, &["</atem:invoke>"]),
        },
        Head {
            parts: &[Text("<atem:invoke name=\""), Name, Text("\">")],
            body: Body::Params(&ATEM, &["</atem:invoke>"]),
        },
    ],
    openers: &["<atem:function_calls>", "<|start|>assistant"],
    closers: &["</atem:function_calls>", "<|eom|>", "<|eot|>"],
    reserved: &["self", "user"],
    framed: true,
    marks: &[
        Mark {
            anchored: true,
            ..mark(&[Gap(" "), Text("to=self<|message|>")], Role::Think)
        },
        Mark {
            anchored: true,
            ..mark(&[Gap(" "), Text("to=user<|message|>")], Role::Answer)
        },
        mark(&[Text("<|eom|>")], Role::Thought),
        mark(&[Text("<|start|>assistant")], Role::Frame),
        mark(&[Text("<|message|>")], Role::Frame),
    ],
    control: &["<|start|>", "<|message|>", "<|eom|>", "<|eot|>"],
    ..Family::PLAIN
};
