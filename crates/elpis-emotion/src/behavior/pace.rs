//! A session's usual generation speed, in seconds per token.

use crate::error::EmotionError;

/// Number of earlier generations after which a pace is known.
const KNOWN_FROM: u32 = 3;

/// The weight of earlier measurements after another generation.
const KEPT: f64 = 0.8;

/// The duration and length of a finished generation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GenerationTime {
    /// Tokens of the prompt that were evaluated; those from the cache do not count.
    pub prompt_tokens: u32,
    /// Seconds from the slot to the first token.
    pub prompt_seconds: f64,
    /// Tokens of the reply.
    pub reply_tokens: u32,
    /// Seconds from the first token to the end.
    pub reply_seconds: f64,
}

impl GenerationTime {
    /// Seconds in the slot.
    pub fn seconds(&self) -> f64 {
        self.prompt_seconds + self.reply_seconds
    }

    pub(super) fn check(&self) -> Result<(), EmotionError> {
        for (field, value) in [
            ("prompt_seconds", self.prompt_seconds),
            ("reply_seconds", self.reply_seconds),
        ] {
            if !value.is_finite() || value < 0.0 {
                return Err(EmotionError::OutOfRange {
                    field,
                    value,
                    limit: "finite and not negative".into(),
                });
            }
        }
        Ok(())
    }
}

/// The pace of earlier generations; the latest count most.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pace {
    generations: u32,
    prompt: Rate,
    reply: Rate,
}

/// Seconds for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rate {
    seconds: f64,
    tokens: f64,
}

impl Rate {
    fn note(&mut self, seconds: f64, tokens: u32) {
        self.seconds = KEPT * self.seconds + seconds;
        self.tokens = KEPT * self.tokens + f64::from(tokens);
    }

    fn expected(&self, tokens: u32) -> f64 {
        if self.tokens > 0.0 {
            self.seconds / self.tokens * f64::from(tokens)
        } else {
            0.0
        }
    }
}

impl Pace {
    /// The seconds that a generation would have taken at this pace, if the pace is known.
    pub fn expected(&self, took: &GenerationTime) -> Option<f64> {
        let known = self.generations >= KNOWN_FROM;
        let prompt = self.prompt.expected(took.prompt_tokens);
        known.then(|| prompt + self.reply.expected(took.reply_tokens))
    }

    pub fn note(&mut self, took: &GenerationTime) {
        self.generations = self.generations.saturating_add(1);
        self.prompt.note(took.prompt_seconds, took.prompt_tokens);
        self.reply.note(took.reply_seconds, took.reply_tokens);
    }
}
