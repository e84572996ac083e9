//! More families that write a call as a JSON object: enterprise and regional models.

use super::Part::{Arguments, Gap, Here, Id, Index, Maybe, Name, Text};
use super::json::{MARKED, OBJECT, PARAMETERS, TAIL, around, single};
use super::{Around, Body, Family, Head, Layout, Role, mark};

/// Granite 3, and Phi-4 mini, which adds a closing mark.
pub const GRANITE: Family = Family {
    layouts: &[
        Layout {
            around: &[around(
                &[Text("<|tool_call|>"), Gap(""), Text("["), Gap("")],
                ", ",
                "]",
            )],
            calls: &[MARKED],
            ..Layout::JSON
        },
        Layout {
            around: &[single(&[Text("<|tool_call|>"), Gap("")], "")],
            calls: &[MARKED],
            read_only: true,
            ..Layout::JSON
        },
        Layout {
            around: &[around(
                &[Text("<tool_call>"), Gap(""), Text("["), Gap("")],
                ", ",
                "]",
            )],
            calls: &[MARKED],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: OBJECT,
    openers: &["<|tool_call|>", "<tool_call>", "["],
    between: &[","],
    closers: &["]", "<|/tool_call|>", "</tool_call>"],
    control: &["<|tool_call|>", "<|/tool_call|>"],
    ..Family::PLAIN
};

/// Nemotron Nano v2.
pub const NEMOTRON: Family = Family {
    layouts: &[Layout {
        around: &[around(
            &[Text("<TOOLCALL>"), Gap(""), Text("["), Gap("")],
            ", ",
            "]</TOOLCALL>",
        )],
        calls: &[MARKED],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<TOOLCALL>", "["],
    between: &[","],
    closers: &["]", "</TOOLCALL>"],
    enclosed: true,
    control: &["<TOOLCALL>", "</TOOLCALL>"],
    ..Family::PLAIN
};

/// Command R and R+.
pub const COMMAND_R: Family = Family {
    layouts: &[Layout {
        around: &[around(
            &[
                Text("Action:"),
                Gap("\n"),
                Text("```json"),
                Gap("\n"),
                Text("["),
                Gap("\n    "),
            ],
            ",\n    ",
            "\n]```",
        )],
        calls: &[&[
            Text("{"),
            Gap("\n        "),
            Text("\"tool_name\""),
            Gap(""),
            Text(":"),
            Here,
            Gap(" "),
            Text("\""),
            Name,
            Text("\",\n        \"parameters\": "),
            Arguments,
            Text("\n    }"),
        ]],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["Action:", "```json", "```", "["],
    between: &[","],
    closers: &["]", "```"],
    ..Family::PLAIN
};

/// Command R7B, Command A and their successors.
pub const COMMAND_R7B: Family = Family {
    layouts: &[Layout {
        around: &[around(
            &[Text("<|START_ACTION|>"), Gap(""), Text("["), Gap("\n    ")],
            ",\n    ",
            "\n]<|END_ACTION|>",
        )],
        calls: &[&[
            Text("{"),
            Here,
            Text("\"tool_call_id\": \""),
            Index(0),
            Text("\", \"tool_name\": \""),
            Name,
            PARAMETERS,
            Arguments,
            Text("}"),
        ]],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<|START_ACTION|>", "["],
    between: &[","],
    closers: &["]", "<|END_ACTION|>"],
    enclosed: true,
    marks: &[
        mark(&[Text("<|START_THINKING|>")], Role::Think),
        mark(&[Text("<|END_THINKING|>")], Role::Thought),
        mark(&[Text("<|START_RESPONSE|>")], Role::Answer),
        mark(&[Text("<|END_RESPONSE|>")], Role::Frame),
        mark(&[Text("<|START_TEXT|>")], Role::Answer),
        mark(&[Text("<|END_TEXT|>")], Role::Frame),
    ],
    control: &[
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "<|START_TEXT|>",
        "<|END_TEXT|>",
    ],
    ..Family::PLAIN
};

/// `MiniMax` M1.
pub const MINIMAX_M1: Family = Family {
    layouts: &[
        Layout {
            around: &[around(
                &[Text("<tool_calls>"), Gap("\n")],
                "\n",
                "\n</tool_calls>",
            )],
            calls: &[MARKED],
            ..Layout::JSON
        },
        Layout {
            around: &[around(
                &[Text("<tool_calls>"), Gap(""), Text("["), Gap("")],
                ", ",
                "]</tool_calls>",
            )],
            calls: &[MARKED],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: OBJECT,
    openers: &["<tool_calls>", "["],
    between: &[","],
    closers: &["]", "</tool_calls>"],
    enclosed: true,
    control: &["<tool_calls>", "</tool_calls>"],
    ..Family::PLAIN
};

/// Apriel, and Hunyuan and Jamba without an id.
pub const APRIEL: Family = Family {
    layouts: &[
        Layout {
            around: &[around(
                &[Text("<tool_calls>"), Gap(""), Text("["), Gap("")],
                ", ",
                "]</tool_calls>",
            )],
            calls: &[&[
                Text("{"),
                Here,
                Text("\"name\": \""),
                Name,
                TAIL,
                Arguments,
                Maybe(&[Text(", \"id\": \""), Id(9), Text("\"")]),
                Text("}"),
            ]],
            ..Layout::JSON
        },
        Layout {
            around: &[single(&[Text("<tool_calls>"), Gap("")], "</tool_calls>")],
            calls: &[MARKED],
            read_only: true,
            ..Layout::JSON
        },
    ],
    marks: &[
        mark(&[Text("Here are my reasoning steps:")], Role::Think),
        mark(&[Text("[BEGIN FINAL RESPONSE]")], Role::Thought),
        mark(&[Text("[END FINAL RESPONSE]")], Role::Frame),
    ],
    ..MINIMAX_M1
};

/// Apertus.
pub const APERTUS: Family = Family {
    layouts: &[Layout {
        around: &[around(
            &[Text("<|tools_prefix|>"), Gap(""), Text("["), Gap("")],
            ", ",
            "]<|tools_suffix|>",
        )],
        calls: &[&[
            Text("{"),
            Here,
            Text("\""),
            Name,
            Text("\": "),
            Arguments,
            Text("}"),
        ]],
        ..Layout::JSON
    }],
    heads: &[Head {
        parts: &[Text("{")],
        body: Body::Keyed,
    }],
    openers: &["<|tools_prefix|>", "["],
    between: &[","],
    closers: &["]", "<|tools_suffix|>"],
    enclosed: true,
    marks: &[
        mark(&[Text("<|inner_prefix|>")], Role::Think),
        mark(&[Text("<|inner_suffix|>")], Role::Thought),
    ],
    control: &[
        "<|tools_prefix|>",
        "<|tools_suffix|>",
        "<|inner_prefix|>",
        "<|inner_suffix|>",
    ],
    ..Family::PLAIN
};

/// Firefunction v2.
pub const FUNCTOOLS: Family = Family {
    layouts: &[Layout {
        around: &[around(
            &[Text("functools"), Gap(""), Text("["), Gap("")],
            ", ",
            "]",
        )],
        calls: &[MARKED],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["functools", "["],
    between: &[","],
    closers: &["]"],
    ..Family::PLAIN
};

/// `GigaChat` 3.
pub const GIGACHAT3: Family = Family {
    layouts: &[Layout {
        around: &[
            single(&[Text("function call<|role_sep|>"), Gap("\n")], ""),
            single(
                &[
                    Text("<|message_sep|>"),
                    Gap("\n\n"),
                    Text("function call<|role_sep|>"),
                    Gap("\n"),
                ],
                "",
            ),
        ],
        calls: &[MARKED],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<|message_sep|>", "function call<|role_sep|>"],
    closers: &["<|message_sep|>"],
    framed: true,
    control: &["<|role_sep|>", "<|message_sep|>"],
    ..Family::PLAIN
};

/// `GigaChat` 3.1.
pub const GIGACHAT31: Family = Family {
    layouts: &[Layout {
        around: &[single(&[Text("<|function_call|>"), Gap("")], "")],
        calls: &[MARKED],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<|function_call|>"],
    closers: &["<|message_sep|>"],
    control: &["<|function_call|>"],
    ..Family::PLAIN
};

/// `InternLM` 2.5.
pub const INTERN_LM2: Family = Family {
    layouts: &[Layout {
        around: &[single(
            &[
                Text("<|action_start|>"),
                Gap(""),
                Text("<|plugin|>"),
                Gap("\n"),
            ],
            "<|action_end|>",
        )],
        calls: &[&[
            Text("{"),
            Here,
            Text("\"name\": \""),
            Name,
            PARAMETERS,
            Arguments,
            Text("}"),
        ]],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<|action_start|>", "<|plugin|>"],
    closers: &["<|action_end|>"],
    enclosed: true,
    control: &["<|action_start|>", "<|plugin|>", "<|action_end|>"],
    ..Family::PLAIN
};

/// `LongCat`.
pub const LONG_CAT: Family = Family {
    layouts: &[Layout {
        around: &[Around::bare(Some("\n"))],
        calls: &[&[
            Text("<longcat_tool_call>"),
            Gap("\n"),
            Text("{"),
            Here,
            Text("\"name\": \""),
            Name,
            TAIL,
            Arguments,
            Text("}\n</longcat_tool_call>"),
        ]],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<longcat_tool_call>"],
    closers: &["</longcat_tool_call>"],
    enclosed: true,
    marks: &[
        mark(&[Text("<longcat_think>")], Role::Think),
        mark(&[Text("</longcat_think>")], Role::Thought),
    ],
    control: &["<longcat_tool_call>", "</longcat_tool_call>"],
    ..Family::PLAIN
};
