//! Families that write arguments one by one.

use super::Part::{Ahead, Arguments, Gap, Here, Name, Text};
use super::{Around, Body, Family, Head, Layout, Part, Role, mark};
use crate::schema::{Arguments as Form, Middle, Params, Style};

pub(super) const fn layout(
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
