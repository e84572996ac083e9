//! Makes a conversation with tools fit a chat template.

use std::borrow::Cow;

use serde_json::Value;

use super::definition::ToolSet;
use super::format::ToolFormat;
use crate::inference::message::{ChatMessage, Role};

/// Prepares messages for a template. One that takes tools (`native`) gets them as they are, with
/// the arguments of calls as objects. For the others the tools are described in the system
/// message, earlier calls become the text of their assistant message and results become user
/// messages; neighbours of one role are joined, since many templates want turns to alternate.
pub fn with_tools<'a>(
    messages: &'a [ChatMessage],
    tools: Option<&ToolSet>,
    format: ToolFormat,
    native: bool,
) -> Cow<'a, [ChatMessage]> {
    let has_calls = messages.iter().any(|message| message.tool_calls.is_some());
    if !has_calls && (native || tools.is_none()) {
        return Cow::Borrowed(messages);
    }
    if native {
        let readable = |message: &ChatMessage| {
            let mut message = message.clone();
            message.tool_calls.as_mut().map(read_arguments);
            message
        };
        return Cow::Owned(messages.iter().map(readable).collect());
    }
    let mut plain: Vec<ChatMessage> = Vec::with_capacity(messages.len() + 1);
    let mut rest = messages;
    if let Some(tools) = tools {
        let mut text = format.instructions(tools);
        if let [first, others @ ..] = messages
            && first.role == Role::System
        {
            text = join(&first.content, &text);
            rest = others;
        }
        plain.push(ChatMessage::system(text));
    }
    for message in rest {
        let mut message = message.clone();
        if let Some(mut calls) = message.tool_calls.take() {
            read_arguments(&mut calls);
            let calls = calls.as_array().map_or(&[][..], Vec::as_slice);
            message.content = join(&message.content, &format.write_calls(calls));
        }
        if message.role == Role::Tool {
            let text = format.write_result(message.name.as_deref(), &message.content);
            message = ChatMessage::user(text);
        }
        match plain.last_mut() {
            Some(last) if last.role == message.role && message.role != Role::System => {
                last.content = join(&last.content, &message.content);
            }
            _ => plain.push(message),
        }
    }
    Cow::Owned(plain)
}

fn join(first: &str, second: &str) -> String {
    let between = if first.is_empty() || second.is_empty() {
        ""
    } else {
        "\n\n"
    };
    format!("{first}{between}{second}")
}

/// `OpenAI`'s API has arguments as text; most templates want the object.
fn read_arguments(calls: &mut Value) {
    for call in calls.as_array_mut().into_iter().flatten() {
        let function = match call.get_mut("function") {
            Some(function) => function,
            None => call,
        };
        if let Some(arguments) = function.get_mut("arguments")
            && let Some(text) = arguments.as_str()
            && let Ok(value) = serde_json::from_str(text)
        {
            *arguments = value;
        }
    }
}
