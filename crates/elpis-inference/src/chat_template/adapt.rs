//! Adapts a conversation to a template: parts that the template cannot show are moved to where it
//! can.

use serde_json::{Map, Value};

use super::capabilities::{ArgumentsForm, TemplateCapabilities, in_parts};
use crate::message::{ChatMessage, Role};
use crate::tools::{ToolFormat, ToolSet};

/// Separator between two joined texts.
const GAP: &str = "\n\n";

/// A conversation as passed to a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adapted {
    pub messages: Vec<Value>,
    pub tools: Option<Value>,
}

/// Adapts a conversation to what a template can show.
pub(super) fn adapt(
    messages: &[ChatMessage],
    tools: Option<&ToolSet>,
    format: ToolFormat,
    can: &TemplateCapabilities,
) -> Adapted {
    let mut talk: Vec<ChatMessage> = messages.iter().cloned().map(cleaned).collect();
    if let Some(tools) = tools.filter(|_| !can.tools) {
        instruct(&mut talk, format.instructions(tools));
    }
    talk = talk
        .into_iter()
        .map(|message| with_calls(message, format, can))
        .collect();
    if !can.text_beside_calls {
        talk = text_apart_from_calls(talk, can);
    }
    if can.tool_calls.is_some() && !can.parallel_calls {
        talk = one_call_each(talk);
    }
    place_systems(&mut talk, can);
    if !can.repeated_roles {
        talk = joined(talk, can);
    }
    let form = can.tool_calls.unwrap_or(ArgumentsForm::Object);
    let messages = talk.into_iter().map(|mut message| {
        for call in calls_of(&mut message) {
            arguments_as(call, form);
        }
        let message = message.to_template_json();
        if can.parts {
            in_parts(message)
        } else {
            message
        }
    });
    Adapted {
        messages: messages.collect(),
        tools: tools.filter(|_| can.tools).map(|tools| {
            let mut tools = tools.to_json();
            if !can.bare_tools {
                describe(&mut tools, false);
            }
            tools
        }),
    }
}

/// A message without empty lists of calls, and with calls whose arguments are objects.
fn cleaned(mut message: ChatMessage) -> ChatMessage {
    let nothing = |calls: &Value| calls.as_array().is_none_or(Vec::is_empty);
    if message.tool_calls.as_ref().is_some_and(nothing) {
        message.tool_calls = None;
    }
    for call in calls_of(&mut message) {
        if let Some(fields) = call.as_object_mut() {
            fields.retain(|name, value| !(name == "id" && value.is_null()));
        }
        arguments_as(call, ArgumentsForm::Object);
    }
    message
}

fn calls_of(message: &mut ChatMessage) -> impl Iterator<Item = &mut Value> {
    let calls = message.tool_calls.as_mut();
    calls.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Converts the arguments of a call to a form. Missing, null and empty arguments become `{}`; a
/// text that is not a JSON object is unchanged.
fn arguments_as(call: &mut Value, form: ArgumentsForm) {
    let function = match call.get_mut("function") {
        Some(function) => function,
        None => call,
    };
    let Some(function) = function.as_object_mut() else {
        return;
    };
    let empty = || Value::Object(Map::new());
    let arguments = function.entry("arguments").or_insert_with(empty);
    let blank = |text: &str| text.trim().is_empty();
    if arguments.is_null() || arguments.as_str().is_some_and(blank) {
        *arguments = empty();
    }
    match form {
        ArgumentsForm::Object => {
            let read = arguments
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok());
            if let Some(value @ Value::Object(_)) = read {
                *arguments = value;
            }
        }
        ArgumentsForm::Text => {
            if !arguments.is_string() {
                *arguments = Value::String(arguments.to_string());
            }
        }
    }
}

/// Adds the description of the tools to the first system message.
fn instruct(talk: &mut Vec<ChatMessage>, text: String) {
    match talk.first_mut() {
        Some(first) if first.role == Role::System => first.content = join(&first.content, &text),
        _ => talk.insert(0, ChatMessage::system(text)),
    }
}

/// A message with calls and results moved into its text, if the template cannot show them
/// otherwise.
fn with_calls(
    mut message: ChatMessage,
    format: ToolFormat,
    can: &TemplateCapabilities,
) -> ChatMessage {
    if can.tool_calls.is_none()
        && let Some(calls) = message.tool_calls.take()
    {
        let calls = calls.as_array().map_or(&[][..], Vec::as_slice);
        message.content = join(&message.content, &format.write_calls(calls));
    }
    if message.role == Role::Tool && !can.tool_results {
        message = ChatMessage::user(format.write_result(message.name.as_deref(), &message.content));
    }
    message
}

/// Moves text next to calls into a separate message before them or, if the template refuses that,
/// to the beginning of the following answer.
fn text_apart_from_calls(talk: Vec<ChatMessage>, can: &TemplateCapabilities) -> Vec<ChatMessage> {
    let mut out: Vec<ChatMessage> = Vec::with_capacity(talk.len());
    let mut waiting: Option<(usize, String)> = None;
    for mut message in talk {
        let calls = message.tool_calls.is_some();
        if calls && !message.content.is_empty() {
            let text = std::mem::take(&mut message.content);
            if can.text_before_calls {
                out.push(ChatMessage {
                    reasoning_content: message.reasoning_content.take(),
                    ..ChatMessage::assistant(text)
                });
            } else {
                let before = waiting.take().map(|(_, text)| text).unwrap_or_default();
                waiting = Some((out.len(), join(&before, &text)));
            }
        } else if let (Role::Assistant, Some((_, text))) = (message.role, &waiting)
            && !calls
        {
            message.content = join(text, &message.content);
            waiting = None;
        } else if message.role == Role::User
            && let Some((at, text)) = waiting.take()
        {
            out[at].content = text;
        }
        out.push(message);
    }
    if let Some((at, text)) = waiting {
        out[at].content = text;
    }
    out
}

/// Adds missing descriptions that a template requires.
fn describe(value: &mut Value, described: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| describe(item, described)),
        Value::Object(fields) => {
            if described || fields.contains_key("parameters") {
                let empty = || Value::String(String::new());
                fields.entry("description").or_insert_with(empty);
            }
            for (name, field) in fields.iter_mut() {
                if name == "properties" {
                    for property in field.as_object_mut().into_iter().flat_map(Map::values_mut) {
                        describe(property, true);
                    }
                } else if field.is_object() || field.is_array() {
                    describe(field, false);
                }
            }
        }
        _ => {}
    }
}

/// Splits messages with several calls, so that each call is followed by its result.
fn one_call_each(talk: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut out = Vec::with_capacity(talk.len());
    let mut rest = talk.into_iter().peekable();
    while let Some(mut message) = rest.next() {
        let calls = match message.tool_calls.take() {
            Some(Value::Array(calls)) if calls.len() > 1 => calls,
            calls => {
                message.tool_calls = calls;
                out.push(message);
                continue;
            }
        };
        let mut results: Vec<ChatMessage> = Vec::new();
        while let Some(result) = rest.next_if(|next| next.role == Role::Tool) {
            results.push(result);
        }
        for call in calls {
            let id = call.get("id").and_then(Value::as_str);
            let answers =
                |result: &ChatMessage| id.is_none() || result.tool_call_id.as_deref() == id;
            let result = results
                .iter()
                .position(answers)
                .map(|at| results.remove(at));
            message.tool_calls = Some(Value::Array(vec![call]));
            out.push(std::mem::replace(&mut message, ChatMessage::assistant("")));
            out.extend(result);
        }
        out.append(&mut results);
    }
    out
}

/// Moves system messages to where the template shows them.
fn place_systems(talk: &mut Vec<ChatMessage>, can: &TemplateCapabilities) {
    let is_system = |message: &ChatMessage| message.role == Role::System;
    let leading = talk.iter().take_while(|message| is_system(message)).count();
    if leading > 1 && !can.several_systems {
        let texts: Vec<_> = talk.drain(1..leading).collect();
        for text in texts {
            talk[0].content = join(&talk[0].content, &text.content);
        }
    }
    let shown = if can.system {
        talk.iter().take_while(|message| is_system(message)).count()
    } else {
        0
    };
    let all_late = can.system && can.late_system;
    let mut waiting = String::new();
    let mut index = shown;
    while index < talk.len() && !all_late {
        if is_system(&talk[index]) {
            waiting = join(&waiting, &talk.remove(index).content);
            continue;
        }
        if talk[index].role == Role::User && !waiting.is_empty() {
            talk[index].content = join(&waiting, &talk[index].content);
            waiting.clear();
        }
        index += 1;
    }
    if !waiting.is_empty() {
        talk.push(ChatMessage::user(waiting));
    }
}

/// Joins consecutive messages of one role.
fn joined(talk: Vec<ChatMessage>, can: &TemplateCapabilities) -> Vec<ChatMessage> {
    let mut out: Vec<ChatMessage> = Vec::with_capacity(talk.len());
    for message in talk {
        let joins = |last: &ChatMessage| {
            last.role == message.role
                && matches!(message.role, Role::User | Role::Assistant)
                && last.tool_calls.is_none()
                && (message.tool_calls.is_none() || can.text_beside_calls)
        };
        match out.last_mut() {
            Some(last) if joins(last) => {
                last.content = join(&last.content, &message.content);
                last.tool_calls = message.tool_calls;
                last.reasoning_content =
                    match (last.reasoning_content.take(), message.reasoning_content) {
                        (Some(first), Some(second)) => Some(join(&first, &second)),
                        (first, second) => first.or(second),
                    };
            }
            _ => out.push(message),
        }
    }
    out
}

fn join(first: &str, second: &str) -> String {
    let between = if first.is_empty() || second.is_empty() {
        ""
    } else {
        GAP
    };
    format!("{first}{between}{second}")
}

#[cfg(test)]
mod tests;
