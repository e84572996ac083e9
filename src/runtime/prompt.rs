//! Turns messages into the tokens of a prompt that fits.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Elpis;
use crate::backend::{Token, prompt_tokens};
use crate::engine::LoadedModel;
use crate::error::{EngineError, Error};
use crate::inference::{
    ChatMessage, CivilDateTime, PromptText, RenderOptions, RequestError, ToolSet, validate_messages,
};
use crate::inference::{least_that_fits, turn_starts, without_oldest};
use crate::settings::{ContextOverflow, ControlTokens};

/// Builds a prompt for the loaded model.
pub(super) async fn prepare(
    elpis: &Elpis,
    messages: Vec<ChatMessage>,
    tools: Option<&ToolSet>,
    max_tokens: u32,
    now: f64,
) -> Result<(Arc<LoadedModel>, Prompt), Error> {
    let settings = &elpis.settings().model;
    let (overflow, control_tokens) = (settings.context_overflow, settings.control_tokens);
    let tools = tools.cloned();
    on_model(elpis, move |model| {
        let request = Rendering {
            tools: tools.as_ref(),
            overflow,
            control_tokens,
            max_tokens,
            now,
        };
        fit(model, &messages, &request)
    })
    .await
}

/// Counts the tokens of a prompt after dropping as few of its oldest turns as necessary to leave
/// `reserve` tokens of the context free, if that is possible.
pub(super) async fn measure(
    elpis: &Elpis,
    messages: Vec<ChatMessage>,
    reserve: Option<u32>,
    now: f64,
) -> Result<Measured, Error> {
    let control_tokens = elpis.settings().model.control_tokens;
    let measured = on_model(elpis, move |model| {
        validate_messages(&messages).map_err(RequestError::from)?;
        let request = Rendering {
            tools: None,
            overflow: ContextOverflow::Error,
            control_tokens,
            max_tokens: 0,
            now,
        };
        let context = model.facts.context_length;
        let whole = render(model, &messages, &request)?.tokens.len();
        let mut measured = Measured {
            tokens: whole,
            context,
            dropped_turns: 0,
        };
        if let Some(reserve) = reserve {
            let room = (context as usize).saturating_sub(reserve as usize);
            (measured.dropped_turns, measured.tokens) =
                shortened(whole, room, &messages, |talk| {
                    Ok(render(model, talk, &request)?.tokens.len())
                })?;
        }
        Ok(measured)
    });
    Ok(measured.await?.1)
}

/// The part of the context that a prompt uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measured {
    pub tokens: usize,
    pub context: u32,
    pub dropped_turns: usize,
}

/// Finds how many of the oldest turns must be dropped for a prompt to fit into `room` tokens, and
/// the remaining number of tokens. If even the last turn is too long, all others are dropped.
fn shortened(
    whole: usize,
    room: usize,
    messages: &[ChatMessage],
    mut tokens_of: impl FnMut(&[ChatMessage]) -> Result<usize, EngineError>,
) -> Result<(usize, usize), EngineError> {
    if whole <= room {
        return Ok((0, whole));
    }
    let most = turn_starts(messages).len().saturating_sub(1);
    let mut counted = std::collections::BTreeMap::from([(0, whole)]);
    let mut count = |dropped: usize| -> Result<usize, EngineError> {
        if let Some(tokens) = counted.get(&dropped) {
            return Ok(*tokens);
        }
        let tokens = tokens_of(&without_oldest(messages, dropped))?;
        counted.insert(dropped, tokens);
        Ok(tokens)
    };
    let dropped = least_that_fits(most, |dropped| {
        Ok::<_, EngineError>(count(dropped)? <= room)
    })?;
    Ok((dropped, count(dropped)?))
}

/// Runs work on the loaded model. If the model's process dies meanwhile, repeats it on the
/// replacement. The work runs on a blocking thread: rendering takes time, and a tokenizer in
/// another process may hang.
async fn on_model<T: Send + 'static>(
    elpis: &Elpis,
    work: impl Fn(&LoadedModel) -> Result<T, EngineError> + Send + Sync + 'static,
) -> Result<(Arc<LoadedModel>, T), Error> {
    let work = Arc::new(work);
    loop {
        let model = elpis.loaded().await?;
        let (asked, work) = (Arc::clone(&model), Arc::clone(&work));
        match tokio::task::spawn_blocking(move || work(&asked)).await {
            Ok(Ok(done)) => return Ok((model, done)),
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

/// The inputs of a prompt besides the messages.
struct Rendering<'a> {
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
    /// The text of the tokens.
    pub text: String,
    /// Whether the template has opened the model's thinking.
    pub thinking: bool,
    /// Number of messages that were left out because they did not fit.
    pub dropped: usize,
}

/// Renders and tokenises the messages with the offered tools. A prompt that does not fit the
/// context is refused or, depending on the settings, loses its oldest turns.
fn fit(
    model: &LoadedModel,
    messages: &[ChatMessage],
    request: &Rendering<'_>,
) -> Result<Prompt, EngineError> {
    validate_messages(messages).map_err(RequestError::from)?;
    let context = model.facts.context_length as usize;
    let mut prompt = render(model, messages, request)?;
    if request.overflow == ContextOverflow::DropOldest {
        // When turns are dropped, leave room for the reply too. A prompt is not refused for the
        // lack of that room.
        let room = context.saturating_sub(request.max_tokens as usize);
        let tokens_of = |talk: &[ChatMessage]| Ok(render(model, talk, request)?.tokens.len());
        let (dropped, _) = shortened(prompt.tokens.len(), room, messages, tokens_of)?;
        if dropped > 0 {
            let kept = without_oldest(messages, dropped);
            prompt = Prompt {
                dropped: messages.len() - kept.len(),
                ..render(model, &kept, request)?
            };
        }
    }
    if prompt.tokens.len() < context {
        return Ok(prompt);
    }
    let error = RequestError::PromptTooLong {
        prompt: prompt.tokens.len(),
        context: model.facts.context_length,
    };
    Err(error.into())
}

fn render(
    model: &LoadedModel,
    messages: &[ChatMessage],
    request: &Rendering<'_>,
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
    let thinking = template.tool_format().opens_thinking(&text);
    Ok(Prompt {
        tokens,
        text,
        thinking,
        dropped: 0,
    })
}

/// The local date and time, for templates that use it.
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
