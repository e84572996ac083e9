//! Families that write the recipient of a call into a channel or the role.

use super::Part::{Arguments, Gap, Here, Maybe, Name, Text};
use super::named::json;
use super::params::layout;
use super::{Around, Body, Family, Head, Layout, Mark, Role, mark};
use crate::schema::{Middle, Params, Style};

static ATEM: Params = Params {
    open: "<atem:parameter name=\"",
    middle: Middle::Same("\">"),
    close: "</atem:parameter>\n",
};

/// Muse Glimmer, which writes the recipient into the role.
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

/// The harmony format of gpt-oss, which writes the recipient into the channel or the role.
pub const GPT_OSS: Family = Family {
    layouts: &[
        Layout {
            around: &[Around::bare(None)],
            calls: &[
                &[
                    Text("<|channel|>commentary to=functions."),
                    Here,
                    Name,
                    Text(" <|constrain|>json<|message|>"),
                    Arguments,
                ],
                &[
                    Text("<|channel|>analysis to=functions."),
                    Here,
                    Name,
                    Text(" <|constrain|>json<|message|>"),
                    Arguments,
                ],
            ],
            ..Layout::JSON
        },
        Layout {
            around: &[Around::bare(None)],
            anchored: true,
            calls: &[&[
                Gap(" "),
                Text("to=functions."),
                Here,
                Name,
                Text("<|channel|>commentary "),
                Maybe(&[Text("<|constrain|>")]),
                Text("json<|message|>"),
                Arguments,
            ]],
            ..Layout::JSON
        },
        Layout {
            calls: &[&[Text("<|channel|>final to=functions."), Here]],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: &[
        json(&[
            Text("<|channel|>"),
            Gap(""),
            Maybe(&[Text("commentary")]),
            Maybe(&[Text("analysis")]),
            Maybe(&[Text("final")]),
            Gap(""),
            Text("to=functions."),
            Name,
            Gap(""),
            Maybe(&[Text("<|constrain|>")]),
            Maybe(&[Text("json")]),
            Maybe(&[Text("code")]),
            Gap(""),
            Text("<|message|>"),
        ]),
        json(&[
            Text("to=functions."),
            Name,
            Gap(""),
            Maybe(&[Text("<|channel|>"), Gap("")]),
            Maybe(&[Text("commentary")]),
            Maybe(&[Text("analysis")]),
            Gap(""),
            Maybe(&[Text("<|constrain|>")]),
            Maybe(&[Text("json")]),
            Maybe(&[Text("code")]),
            Gap(""),
            Text("<|message|>"),
        ]),
    ],
    openers: &["<|start|>assistant"],
    closers: &["<|call|>", "<|end|>"],
    marks: &[
        mark(
            &[Text("<|channel|>analysis"), Gap(""), Text("<|message|>")],
            Role::Think,
        ),
        mark(&[Text("<|end|>")], Role::Thought),
        mark(&[Text("<|start|>assistant")], Role::Frame),
        mark(
            &[Text("<|channel|>final"), Gap(""), Text("<|message|>")],
            Role::Answer,
        ),
        mark(
            &[
                Text("<|channel|>final"),
                Gap(" "),
                Text("<|constrain|>json<|message|>"),
            ],
            Role::Answer,
        ),
        mark(
            &[Text("<|channel|>commentary"), Gap(""), Text("<|message|>")],
            Role::Frame,
        ),
        mark(&[Text("<|return|>")], Role::Frame),
    ],
    calls_while_thinking: true,
    framed: true,
    control: &[
        "<|channel|>",
        "<|constrain|>",
        "<|message|>",
        "<|start|>",
        "<|end|>",
        "<|call|>",
        "<|return|>",
    ],
    ..Family::PLAIN
};
