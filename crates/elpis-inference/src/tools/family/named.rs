//! Families that write the tool's name before the arguments as JSON.

use super::Part::{Ahead, Arguments, Gap, Here, Id, Index, Maybe, Name, Text};
use super::json::THINK_BRACKETS;
use super::{Around, Body, Family, Head, Ids, Layout, Mark, Part, Role, mark};

pub(super) const fn json(parts: &'static [Part]) -> Head {
    Head {
        parts,
        body: Body::Json,
    }
}

/// Mistral's tokenizers from version 11 on.
pub const MISTRAL_V11: Family = Family {
    layouts: &[
        Layout {
            calls: &[
                &[
                    Text("[TOOL_CALLS]"),
                    Gap(""),
                    Name,
                    Text("[ARGS]"),
                    Here,
                    Arguments,
                ],
                &[
                    Text("[TOOL_CALLS]"),
                    Gap(""),
                    Name,
                    Text("[CALL_ID]"),
                    Id(9),
                    Text("[ARGS]"),
                    Here,
                    Arguments,
                ],
            ],
            ..Layout::JSON
        },
        Layout {
            calls: &[
                &[
                    Text("[TOOL_CALLS]"),
                    Gap(""),
                    Name,
                    Gap(""),
                    Ahead("{"),
                    Here,
                ],
                &[Text("[TOOL_CALLS]"), Gap(""), Ahead("{"), Here],
                &[
                    Text("[TOOL_CALLS]"),
                    Gap(""),
                    Text("["),
                    Gap(""),
                    Ahead("{"),
                    Here,
                ],
            ],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: &[
        json(&[Name, Text("[ARGS]")]),
        json(&[Name, Text("[CALL_ID]"), Id(9), Text("[ARGS]")]),
        json(&[Name, Gap(""), Ahead("{")]),
        Head {
            parts: &[Text("{")],
            body: Body::Object,
        },
    ],
    openers: &["[TOOL_CALLS]", "["],
    between: &[","],
    closers: &["]"],
    marks: THINK_BRACKETS,
    control: &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]"],
    ..Family::PLAIN
};

const DEEPSEEK_HEADS: &[Head] = &[json(&[
    Text("<｜tool▁call▁begin｜>"),
    Gap(""),
    Maybe(&[Text("function<｜tool▁sep｜>")]),
    Name,
    Gap(""),
    Maybe(&[Text("<｜tool▁sep｜>"), Gap("")]),
    Maybe(&[Text("```json"), Gap("")]),
    Ahead("{"),
])];

/// `DeepSeek` V3 and R1.
pub const DEEPSEEK_V3: Family = Family {
    layouts: &[
        Layout {
            around: &[Around {
                before: &[Text("<｜tool▁calls▁begin｜>"), Gap("")],
                between: Some("\n"),
                after: "<｜tool▁calls▁end｜>",
            }],
            calls: &[&[
                Text("<｜tool▁call▁begin｜>"),
                Here,
                Text("function<｜tool▁sep｜>"),
                Name,
                Text("\n```json\n"),
                Arguments,
                Text("\n```<｜tool▁call▁end｜>"),
            ]],
            ..Layout::JSON
        },
        DEEPSEEK_CALL,
    ],
    heads: DEEPSEEK_HEADS,
    openers: &["<｜tool▁calls▁begin｜>"],
    closers: &["```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
    control: &[
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ],
    ..Family::PLAIN
};

/// A call without an opener.
const DEEPSEEK_CALL: Layout = Layout {
    calls: &[&[Text("<｜tool▁call▁begin｜>"), Here]],
    read_only: true,
    ..Layout::JSON
};

/// `DeepSeek` V3.1.
pub const DEEPSEEK_V31: Family = Family {
    layouts: &[
        Layout {
            around: &[Around {
                before: &[Text("<｜tool▁calls▁begin｜>"), Gap("")],
                between: Some(""),
                after: "<｜tool▁calls▁end｜>",
            }],
            calls: &[&[
                Text("<｜tool▁call▁begin｜>"),
                Here,
                Name,
                Text("<｜tool▁sep｜>"),
                Arguments,
                Text("<｜tool▁call▁end｜>"),
            ]],
            ..Layout::JSON
        },
        DEEPSEEK_CALL,
    ],
    ..DEEPSEEK_V3
};

/// Kimi K2.
pub const KIMI_K2: Family = Family {
    layouts: &[
        Layout {
            around: &[Around {
                before: &[Text("<|tool_calls_section_begin|>"), Gap("")],
                between: Some(""),
                after: "<|tool_calls_section_end|>",
            }],
            calls: &[&[
                Text("<|tool_call_begin|>"),
                Here,
                Text("functions."),
                Name,
                Text(":"),
                Index(0),
                Text("<|tool_call_argument_begin|>"),
                Arguments,
                Text("<|tool_call_end|>"),
            ]],
            ..Layout::JSON
        },
        Layout {
            calls: &[&[Text("<|tool_call_begin|>"), Here]],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: &[json(&[
        Text("<|tool_call_begin|>"),
        Gap(""),
        Maybe(&[Text("functions.")]),
        Name,
        Text(":"),
        Index(0),
        Gap(""),
        Text("<|tool_call_argument_begin|>"),
    ])],
    openers: &["<|tool_calls_section_begin|>"],
    closers: &["<|tool_call_end|>", "<|tool_calls_section_end|>"],
    calls_while_thinking: true,
    control: &[
        "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        "<|tool_calls_section_end|>",
    ],
    ids: Ids::Numbered,
    ..Family::PLAIN
};

/// Functionary 3.1, in the notation that Llama 3.1 uses for custom tools.
pub const FUNCTIONARY31: Family = Family {
    layouts: &[Layout {
        calls: &[&[
            Text("<function="),
            Name,
            Text(">"),
            Gap(""),
            Ahead("{"),
            Here,
            Arguments,
            Text("</function>"),
        ]],
        ..Layout::JSON
    }],
    heads: &[json(&[
        Text("<function="),
        Name,
        Text(">"),
        Gap(""),
        Ahead("{"),
    ])],
    closers: &["</function>"],
    ..Family::PLAIN
};

/// Functionary 3.2.
pub const FUNCTIONARY32: Family = Family {
    layouts: &[
        Layout {
            anchored: true,
            around: &[Around::bare(Some(">>>"))],
            calls: &[&[Name, Text("\n"), Ahead("{"), Here, Arguments]],
            ..Layout::JSON
        },
        Layout {
            around: &[Around {
                before: &[Text(">>>")],
                between: Some(">>>"),
                after: "",
            }],
            calls: &[&[Name, Text("\n"), Ahead("{"), Here, Arguments]],
            ..Layout::JSON
        },
    ],
    heads: &[json(&[Name, Gap("\n"), Ahead("{")])],
    openers: &[">>>"],
    unmarked: true,
    reserved: &["all"],
    marks: &[
        Mark {
            anchored: true,
            ..mark(&[Text("all\n")], Role::Frame)
        },
        mark(&[Text(">>>all\n")], Role::Frame),
    ],
    ..Family::PLAIN
};

/// Solar Open.
pub const SOLAR_OPEN: Family = Family {
    layouts: &[Layout {
        around: &[Around {
            before: &[Text("<|tool_calls|>"), Gap("")],
            between: Some(""),
            after: "",
        }],
        calls: &[&[
            Text("<|tool_call:begin|>"),
            Here,
            Id(9),
            Text("<|tool_call:name|>"),
            Name,
            Text("<|tool_call:args|>"),
            Arguments,
            Text("<|tool_call:end|>"),
        ]],
        ..Layout::JSON
    }],
    heads: &[json(&[
        Text("<|tool_call:begin|>"),
        Gap(""),
        Maybe(&[Id(9)]),
        Text("<|tool_call:name|>"),
        Name,
        Text("<|tool_call:args|>"),
    ])],
    openers: &["<|tool_calls|>"],
    closers: &["<|tool_call:end|>", "<|calls|>"],
    marks: &[
        mark(&[Text("<|think|>")], Role::Think),
        mark(&[Text("<|end|>")], Role::Thought),
        mark(&[Text("<|begin|>assistant")], Role::Frame),
        mark(&[Text("<|content|>")], Role::Answer),
    ],
    control: &[
        "<|tool_calls|>",
        "<|tool_call:begin|>",
        "<|tool_call:name|>",
        "<|tool_call:args|>",
        "<|tool_call:end|>",
        "<|calls|>",
        "<|think|>",
        "<|end|>",
        "<|begin|>",
        "<|content|>",
    ],
    ..Family::PLAIN
};
