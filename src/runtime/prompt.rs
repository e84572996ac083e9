//! From messages to the tokens of a prompt that fits.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Elpis;
use crate::actors::engine::LoadedModel;
use crate::backend::{Token, prompt_tokens};
use crate::error::{EngineError, Error};
use crate::inference::{
    ChatMessage, CivilDateTime, PromptText, RenderOptions, RequestError, Role, ToolSet,
    validate_messages,
};
use crate::settings::{ContextOverflow, ControlTokens};

/// Makes a prompt for the loaded model; if the model's process dies over it, for the one that
/// takes its place. The work is done on a thread for blocking work: rendering takes time, and a
/// tokenizer in another process may hang.
pub(super) async fn prepare(
    elpis: &Elpis,
    messages: Vec<ChatMessage>,
    tools: Option<&ToolSet>,
    max_tokens: u32,
    now: f64,
) -> Result<(Arc<LoadedModel>, Prompt), Error> {
    let settings = &elpis.settings().model;
    let (overflow, control_tokens) = (settings.context_overflow, settings.control_tokens);
    let tools = tools.cloned().map(Arc::new);
    let messages = Arc::new(messages);
    loop {
        let model = elpis.loaded().await?;
        let (asked, messages) = (Arc::clone(&model), Arc::clone(&messages));
        let tools = tools.clone();
        let work = move || {
            let request = Request {
                tools: tools.as_deref(),
                overflow,
                control_tokens,
                max_tokens,
                now,
            };
            fit(&asked, messages.to_vec(), &request)
        };
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
                    });
                }
            },
        }
    }
}

/// What a prompt is made for, beside the messages.
struct Request<'a> {
    tools: Option<&'a ToolSet>,
    overflow: ContextOverflow,
    control_tokens: ControlTokens,
    max_tokens: u32,
    /// Seconds since 1970.
    now: f64,
}

/// A prompt that fits.
#[derive(Debug)]
pub(super) struct Prompt {
    pub tokens: Vec<Token>,
    /// What the tokens say.
    pub text: String,
    /// Whether the template has opened the model's thinking.
    pub thinking: bool,
    /// Messages that were left out, because they did not fit.
    pub dropped: usize,
}

/// Renders and tokenises the messages, with the tools on offer; what does not fit the context is
/// refused or, if the settings say so, loses its oldest turns.
fn fit(
    model: &LoadedModel,
    mut messages: Vec<ChatMessage>,
    request: &Request<'_>,
) -> Result<Prompt, EngineError> {
    validate_messages(&messages).map_err(RequestError::from)?;
    let context = model.facts.context_length as usize;
    let all = messages.len();
    loop {
        let dropped = all - messages.len();
        let prompt = Prompt {
            dropped,
            ..render(model, &messages, request)?
        };
        let tokens = &prompt.tokens;
        // Dropping turns makes room for the reply too; refusing does not
        // refuse what could still be answered in part.
        let fits = match request.overflow {
            ContextOverflow::Error => tokens.len() < context,
            ContextOverflow::DropOldest => {
                tokens.len().saturating_add(request.max_tokens as usize) <= context
            }
        };
        if fits {
            return Ok(prompt);
        }
        let shorter =
            request.overflow == ContextOverflow::DropOldest && drop_oldest_turn(&mut messages);
        if !shorter {
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
    request: &Request<'_>,
) -> Result<Prompt, EngineError> {
    let template = &model.template;
    let tools = request.tools;
    let options = RenderOptions {
        add_generation_prompt: true,
        now: local_time(request.now),
        ..RenderOptions::default()
    };
    if request.control_tokens == ControlTokens::Refuse
        && let Some((place, token)) = template.find_control(messages, tools, &model.controls)
    {
        return Err(RequestError::ControlToken { place, token }.into());
    }
    let rendered = match request.control_tokens {
        ControlTokens::Parse => PromptText {
            text: template.render_adapted(messages, tools, &options)?,
            marked: None,
        },
        ControlTokens::Text | ControlTokens::Refuse => {
            template.render_marked(messages, tools, &options, &model.controls)?
        }
    };
    let tokens = prompt_tokens(model.tokenizer.as_ref(), &rendered)?;
    if tokens.is_empty() {
        return Err(RequestError::EmptyPrompt.into());
    }
    let text = rendered.text;
    let thinking = text.trim_end().ends_with("<think>");
    Ok(Prompt {
        tokens,
        text,
        thinking,
        dropped: 0,
    })
}

/// The date and time on the wall, for templates that ask for it.
fn local_time(unix_seconds: f64) -> Option<CivilDateTime> {
    let now = Timestamp::from_second(unix_seconds as i64).ok()?;
    let now = now.to_zoned(TimeZone::system());
    let small = |number: i8| u8::try_from(number).ok();
    CivilDateTime::new(
        u16::try_from(now.year()).ok()?,
        small(now.month())?,
        small(now.day())?,
        small(now.hour())?,
        small(now.minute())?,
        small(now.second())?,
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
