//! The response as clients read it: every field of the specification is there.

use elpis::inference::FinishReason;
use elpis::{FunctionCall, GenerationReport};
use serde_json::{Value, json};

use super::request::ResponseRequest;

/// A response before its reply.
pub(super) fn begun(id: &str, created: i64, request: &ResponseRequest) -> Value {
    let format = request.text.as_ref().and_then(|text| text.format.clone());
    json!({
        "id": id,
        "object": "response",
        "created_at": created,
        "completed_at": null,
        "status": "in_progress",
        "incomplete_details": null,
        "error": null,
        "model": request.model,
        "previous_response_id": request.previous_response_id,
        "instructions": request.instructions,
        "output": [],
        "tools": request.tools.iter().flatten().map(tool).collect::<Vec<_>>(),
        "tool_choice": request.tool_choice.clone().unwrap_or_else(|| "auto".into()),
        "truncation": "disabled",
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "text": {"format": format.unwrap_or_else(|| json!({"type": "text"}))},
        "temperature": request.temperature.unwrap_or(1.0),
        "top_p": request.top_p.unwrap_or(1.0),
        "presence_penalty": request.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": request.frequency_penalty.unwrap_or(0.0),
        "top_logprobs": 0,
        "reasoning": {"effort": null, "summary": null},
        "usage": null,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": null,
        "store": request.store != Some(false),
        "background": false,
        "service_tier": "default",
        "metadata": request.metadata.clone().unwrap_or_default(),
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        "user": request.user,
    })
}

/// A tool of the request with all fields of the specification.
fn tool(tool: &Value) -> Value {
    let mut whole = json!({
        "type": "function",
        "name": null,
        "description": null,
        "parameters": null,
        "strict": true,
    });
    for (name, value) in tool.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    whole
}

/// Fills in the end of a response.
pub(super) fn end(response: &mut Value, report: &GenerationReport, output: Vec<Value>, now: i64) {
    let cut = matches!(
        report.finish_reason,
        FinishReason::Length | FinishReason::ContextFull
    );
    let status = if cut { "incomplete" } else { "completed" };
    response["status"] = status.into();
    if cut {
        response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    } else {
        response["completed_at"] = now.into();
    }
    response["output"] = output.into();
    response["usage"] = usage(report);
}

fn usage(report: &GenerationReport) -> Value {
    json!({
        "input_tokens": report.prompt_tokens,
        "output_tokens": report.completion_tokens,
        "total_tokens": report.prompt_tokens + report.completion_tokens,
        "input_tokens_details": {"cached_tokens": report.cached_prompt_tokens},
        "output_tokens_details": {"reasoning_tokens": report.thinking.map_or(0, |span| span.tokens)},
    })
}

/// A part with text.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// An item with text; without one it has just begun.
pub(super) fn message(id: &str, text: Option<&str>) -> Value {
    let content: Vec<_> = text.map(part).into_iter().collect();
    json!({
        "type": "message",
        "id": id,
        "status": if text.is_some() { "completed" } else { "in_progress" },
        "role": "assistant",
        "content": content,
    })
}

/// An item with the model's thinking.
pub(super) fn reasoning(id: &str, text: &str) -> Value {
    json!({
        "type": "reasoning",
        "id": id,
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    })
}

/// An item with a call; one whose arguments are to come has just begun.
pub(super) fn call(id: &str, call: &FunctionCall, arguments: Option<&str>) -> Value {
    json!({
        "type": "function_call",
        "id": id,
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments.unwrap_or_default(),
        "status": if arguments.is_some() { "completed" } else { "in_progress" },
    })
}

/// An id with a prefix.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}
