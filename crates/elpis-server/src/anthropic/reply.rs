//! The reply as Anthropic's clients read it.

use elpis::inference::FinishReason;
use elpis::{Completion, GenerationReport};
use serde_json::{Value, json};

use crate::extension::ResponseExtension;

/// Why a reply ended. Which of several stop texts it was is not known.
pub(super) fn stop_reason(
    report: &GenerationReport,
    stops: &[String],
) -> (&'static str, Option<String>) {
    match report.finish_reason {
        FinishReason::ToolCalls => ("tool_use", None),
        FinishReason::Length | FinishReason::ContextFull => ("max_tokens", None),
        FinishReason::StopString => (
            "stop_sequence",
            stops.first().filter(|_| stops.len() == 1).cloned(),
        ),
        _ => ("end_turn", None),
    }
}

/// The tokens of a request. Those in the cache are counted apart.
pub(super) fn usage(report: &GenerationReport) -> Value {
    let read = report.cached_prompt_tokens;
    let thinking = report.thinking.map_or(0, |span| span.tokens);
    tokens(
        report.prompt_tokens.saturating_sub(read),
        read,
        report.completion_tokens,
        thinking,
    )
}

fn tokens(input: u32, read: u32, output: u32, thinking: u32) -> Value {
    json!({
        "input_tokens": input,
        "cache_creation": null,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": read,
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thinking},
        "inference_geo": null,
        "server_tool_use": null,
        "service_tier": "standard",
    })
}

/// A message that has not begun.
pub(super) fn empty(id: &str, model: &str) -> Value {
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "container": null,
        "stop_reason": null,
        "stop_sequence": null,
        "stop_details": null,
        "usage": tokens(0, 0, 0, 0),
    })
}

/// A block with text.
pub(super) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text, "citations": null})
}

/// A block with a call.
pub(super) fn call(id: &str, name: &str, input: &Value) -> Value {
    json!({
        "type": "tool_use",
        "id": id,
        "name": name,
        "input": input,
        "caller": {"type": "direct"},
    })
}

/// A whole message.
pub(super) fn whole(
    id: &str,
    model: &str,
    reply: &Completion,
    stops: &[String],
    told: &ResponseExtension,
) -> Value {
    let mut content = Vec::new();
    if !reply.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reply.thinking, "signature": ""}));
    }
    if !reply.text.is_empty() || reply.tool_calls.is_empty() {
        content.push(text(&reply.text));
    }
    let calls = reply.tool_calls.iter();
    content.extend(calls.map(|made| call(&made.id, &made.name, &made.arguments)));
    let (reason, sequence) = stop_reason(&reply.report, stops);
    let mut message = empty(id, model);
    message["content"] = content.into();
    message["stop_reason"] = reason.into();
    message["stop_sequence"] = sequence.into();
    message["usage"] = usage(&reply.report);
    message["elpis"] = json!(told);
    message
}
