//! Families that write a call as a JSON object that contains the tool's name.

use super::Part::{Arguments, Gap, Here, Id, Maybe, Name, Text};
use super::{Around, Body, Family, Head, Layout, Mark, Part, Role, mark};
use crate::schema::{Arguments as Form, Style};

pub(super) const OBJECT: &[Head] = &[Head {
    parts: &[Text("{")],
    body: Body::Object,
}];

pub(super) const TAIL: Part = Text("\", \"arguments\": ");
pub(super) const PARAMETERS: Part = Text("\", \"parameters\": ");

/// `{"name": …, "arguments": …}` after an announcing marker.
pub(super) const MARKED: &[Part] = &[
    Text("{"),
    Here,
    Text("\"name\": \""),
    Name,
    TAIL,
    Arguments,
    Text("}"),
];

/// `{"name": …, "arguments": …}` without an announcing marker.
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

pub(super) const fn around(
    before: &'static [Part],
    between: &'static str,
    after: &'static str,
) -> Around {
    Around {
        before,
        between: Some(between),
        after,
    }
}

pub(super) const fn single(before: &'static [Part], after: &'static str) -> Around {
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

/// Mistral's tokenizers from version 3 on, and Nemo's with an id after the arguments.
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

/// The notation requested from models without their own.
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
