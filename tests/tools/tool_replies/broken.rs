//! Replies that break off, and malformed calls.

use elpis::inference::{ToolEvent, ToolFormat, ToolParseError};

use super::read;

#[test]
fn replies_that_break_off_end_with_a_typed_error_or_as_text() {
    let reply = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1";
    assert_eq!(
        read(ToolFormat::Hermes, [reply.as_bytes()]),
        Err(ToolParseError::Unfinished { name: "f".into() })
    );
    let broken = "<tool_call>\n{\"name\": \"f\", \"arguments\": 1, 2}\n</tool_call>";
    assert!(matches!(
        read(ToolFormat::Hermes, [broken.as_bytes()]),
        Err(ToolParseError::Arguments { .. })
    ));
    let huge = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1e999}}\n</tool_call>";
    assert!(matches!(
        read(ToolFormat::Hermes, [huge.as_bytes()]),
        Err(ToolParseError::Arguments { .. })
    ));
    for reply in [
        "<tool_call>\n{\"name\": \"f",
        "<tool_call>\nno JSON",
        "<tool_call>{\"a\" 1}</tool_call>",
        "a<tool",
    ] {
        let events = read(ToolFormat::Hermes, reply.as_bytes().chunks(1)).unwrap();
        assert_eq!(events, [ToolEvent::Text(reply.to_owned())]);
    }
}

#[test]
fn broken_calls_in_the_newer_notations_end_with_a_typed_error() {
    use ToolFormat::{FunctionGemma, MistralV11, Qwen3Coder};
    let named = |reply: &str| ("f".to_owned(), reply.to_owned());
    for (format, reply) in [
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\": 1"),
        (FunctionGemma, "<start_function_call>call:f{a:<escape>1}"),
        (
            Qwen3Coder,
            "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n",
        ),
    ] {
        let (name, reply) = named(reply);
        let unfinished = Err(ToolParseError::Unfinished { name });
        assert_eq!(read(format, reply.as_bytes().chunks(1)), unfinished);
    }
    for (format, reply) in [
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\": 1e999}"),
        (MistralV11, "[TOOL_CALLS]f[ARGS]{\"a\" 1}"),
        (FunctionGemma, "<start_function_call>call:f{a}"),
        (FunctionGemma, "<start_function_call>call:f{a:1]}"),
        (FunctionGemma, "<start_function_call>call:f{a:,}"),
        (FunctionGemma, "<start_function_call>call:f{a:1,}"),
    ] {
        let got = read(format, reply.as_bytes().chunks(1));
        let broken = matches!(&got, Err(ToolParseError::Arguments { name, .. }) if name == "f");
        assert!(broken, "{format}: {reply}: {got:?}");
    }
    for (format, reply) in [
        (MistralV11, "[TOOL_CALLS]f[ARG"),
        (MistralV11, "[TOOL_CALLS]f[CALL_ID]x y[ARGS]{}"),
        (FunctionGemma, "<start_function_call>call:f"),
        (FunctionGemma, "<start_function_call>{\"name\": \"f\"}"),
        (Qwen3Coder, "<tool_call>\n<function=f"),
        (Qwen3Coder, "<tool_call>\n<function=>"),
        // What has no arguments yet is no call either.
        (MistralV11, "[TOOL_CALLS]f[ARGS]7"),
        (Qwen3Coder, "<tool_call>\n<function=f>\nno parameter"),
        (Qwen3Coder, "<tool_call>\n<function=f>\n<parameter=a\n>"),
    ] {
        let events = read(format, reply.as_bytes().chunks(1)).unwrap();
        assert_eq!(events, [ToolEvent::Text(reply.to_owned())]);
    }
}
