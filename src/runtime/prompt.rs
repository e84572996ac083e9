//! From messages to the tokens of a prompt that fits.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Elpis;
use crate::actors::engine::LoadedModel;
use crate::backend::Token;
use crate::error::{EngineError, Error};
use crate::inference::{
    ChatMessage, CivilDateTime, RenderOptions, RequestError, Role, ToolSet, validate_messages,
    with_tools,
};
use crate::settings::{ContextOverflow, Isolation};

/// Makes a prompt for the loaded model; if the model's process dies over it,
/// for the one that takes its place.
pub(super) async fn prepare(
    elpis: &Elpis,
    messages: Vec<ChatMessage>,
    tools: Option<&ToolSet>,
    max_tokens: u32,
    now: f64,
) -> Result<(Arc<LoadedModel>, Prompt), Error> {
    let settings = elpis.settings();
    let overflow = settings.model.context_overflow;
    loop {
        let model = elpis.loaded().await?;
        if settings.runtime.isolation == Isolation::None {
            let prompt = fit(&model, messages, tools, overflow, max_tokens, now)?;
            return Ok((model, prompt));
        }
        // A process may hang, and no other task must wait for it too.
        let (asked, messages) = (Arc::clone(&model), messages.clone());
        let tools = tools.cloned();
        let work = move || fit(&asked, messages, tools.as_ref(), overflow, max_tokens, now);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(prompt)) => return Ok((model, prompt)),
            Ok(Err(EngineError::Backend(error))) if error.is_fatal() => {
                elpis.replaced(&model).await?;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => {
                    return Err(Error::Stopped {
                        reason: "the program is ending".to_owned(),
                        source: None,
                    });
                }
            },
        }
    }
}

/// A prompt that fits.
#[derive(Debug)]
pub(super) struct Prompt {
    pub tokens: Vec<Token>,
    /// What the tokens say.
    pub text: String,
    /// Whether the template has opened the model's thinking.
    pub thinking: bool,
}

/// Renders and tokenises the messages, with the tools on offer; what does not fit the context is
/// refused or, if the settings say so, loses its oldest turns.
fn fit(
    model: &LoadedModel,
    mut messages: Vec<ChatMessage>,
    tools: Option<&ToolSet>,
    overflow: ContextOverflow,
    max_tokens: u32,
    now: f64,
) -> Result<Prompt, EngineError> {
    validate_messages(&messages).map_err(RequestError::from)?;
    let context = model.facts.context_length as usize;
    loop {
        let prompt = render(model, &messages, tools, now)?;
        let tokens = &prompt.tokens;
        // Dropping turns makes room for the reply too; refusing does not
        // refuse what could still be answered in part.
        let fits = match overflow {
            ContextOverflow::Error => tokens.len() < context,
            ContextOverflow::DropOldest => {
                tokens.len().saturating_add(max_tokens as usize) <= context
            }
        };
        if fits {
            return Ok(prompt);
        }
        let dropped = overflow == ContextOverflow::DropOldest && drop_oldest_turn(&mut messages);
        if !dropped {
            if tokens.len() < context {
                return Ok(prompt);
            }
            let error = RequestError::PromptTooLong {
                prompt: tokens.len(),
                context: model.facts.context_length,
            };
            return Err(error.into());
        }
    }
}

fn render(
    model: &LoadedModel,
    messages: &[ChatMessage],
    tools: Option<&ToolSet>,
    now: f64,
) -> Result<Prompt, EngineError> {
    let template = &model.template;
    let native = template.takes_tools();
    let messages = with_tools(messages, tools, template.tool_format(), native);
    let tools = tools.filter(|_| native).map(ToolSet::to_json);
    let options = RenderOptions {
        add_generation_prompt: true,
        tools: tools.as_ref(),
        now: civil(now),
        ..RenderOptions::default()
    };
    let text = template.render(&messages, &options)?;
    let tokens = model.tokenizer.encode(&text, true)?;
    if tokens.is_empty() {
        return Err(RequestError::EmptyPrompt.into());
    }
    let thinking = text.trim_end().ends_with("<think>");
    Ok(Prompt {
        tokens,
        text,
        thinking,
    })
}

/// The date and time in UTC, for templates that ask for it.
fn civil(unix_seconds: f64) -> Option<CivilDateTime> {
    let now = OffsetDateTime::from_unix_timestamp(unix_seconds as i64).ok()?;
    CivilDateTime::new(
        u16::try_from(now.year()).ok()?,
        now.month().into(),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
    )
}

/// Removes the oldest turn (a user message with what answered it), never a
/// system message and never the last user message; tells whether it could.
fn drop_oldest_turn(messages: &mut Vec<ChatMessage>) -> bool {
    let is_user = |message: &ChatMessage| message.role == Role::User;
    let Some(last_user) = messages.iter().rposition(is_user) else {
        return false;
    };
    let Some(first) = messages
        .iter()
        .position(|message| message.role != Role::System)
    else {
        return false;
    };
    if first >= last_user {
        return false;
    }
    let end = messages[first + 1..]
        .iter()
        .position(is_user)
        .map_or(last_user, |offset| first + 1 + offset);
    let mut index = 0;
    messages.retain(|message| {
        let keep = !(first..end).contains(&index) || message.role == Role::System;
        index += 1;
        keep
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_turn_goes_first_and_the_last_question_stays() {
        let mut messages = vec![
            ChatMessage::system("s"),
            ChatMessage::user("1"),
            ChatMessage::assistant("a"),
            ChatMessage::user("2"),
            ChatMessage::assistant("b"),
            ChatMessage::user("3"),
        ];
        let texts = |messages: &[ChatMessage]| {
            messages
                .iter()
                .map(|m| m.content.clone())
                .collect::<String>()
        };
        assert!(drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s2b3");
        assert!(drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s3");
        assert!(!drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s3");
    }
}
