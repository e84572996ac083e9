//! What reads feelings from texts.

use std::sync::Arc;

use thiserror::Error;

use crate::appraisal::{LexicalAppraiser, ReferenceAppraiser};
use crate::emotion::{AppraiserChoice, EmotionConfig, EmotionEvent};
use crate::error::Error;
use crate::event::EventSource;
use crate::runtime::interface::BoxFuture;
use crate::runtime::session::Session;

/// A text to be read for feelings.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
#[derive(Debug, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Reads feelings from texts.
///
/// It runs as a task of its own, for at most 30 s; if it fails or panics,
/// nothing is felt, [`Event::AppraisalFailed`](crate::Event::AppraisalFailed) tells why, and the
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
pub(in crate::runtime) fn chosen(config: &EmotionConfig) -> Arc<dyn Appraiser> {
    match config.appraiser {
        AppraiserChoice::Lexicon => Arc::new(LexicalAppraiser::new(config)),
        AppraiserChoice::Reference => Arc::new(ReferenceAppraiser::new(config)),
    }
}
