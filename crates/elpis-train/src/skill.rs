//! Skill: how many questions with known answers a model still answers under a vector.
//!
//! A reply is begun, and the model chooses among four answers by their likelihood, as benchmarks of
//! knowledge have it. A mood may change how an answer is told; what is counted is whether it is
//! still known.

mod questions;

use std::sync::Arc;

use super::ProgressReporter;
use super::capture::render;
use super::error::TrainingError;
use super::generate::{Speaker, negative_log_likelihood};
use elpis_backend::{Batch, Token};
use elpis_inference::{ChatMessage, ChatTemplate};
use elpis_steering::SteeringPlan;
use questions::QUESTIONS;

/// The questions in tokens.
pub(super) struct Skill {
    asked: Vec<Asked>,
}

struct Asked {
    prompt: Vec<Token>,
    /// The reply up to its answer.
    reply: Vec<Token>,
    /// The answers, the right one first.
    answers: Vec<Vec<Token>>,
}

impl Skill {
    pub(super) fn new(
        speaker: &Speaker<'_>,
        template: &ChatTemplate,
    ) -> Result<Self, TrainingError> {
        let tokenizer = speaker.backend.tokenizer();
        let asked = QUESTIONS.iter().map(|asked| {
            let prompt = render(template, &[ChatMessage::user(asked.text)])?;
            let answers = asked.answers.iter();
            let answers =
                answers.map(|answer| tokenizer.encode_part(&format!(" {answer}"), false, false));
            Ok(Asked {
                prompt: tokenizer.encode(&prompt, true)?,
                reply: tokenizer.encode_part(asked.reply, false, false)?,
                answers: answers.collect::<Result<_, _>>()?,
            })
        });
        Ok(Self {
            asked: asked.collect::<Result<_, TrainingError>>()?,
        })
    }

    /// The steps of the progress.
    pub(super) fn steps(&self) -> usize {
        self.asked.len()
    }

    /// Share of the questions that are answered rightly under a plan.
    pub(super) fn answered(
        &self,
        speaker: &mut Speaker<'_>,
        plan: Option<&Arc<SteeringPlan>>,
        progress: &mut ProgressReporter<'_>,
    ) -> Result<f64, TrainingError> {
        let width = speaker.width();
        let mut right = 0;
        for (index, asked) in self.asked.iter().enumerate() {
            if asked.is_right(speaker, index % width, plan)? {
                right += 1;
            }
            progress.step()?;
        }
        Ok(f64::from(right) / self.asked.len().max(1) as f64)
    }
}

impl Asked {
    fn is_right(
        &self,
        speaker: &mut Speaker<'_>,
        sequence: usize,
        plan: Option<&Arc<SteeringPlan>>,
    ) -> Result<bool, TrainingError> {
        let row = self.begin(speaker, sequence, plan)?;
        let mut batch = Batch::default();
        let id = sequence as u32;
        let start = self.prompt.len() + self.reply.len();
        // The next batch replaces the logits of this row.
        let mut losses = Vec::with_capacity(self.answers.len());
        for answer in &self.answers {
            let first = answer.first().copied().unwrap_or_default();
            losses.push(negative_log_likelihood(speaker.backend.logits(row)?, first));
        }
        for (answer, loss) in self.answers.iter().zip(&mut losses) {
            for (place, pair) in answer.windows(2).enumerate() {
                let [token, target] = *pair else { continue };
                batch.clear();
                batch.push(id, (start + place) as u32, &[token], true, plan);
                speaker.backend.decode(&batch)?;
                *loss += negative_log_likelihood(speaker.backend.logits(0)?, target);
            }
            // Some models cannot return to the middle of a sequence.
            if answer.len() > 1 && speaker.backend.truncate(id, start as u32).is_err() {
                self.begin(speaker, sequence, plan)?;
            }
        }
        let right = losses.first().copied().unwrap_or(f64::INFINITY);
        Ok(losses.iter().skip(1).all(|wrong| right < *wrong))
    }

    /// Evaluates the prompt and the reply up to its answer, and returns the row whose logits predict
    /// the answer.
    fn begin(
        &self,
        speaker: &mut Speaker<'_>,
        sequence: usize,
        plan: Option<&Arc<SteeringPlan>>,
    ) -> Result<usize, TrainingError> {
        let mut batch = Batch::default();
        let row = speaker.enter(&mut batch, sequence, &self.prompt, plan)?;
        if self.reply.is_empty() {
            return Ok(row);
        }
        batch.clear();
        let start = self.prompt.len() as u32;
        batch.push(sequence as u32, start, &self.reply, true, plan);
        speaker.backend.decode(&batch)?;
        Ok(batch.len() - 1)
    }
}

/// Share of the questions that a model must answer for its answers to be compared; a quarter is
/// chance.
const FEW: f64 = 0.5;

/// How many answers are right under a vector, relative to those without one; `None` if the model
/// knows too few.
pub(super) fn kept(plain: f64, under: f64) -> Option<f64> {
    (plain >= FEW).then(|| under / plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_to_those_of_the_unsteered_model() {
        assert_eq!(kept(0.8, 0.4), Some(0.5));
        assert_eq!(kept(0.3, 0.3), None, "nothing but chance");
    }
}
