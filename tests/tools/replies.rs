//! Replies written by hand after each family's format, with what has to be read from them.

use elpis::inference::ToolFormat;
use serde_json::{Value, json};

/// A reply as models of its family write it: format, reply, text outside of calls, calls.
pub type Reply = (
    ToolFormat,
    &'static str,
    &'static str,
    Vec<(&'static str, Value)>,
);

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn replies() -> Vec<Reply> {
    use ToolFormat::{FunctionGemma, Gemma, Hermes, Json, Llama3, Mistral, MistralV11, Qwen3Coder};
    let paris = || ("get_weather", json!({"place": "Paris"}));
    vec![
        (
            Hermes,
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Hermes,
            "Let me look – <b>now</b>.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Zürich \\\"HB\\\" {1}\"}}\n</tool_call>\n<tool_call>\n{\"arguments\": {}, \"name\": \"now\"}\n</tool_call>",
            "Let me look – <b>now</b>.\n",
            vec![
                ("get_weather", json!({"place": "Zürich \"HB\" {1}"})),
                ("now", json!({})),
            ],
        ),
        (
            Hermes,
            "<think>\nShould I <tool_call>? Yes.\n</think>\n\n<tool_call>\n{\"name\": \"now\"}\n</tool_call>\nDone, 5 < 6.",
            "<think>\nShould I <tool_call>? Yes.\n</think>\n\nDone, 5 < 6.",
            vec![("now", json!({}))],
        ),
        (
            Hermes,
            "No call: <tool_box> and 1 < 2 <",
            "No call: <tool_box> and 1 < 2 <",
            vec![],
        ),
        (
            Llama3,
            "{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "{\"type\": \"function\", \"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"add\", \"parameters\": {\"of\": [1, 2.5, [true, null]]}}",
            "",
            vec![paris(), ("add", json!({"of": [1, 2.5, [true, null]]}))],
        ),
        (
            Llama3,
            "The call would be {\"name\": \"get_weather\"}.",
            "The call would be {\"name\": \"get_weather\"}.",
            vec![],
        ),
        (
            Mistral,
            "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}, \"id\": \"VvvODy9mT\"}]",
            "",
            vec![paris()],
        ),
        (
            Mistral,
            "I see [TOOLS].[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"now\", \"arguments\": {}}]",
            "I see [TOOLS].",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Gemma,
            "```json\n{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "```tool_code\n{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "```json\n{\"answer\": 42}\n```",
            "```json\n{\"answer\": 42}\n```",
            vec![],
        ),
        (
            Json,
            "[{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}, {\"name\": \"get_weather\", \"arguments\": \"{\\\"place\\\": \\\"Paris\\\"}\"}]",
            "",
            vec![paris(), paris()],
        ),
        (Json, "[1, 2]", "[1, 2]", vec![]),
        (
            Llama3,
            "{\"name\":\"get_weather\",\"parameters\":{\"place\":\"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "<|python_tag|>{\"type\" : \"function\",\n \"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "Let me see: <|python_tag|>{\"name\": \"get_weather\", \"parameters\": {\"place\": \"Paris\"}}; {\"name\": \"now\"}",
            "Let me see: ",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Llama3,
            "```json\n{\n  \"name\": \"get_weather\",\n  \"parameters\": {\n    \"place\": \"Paris\"\n  }\n}\n```",
            "",
            vec![paris()],
        ),
        (
            Llama3,
            "<|python_tag >, {\"names\": 1}",
            "<|python_tag >, {\"names\": 1}",
            vec![],
        ),
        (
            Gemma,
            "```json\n[\n    {\n        \"name\": \"get_weather\",\n        \"parameters\": {\"place\": \"Paris\"}\n    }\n]\n```",
            "",
            vec![paris()],
        ),
        (
            Gemma,
            "\n```\n{\"name\":\t\"get_weather\",\"parameters\":{\"place\":\"Paris\"}}\n```",
            "\n",
            vec![paris()],
        ),
        (
            Json,
            "{\r\n  \"name\" : \"get_weather\",\r\n  \"arguments\" : {\"place\": \"Paris\"}\r\n}",
            "",
            vec![paris()],
        ),
        (
            Json,
            "<think>Which one?</think>\n```json\n[{\"name\":\"get_weather\",\"arguments\":{\"place\":\"Paris\"}},{\"name\":\"now\"}]\n```",
            "<think>Which one?</think>\n",
            vec![paris(), ("now", json!({}))],
        ),
        (
            Json,
            "{                 \"name\": \"too far\"}",
            "{                 \"name\": \"too far\"}",
            vec![],
        ),
        (
            Json,
            "```json\n{\"answer\":\"name\"}\n```",
            "```json\n{\"answer\":\"name\"}\n```",
            vec![],
        ),
        (Json, "{\"name\"", "{\"name\"", vec![]),
        (
            MistralV11,
            "[TOOL_CALLS]get_weather[ARGS]{\"place\": \"Paris\"}",
            "",
            vec![paris()],
        ),
        (
            MistralV11,
            "One moment.[TOOL_CALLS]get_weather[CALL_ID]a1B2c3D4e[ARGS]{\"place\": \"Zürich \\\"[ARGS]\\\" }{\"}[TOOL_CALLS]a.b-c[ARGS] {}[TOOL_CALLS]now{\"of\": [{}, 1]}",
            "One moment.",
            vec![
                ("get_weather", json!({"place": "Zürich \"[ARGS]\" }{"})),
                ("a.b-c", json!({})),
                ("now", json!({"of": [{}, 1]})),
            ],
        ),
        (
            MistralV11,
            "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}]",
            "",
            vec![paris()],
        ),
        (
            MistralV11,
            "[TOOL_CALLS]none of them[TOOLS]",
            "[TOOL_CALLS]none of them[TOOLS]",
            vec![],
        ),
        (
            FunctionGemma,
            "<start_function_call>call:get_weather{place:<escape>Paris<escape>}<end_function_call>",
            "",
            vec![paris()],
        ),
        (
            FunctionGemma,
            "Sure.<start_function_call>call:add{of:[1,-2.5e3,[true,null]],to:{größe:<escape>}, \"x\"\n<esc<escape>,x y:{}},last:[]}<end_function_call><start_function_call>call:now{}<end_function_call>",
            "Sure.",
            vec![
                (
                    "add",
                    json!({"of": [1, -2500.0, [true, null]], "to": {"größe": "}, \"x\"\n<esc", "x y": {}}, "last": []}),
                ),
                ("now", json!({})),
            ],
        ),
        (
            FunctionGemma,
            "<start_function_call>call:f{\"a,b\": {\"c\": \"d \\\" <escape>\", \"e\": [1, 2]}, unit: celsius, <escape>k<escape>:1}<end_function_call>",
            "",
            vec![(
                "f",
                json!({"a,b": {"c": "d \" <escape>", "e": [1, 2]}, "unit": "celsius", "k": 1}),
            )],
        ),
        (
            FunctionGemma,
            "<start_function_call>calling you {back}",
            "<start_function_call>calling you {back}",
            vec![],
        ),
        (
            Qwen3Coder,
            "<tool_call>\n<function=get_weather>\n<parameter=place>\nParis\n</parameter>\n</function>\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Qwen3Coder,
            "I write it:\n<tool_call>\n<function=save>\n<parameter=text>\n\n<b>\"x\" </b>\n</param\n\n</parameter>\n<parameter=lines>\n[1, {\"a\": null}]\n</parameter>\n<parameter=empty>\n\n</parameter>\n<parameter=inline>7.5</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
            "I write it:\n",
            vec![
                (
                    "save",
                    json!({"text": "\n<b>\"x\" </b>\n</param\n", "lines": [1, {"a": null}], "empty": "", "inline": 7.5}),
                ),
                ("now", json!({})),
            ],
        ),
        (
            Qwen3Coder,
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>",
            "",
            vec![paris()],
        ),
        (
            Qwen3Coder,
            "<tool_call> <functional> and <function=x y>",
            "<tool_call> <functional> and <function=x y>",
            vec![],
        ),
    ]
}
