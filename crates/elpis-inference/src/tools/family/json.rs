//! Families that write a call as a JSON object with the tool's name in it.

use super::Part::{Arguments, Gap, Here, Id, Index, Maybe, Name, Text};
use super::{Around, Body, Family, Head, Layout, Mark, Part, Role, mark};
use crate::schema::{Arguments as Form, Style};

const OBJECT: &[Head] = &[Head {
    parts: &[Text("{")],
    body: Body::Object,
}];

const TAIL: Part = Text("\", \"arguments\": ");
const PARAMETERS: Part = Text("\", \"parameters\": ");

/// `{"name": …, "arguments": …}` behind something that announces it.
const MARKED: &[Part] = &[
    Text("{"),
    Here,
    Text("\"name\": \""),
    Name,
    TAIL,
    Arguments,
    Text("}"),
];

/// `{"name": …, "arguments": …}` that nothing announces.
const BARE: &[Part] = &[
    Text("{"),
    Gap(""),
    Text("\"name\""),
    Gap(""),
    Text(":"),
    Here,
    Gap(" "),
    Text("\""),
    Name,
    TAIL,
    Arguments,
    Text("}"),
];

const BARE_PARAMETERS: &[Part] = &[
    Text("{"),
    Gap(""),
    Text("\"name\""),
    Gap(""),
    Text(":"),
    Here,
    Gap(" "),
    Text("\""),
    Name,
    PARAMETERS,
    Arguments,
    Text("}"),
];

const TYPED_PARAMETERS: &[Part] = &[
    Text("{"),
    Gap(""),
    Text("\"type\""),
    Gap(""),
    Text(":"),
    Gap(" "),
    Text("\"function\""),
    Gap(""),
    Text(","),
    Gap(" "),
    Text("\"name\""),
    Gap(""),
    Text(":"),
    Here,
    Gap(" "),
    Text("\""),
    Name,
    PARAMETERS,
    Arguments,
    Text("}"),
];

const fn around(before: &'static [Part], between: &'static str, after: &'static str) -> Around {
    Around {
        before,
        between: Some(between),
        after,
    }
}

const fn single(before: &'static [Part], after: &'static str) -> Around {
    Around {
        before,
        between: None,
        after,
    }
}

const LIST: Around = around(&[Text("["), Gap("")], ", ", "]");
const JSON_FENCE: Around = single(&[Text("```json"), Gap("\n")], "\n```");
const FENCE: Around = single(&[Text("```"), Gap("\n")], "\n```");
const JSON_FENCE_LIST: Around = around(
    &[Text("```json"), Gap("\n"), Text("["), Gap("")],
    ", ",
    "]\n```",
);
const FENCE_LIST: Around = around(
    &[Text("```"), Gap("\n"), Text("["), Gap("")],
    ", ",
    "]\n```",
);
const CODE_FENCE: Around = single(&[Text("```tool_code"), Gap("\n")], "\n```");
const CODE_FENCE_LIST: Around = around(
    &[Text("```tool_code"), Gap("\n"), Text("["), Gap("")],
    ", ",
    "]\n```",
);

/// Nous Research's function calling format, which Qwen and many others share.
pub const HERMES: Family = Family {
    layouts: &[Layout {
        around: &[Around::bare(Some("\n"))],
        calls: &[&[
            Text("<tool_call>"),
            Gap("\n"),
            Text("{"),
            Here,
            Text("\"name\": \""),
            Name,
            TAIL,
            Arguments,
            Text("}\n</tool_call>"),
        ]],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["<tool_call>"],
    closers: &["</tool_call>"],
    enclosed: true,
    control: &["<tool_call>", "</tool_call>"],
    ..Family::PLAIN
};

/// Meta's prompt formats from Llama 3.1 on: JSON, and Python from 3.2 on.
pub const LLAMA3: Family = Family {
    layouts: &[
        Layout {
            anchored: true,
            around: &[
                Around::bare(Some("; ")),
                LIST,
                JSON_FENCE,
                FENCE,
                JSON_FENCE_LIST,
                FENCE_LIST,
            ],
            calls: &[BARE_PARAMETERS, TYPED_PARAMETERS],
            ..Layout::JSON
        },
        Layout {
            around: &[
                around(&[Text("<|python_tag|>"), Gap("")], "; ", ""),
                around(
                    &[Text("<|python_tag|>"), Gap(""), Text("["), Gap("")],
                    ", ",
                    "]",
                ),
            ],
            calls: &[BARE_PARAMETERS, TYPED_PARAMETERS],
            ..Layout::JSON
        },
        Layout {
            anchored: true,
            around: &[LIST],
            calls: PYTHON,
            style: Style::Python,
            arguments: Form::Keywords,
            ..Layout::JSON
        },
        Layout {
            around: &[
                around(
                    &[Text("<|python_start|>"), Gap(""), Text("["), Gap("")],
                    ", ",
                    "]<|python_end|>",
                ),
                around(
                    &[Text("<|python_tag|>"), Gap(""), Text("["), Gap("")],
                    ", ",
                    "]",
                ),
            ],
            calls: PYTHON,
            style: Style::Python,
            arguments: Form::Keywords,
            ..Layout::JSON
        },
    ],
    heads: &[
        OBJECT[0],
        Head {
            parts: &[Name, Gap(""), Text("(")],
            body: Body::Keywords,
        },
    ],
    openers: &["<|python_tag|>", "<|python_start|>", "```json", "```", "["],
    between: &[";", ","],
    closers: &["]", "```", "<|python_end|>"],
    unmarked: true,
    control: &["<|python_tag|>", "<|python_start|>", "<|python_end|>"],
    ..Family::PLAIN
};

const PYTHON: &[&[Part]] = &[&[Name, Text("("), Here, Arguments, Text(")")]];

/// Mistral's tokenizers from version 3 on, and Nemo's with an id behind the arguments.
pub const MISTRAL: Family = Family {
    layouts: &[
        Layout {
            around: &[around(
                &[Text("[TOOL_CALLS]"), Gap(" "), Text("[")],
                ", ",
                "]",
            )],
            calls: &[&[
                Gap(""),
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
            around: &[single(&[Text("[TOOL_CALLS]"), Gap("")], "")],
            calls: &[MARKED],
            read_only: true,
            ..Layout::JSON
        },
    ],
    heads: OBJECT,
    openers: &["[TOOL_CALLS]", "["],
    between: &[","],
    closers: &["]"],
    control: &["[TOOL_CALLS]"],
    marks: THINK_BRACKETS,
    ..Family::PLAIN
};

/// The thinking of Magistral and of Ministral.
pub const THINK_BRACKETS: &[Mark] = &[
    mark(&[Text("[THINK]")], Role::Think),
    mark(&[Text("[/THINK]")], Role::Thought),
];

/// Google's guide to function calling with Gemma 3.
pub const GEMMA: Family = Family {
    layouts: &[Layout {
        anchored: true,
        around: &[
            Around::bare(None),
            LIST,
            JSON_FENCE,
            FENCE,
            CODE_FENCE,
            JSON_FENCE_LIST,
            FENCE_LIST,
            CODE_FENCE_LIST,
        ],
        calls: &[BARE_PARAMETERS],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["```tool_code", "```json", "```", "["],
    between: &[","],
    closers: &["]", "```"],
    unmarked: true,
    ..Family::PLAIN
};

/// What is asked of models without a notation of their own.
pub const JSON: Family = Family {
    layouts: &[Layout {
        anchored: true,
        around: &[
            Around::bare(None),
            LIST,
            JSON_FENCE,
            FENCE,
            JSON_FENCE_LIST,
            FENCE_LIST,
        ],
        calls: &[BARE],
        ..Layout::JSON
    }],
    heads: OBJECT,
    openers: &["```json", "```", "["],
    between: &[","],
    closers: &["]", "```"],
    unmarked: true,
    ..Family::PLAIN
};

/// Granite 3, and Phi-4 mini with an end.
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

/// Command R7B, Command A and what followed.
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
