//! Feelings read from text: the model's replies and the user's messages.

mod model;
mod told;

pub use model::ModelAppraiser;
pub(super) use told::Told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::{BoxFuture, Elpis, Session};
use crate::actors::emotion::{Feeling, Observation};
use crate::actors::engine::{FinishFuture, FinishHook, ReplyReader};
use crate::appraisal::{LexicalAppraiser, ReferenceAppraiser};
use crate::emotion::{AppliedEvent, AppraiserChoice, EmotionConfig, EmotionEvent, GenerationTime};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::{ChatMessage, FinishReason, GenerationReport, Role, SessionId};
use crate::telemetry;

/// Longest that an appraiser may take over a text.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Stand around the thinking of a model in front of its reply.
const THINKING: [&str; 2] = ["<think>", "</think>"];

/// A text to be read for feelings.
#[derive(Debug, Clone)]
pub struct AppraisedText {
    /// The session that will feel it. What is generated through this handle
    /// is never appraised itself.
    pub session: Session,
    /// Where the text comes from: [`EventSource::Reply`] or
    /// [`EventSource::Message`].
    pub source: EventSource,
    /// The text; of a reply without the model's thinking, its tool calls and a
    /// last sentence that was cut off.
    pub text: String,
    /// Whether the session already knows what came of its tasks: the program
    /// told it ([`Session::record_tool_call`], or [`Session::feel`] with an
    /// outcome), the reply is to a tool's result, or the message of this turn
    /// was felt as an outcome. What the text says of outcomes would be felt
    /// twice.
    pub outcome_told: bool,
}

/// Says why a text was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppraisalError {
    /// The model's generation failed.
    #[error("the model was not asked: {0}")]
    Engine(#[from] Error),
    /// The model's answer is not one of those asked for.
    #[error("the model answered {answer:?}, which names no event")]
    Answer {
        /// The answer, cut to 64 characters.
        answer: String,
    },
    /// It took too long.
    #[error("the appraiser took longer than {seconds} s")]
    TimedOut {
        /// The limit, in seconds.
        seconds: f64,
    },
    /// The appraiser panicked.
    #[error("the appraiser panicked")]
    Panicked,
    /// An appraiser of one's own failed.
    #[error("{0}")]
    Other(String),
}

impl AppraisalError {
    /// The name used in metric labels.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            Self::Answer { .. } => "answer",
            Self::TimedOut { .. } => "timed_out",
            Self::Panicked => "panicked",
            Self::Other(_) => "other",
        }
    }
}

/// Reads feelings from texts.
///
/// It runs as a task of its own, for at most 30 s; if it fails or panics,
/// nothing is felt, [`Event::AppraisalFailed`] tells why, and the
/// conversation goes on.
pub trait Appraiser: Send + Sync {
    /// Returns the event that a text stands for, if any.
    ///
    /// # Errors
    /// [`AppraisalError`] if the text cannot be read.
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>>;
}

impl Appraiser for LexicalAppraiser {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        let event = if text.outcome_told {
            self.appraise_feelings(&text.text, text.source)
        } else {
            Self::appraise(self, &text.text, text.source)
        };
        Box::pin(std::future::ready(Ok(event)))
    }
}

impl Appraiser for ReferenceAppraiser {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        let event = Self::appraise(self, &text.text);
        Box::pin(std::future::ready(Ok(event)))
    }
}

/// The appraiser that the settings choose.
pub(super) fn chosen(config: &EmotionConfig) -> Arc<dyn Appraiser> {
    match config.appraiser {
        AppraiserChoice::Lexicon => Arc::new(LexicalAppraiser::new(config)),
        AppraiserChoice::Reference => Arc::new(ReferenceAppraiser::new(config)),
    }
}

/// What is known of a turn beyond its texts.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What texts have still to move the session by.
    left: f64,
    /// Whether the turn began with what came of a task.
    outcome_told: bool,
}

impl Turn {
    /// Begins a turn with these messages.
    pub fn new(elpis: &Elpis, messages: &[ChatMessage]) -> Self {
        let emotion = &elpis.settings().emotion;
        let answers_tool = messages.last().is_some_and(|last| last.role == Role::Tool);
        Self(Arc::new(Mutex::new(State {
            // No single event goes further, and texts together no further than one.
            left: emotion.appraisal_max_delta.min(emotion.max_delta),
            outcome_told: answers_tool,
        })))
    }

    fn left(&self) -> f64 {
        self.lock().left
    }

    fn felt(&self, event: &EmotionEvent, way: f64) {
        let mut state = self.lock();
        state.left = (state.left - way).max(0.0);
        state.outcome_told |= told::is_outcome(event.name());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the message that a turn begins with, if it is the user's.
pub(super) async fn message(session: &Session, messages: &[ChatMessage], turn: &Turn) {
    let Some(last) = messages.last() else { return };
    if last.role == Role::User && session.elpis().settings().emotion.message_analysis_enabled {
        let text = last.content.clone();
        felt(session, EventSource::Message, text, turn).await;
    }
}

/// What is known of a reply before it is written.
#[derive(Debug)]
pub(super) struct ReplyForm {
    /// Reads calls out of it, or makes text of it.
    pub reader: Option<ReplyReader>,
    /// Whether it begins inside the model's thinking.
    pub thinking: bool,
    /// Whether it is text that may tell feelings; the settings may still say
    /// that no reply is read.
    pub read: bool,
}

/// What follows the reply of a session's turn; it keeps no runtime alive.
pub(super) fn finish_hook(session: &Session, form: ReplyForm, turn: Turn) -> Option<FinishHook> {
    let emotion = &session.elpis().settings().emotion;
    let read = form.read && emotion.response_analysis_enabled;
    let watched = emotion.behavioral_monitoring_enabled;
    if !read && !watched {
        return None;
    }
    let (elpis, id) = (Arc::downgrade(&session.elpis().inner), session.id().clone());
    Some(Box::new(move |reply, report| -> FinishFuture {
        Box::pin(async move {
            let Some(inner) = elpis.upgrade() else { return };
            let session = Session::new(Elpis { inner }, id);
            if watched {
                let work = Observation::Generation(time_of(&report));
                let emotion = &session.elpis().inner.emotion;
                if let Err(error) = emotion.observe(session.id(), &work).await {
                    tracing::warn!(session = %session.id(), %error, "a generation was not noted");
                }
            }
            if read {
                let cut = matches!(
                    report.finish_reason,
                    FinishReason::Length | FinishReason::ContextFull
                );
                let text = prose(reply, form);
                let text = if cut { whole_sentences(text) } else { text };
                felt(&session, EventSource::Reply, text, &turn).await;
            }
            session.elpis().inner.told.forget(session.id());
        })
    }))
}

/// A text without its last sentence, which was cut off; one that has no other is left whole.
fn whole_sentences(mut text: String) -> String {
    let end = text.rfind(['.', '!', '?', '\u{2026}', '\n']);
    if let Some(at) = end {
        let mark = text[at..].chars().next().map_or(0, char::len_utf8);
        text.truncate(at + mark);
    }
    text
}

/// What a generation took in its slot.
fn time_of(report: &GenerationReport) -> GenerationTime {
    let evaluated = report
        .prompt_tokens
        .saturating_sub(report.cached_prompt_tokens);
    GenerationTime {
        prompt_tokens: evaluated,
        prompt_seconds: (report.first_token_seconds - report.queue_seconds).max(0.0),
        reply_tokens: report.completion_tokens,
        reply_seconds: (report.total_seconds - report.first_token_seconds).max(0.0),
    }
}

/// The reply without thinking and calls. Thinking that was cut off has no
/// reply behind it.
fn prose(reply: String, form: ReplyForm) -> String {
    let text = match form.reader {
        None => reply,
        Some(reader) => reader.text(&reply),
    };
    let [begin, end] = THINKING;
    let answer = match text.rsplit_once(end) {
        Some((_, answer)) => answer,
        None if form.thinking => return String::new(),
        None => text.as_str(),
    };
    let answer = answer
        .split_once(begin)
        .map_or(answer, |(before, _)| before);
    answer.to_owned()
}

/// Has a text appraised and the event felt; whatever fails on the way is told
/// and nothing else.
async fn felt(session: &Session, source: EventSource, text: String, turn: &Turn) {
    if text.trim().is_empty() {
        return;
    }
    let told = turn.lock().outcome_told || session.elpis().inner.told.is_told(session.id());
    let outcome = match appraised(session, source, text, told).await {
        Ok(None) => "nothing",
        Ok(Some(event)) => match felt_within(session, event, source, turn.left()).await {
            Ok(Some((event, applied))) => {
                turn.felt(&event, applied.way());
                "felt"
            }
            Ok(None) => "limited",
            Err(error) => {
                failed(session, source, "refused", error.to_string());
                "refused"
            }
        },
        Err(error) => {
            failed(session, source, error.kind(), error.to_string());
            error.kind()
        }
    };
    telemetry::appraisal(source, outcome);
}

/// Has an event felt within a bound; `None` if the bound leaves nothing of it.
async fn felt_within(
    session: &Session,
    event: EmotionEvent,
    source: EventSource,
    bound: f64,
) -> Result<Option<(EmotionEvent, AppliedEvent)>, Error> {
    let event = session.elpis().settings().emotion.declared(event)?;
    let feeling = Feeling {
        event: event.clone(),
        source,
        bound: Some(bound),
    };
    let emotion = &session.elpis().inner.emotion;
    let applied = emotion.feel_bounded(session.id(), &feeling).await?;
    Ok(applied.map(|applied| (event, applied)))
}

async fn appraised(
    session: &Session,
    source: EventSource,
    text: String,
    outcome_told: bool,
) -> Result<Option<EmotionEvent>, AppraisalError> {
    let appraiser = Arc::clone(&session.elpis().inner.appraiser);
    let text = AppraisedText {
        session: session.unheard(),
        source,
        text,
        outcome_told,
    };
    // A task of its own, so that a panic stays in it.
    let mut work = tokio::spawn(async move { appraiser.appraise(text).await });
    match tokio::time::timeout(TIME_LIMIT, &mut work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(AppraisalError::Panicked),
        Err(_) => {
            work.abort();
            Err(AppraisalError::TimedOut {
                seconds: TIME_LIMIT.as_secs_f64(),
            })
        }
    }
}

fn failed(session: &Session, source: EventSource, kind: &'static str, reason: String) {
    tracing::warn!(session = %session.id(), source = source.as_str(), reason, "appraisal failed; text ignored");
    session
        .elpis()
        .inner
        .wiring
        .bus
        .publish(Event::AppraisalFailed {
            session: session.id().clone(),
            source,
            kind,
            reason,
        });
}

/// A name for the generations of appraisers, which belong to no conversation.
pub(super) fn own_session() -> Result<SessionId, Error> {
    Ok(SessionId::new("elpis.appraiser")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{ToolFormat, ToolParser};

    #[test]
    fn a_sentence_that_was_cut_off_is_not_read() {
        for (reply, read) in [
            ("It works. I am happ", "It works."),
            ("Really? Oh\u{2026} well", "Really? Oh\u{2026}"),
            ("It works.", "It works."),
            ("It wor", "It wor"),
            ("", ""),
        ] {
            assert_eq!(whole_sentences(reply.to_owned()), read);
        }
    }

    #[test]
    fn neither_thinking_nor_calls_are_read_whether_they_end_or_not() {
        let read = |reply: &str, thinking, tools: bool| {
            let parser =
                || ReplyReader::Calls(Box::new(ToolParser::new(ToolFormat::Hermes, 1, thinking)));
            let form = ReplyForm {
                reader: tools.then(parser),
                thinking,
                read: true,
            };
            prose(reply.to_owned(), form)
        };
        for tools in [false, true] {
            for (reply, thinking, text) in [
                ("It works.", false, "It works."),
                ("<think>Bad.</think>It works.", false, "It works."),
                ("Bad, wrong.</think>It works.", true, "It works."),
                ("Bad, wrong, failed", true, ""),
                ("<think>Bad, wrong", false, ""),
                ("\n<think>Bad", true, ""),
                ("Bad.</think>It works. <think>Wrong", true, "It works. "),
            ] {
                assert_eq!(read(reply, thinking, tools), text, "{reply:?}");
            }
        }
        let call =
            "Bad.</think>I look.<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
        assert_eq!(read(call, true, true), "I look.");
    }
}
