//! The replies of chat completions, whole and in chunks.

use elpis::inference::FinishReason;
use elpis::{Completion, FunctionCall, GenerationReport};
use serde::Serialize;
use serde_json::{Value, json};

use crate::extension::ResponseExtension;

/// The fields that all chunks of a reply share.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) object: &'static str,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) system_fingerprint: String,
}

/// A whole reply.
#[derive(Debug, Serialize)]
pub(super) struct ChatCompletion {
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
    pub(super) elpis: ResponseExtension,
}

#[derive(Debug, Serialize)]
pub(super) struct Choice {
    index: usize,
    message: ReplyMessage,
    logprobs: Option<Value>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct ReplyMessage {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    annotations: [Value; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
}

impl Choice {
    pub(super) fn new(index: usize, reply: Completion) -> Self {
        let calls: Vec<_> = reply.tool_calls.iter().map(call).collect();
        // A reply that only calls has no content.
        let content = (calls.is_empty() || !reply.text.is_empty()).then_some(reply.text);
        Self {
            index,
            finish_reason: finish_reason(reply.report.finish_reason),
            message: ReplyMessage {
                role: "assistant",
                content,
                refusal: None,
                annotations: [],
                reasoning_content: Some(reply.thinking).filter(|text| !text.is_empty()),
                tool_calls: calls,
            },
            logprobs: None,
        }
    }
}

fn call(call: &FunctionCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments.to_string()},
    })
}

/// Why a reply ended, in `OpenAI`'s words.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length | FinishReason::ContextFull => "length",
        _ => "stop",
    }
}

/// The tokens of a request: the prompt counts once, however many replies there are.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
    audio_tokens: u32,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are OpenAI's")]
struct CompletionDetails {
    reasoning_tokens: u32,
    audio_tokens: u32,
    accepted_prediction_tokens: u32,
    rejected_prediction_tokens: u32,
}

impl Usage {
    /// Adds the tokens of a reply.
    pub(super) fn add(&mut self, report: &GenerationReport) {
        self.prompt_tokens = report.prompt_tokens;
        self.completion_tokens += report.completion_tokens;
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
        let cached = &mut self.prompt_tokens_details.cached_tokens;
        *cached = (*cached).max(report.cached_prompt_tokens);
        let thinking = report.thinking.map_or(0, |span| span.tokens);
        self.completion_tokens_details.reasoning_tokens += thinking;
    }
}

/// A piece of a reply.
#[derive(Debug, Serialize)]
pub(super) struct Chunk<'a> {
    #[serde(flatten)]
    pub(super) head: &'a Head,
    pub(super) choices: &'a [ChunkChoice],
    /// Absent unless the client asked for it; null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) elpis: Option<&'a ResponseExtension>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChunkChoice {
    pub(super) index: usize,
    pub(super) delta: Delta,
    pub(super) logprobs: Option<Value>,
    pub(super) finish_reason: Option<&'static str>,
}

/// The piece that a chunk adds to a message.
#[derive(Debug, Default, Serialize)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[CallDelta; 1]>,
}

#[derive(Debug, Serialize)]
pub(super) struct CallDelta {
    pub(super) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: FunctionDelta,
}

#[derive(Debug, Serialize)]
pub(super) struct FunctionDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}
