//! The interface of appraisers, which read feelings from texts.

use std::sync::Arc;

use thiserror::Error;

use crate::appraisal::{ExpressedAppraiser, LexicalAppraiser, ReferenceAppraiser};
use crate::emotion::{AppraiserChoice, EmotionConfig, EmotionEvent};
use crate::error::Error;
use crate::event::EventSource;
use crate::runtime::interface::BoxFuture;
use crate::runtime::session::Session;
use crate::steering::Expressed;

/// A text to be appraised.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AppraisedText {
    /// The session that receives the event. Replies generated through this handle are not appraised
    /// themselves.
    pub session: Session,
    /// Origin of the text: [`EventSource::Reply`] or [`EventSource::Message`].
    pub source: EventSource,
    /// The text. A reply comes without the model's thinking, its tool calls and a last sentence
    /// that was cut off.
    pub text: String,
    /// Whether the session already knows the outcome of its task: the program reported it
    /// ([`Session::record_tool_call`], or [`Session::feel`] with an outcome), the reply answers a
    /// tool's result, or the message of this turn was appraised as an outcome. Reading the outcome
    /// from this text as well would apply it twice.
    pub outcome_reported: bool,
    /// What a reply expressed in the model's residual stream, if it was read.
    pub expressed: Option<Expressed>,
}

/// The reason why a text was not appraised.
#[derive(Debug, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum AppraisalError {
    /// The model's generation failed.
    #[error("the model could not be asked: {0}")]
    Engine(#[from] Error),
    /// The model's answer is not among the allowed ones.
    #[error("the model answered {answer:?}, which names no event")]
    Answer {
        /// The answer, cut to 64 characters.
        answer: String,
    },
    /// The appraisal took too long.
    #[error("the appraiser took longer than {seconds} s")]
    TimedOut {
        /// The limit, in seconds.
        seconds: f64,
    },
    /// The appraiser panicked.
    #[error("the appraiser panicked")]
    Panicked,
    /// A custom appraiser failed.
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
/// It runs as a separate task for at most 30 s. If it fails or panics, no event is applied,
/// [`Event::AppraisalFailed`](crate::Event::AppraisalFailed) gives the reason, and the conversation
/// continues.
pub trait Appraiser: Send + Sync {
    /// Returns the event that a text expresses, if any.
    ///
    /// # Errors
    /// [`AppraisalError`] if the text cannot be appraised.
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
        let event = if text.outcome_reported {
            self.appraise_feelings(&text.text, text.source)
        } else {
            Self::appraise(self, &text.text, text.source)
        };
        Box::pin(std::future::ready(Ok(event)))
    }
}

impl Appraiser for ExpressedAppraiser {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        match &text.expressed {
            Some(expressed) => {
                let event = Self::appraise(self, expressed);
                Box::pin(std::future::ready(Ok(event)))
            }
            None => Appraiser::appraise(self.words(), text),
        }
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
        AppraiserChoice::Expressed => Arc::new(ExpressedAppraiser::new(config)),
        AppraiserChoice::Reference => Arc::new(ReferenceAppraiser::new(config)),
    }
}
