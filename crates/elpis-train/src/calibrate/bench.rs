//! Replies under a vector, and their figures compared to those of unsteered replies.

use std::sync::Arc;

use super::{CalibrateOptions, Measured};
use crate::capture::projection;
use crate::generate::{Reply, loss, replies};
use crate::quality::spread;
use crate::random::random_plan;
use crate::{ProgressReporter, TrainingError};
use elpis_backend::{Backend, Token};
use elpis_inference::{SamplingParams, repetition};
use elpis_steering::{LibraryContext, SteeringPlan};

/// Number of random directions. A single one may by chance resemble a mood.
pub(super) const RANDOM_DRAWS: usize = 4;
/// Minimum length of the replies, as a fraction of the unsteered ones'.
const MIN: f64 = 0.5;

pub(super) struct Bench<'a> {
    backend: &'a mut dyn Backend,
    options: &'a CalibrateOptions,
    prompts: Vec<Vec<Token>>,
    pub(super) progress: ProgressReporter<'a>,
    /// Figures of the unsteered replies.
    pub(super) plain: Figures,
}

/// Figures of a set of replies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) perplexity: f64,
    pub(super) repetition: f64,
    /// Mean length in tokens.
    pub(super) length: f64,
    empty: usize,
}

impl Figures {
    /// Whether replies are within the bounds relative to unsteered ones. Empty replies have no
    /// repetition and may be likely, but are nevertheless a degradation.
    fn allow(&self, measured: &Measured, options: &CalibrateOptions) -> bool {
        measured.perplexity_ratio <= options.max_perplexity_ratio
            && measured.repetition <= self.repetition + options.max_added_repetition
            && measured.empty <= self.empty
            && measured.length >= MIN * self.length
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        backend: &'a mut dyn Backend,
        options: &'a CalibrateOptions,
        prompts: Vec<Vec<Token>>,
        progress: ProgressReporter<'a>,
    ) -> Self {
        Self {
            backend,
            options,
            prompts,
            progress,
            plain: Figures::default(),
        }
    }

    /// The replies without a vector, whose figures the others' are compared to.
    pub(super) fn unsteered(&mut self) -> Result<Vec<Reply>, TrainingError> {
        self.progress.begin("unsteered replies")?;
        let replies = self.replies(None)?;
        self.plain = self.figures(&replies)?;
        if self.plain.empty == replies.len() {
            return Err(TrainingError::Silent);
        }
        Ok(replies)
    }

    pub(super) fn replies(
        &mut self,
        plan: Option<&Arc<SteeringPlan>>,
    ) -> Result<Vec<Reply>, TrainingError> {
        let prompts = std::mem::take(&mut self.prompts);
        let replies = self.replies_to(&prompts, plan, 0);
        self.prompts = prompts;
        replies
    }

    pub(super) fn replies_to(
        &mut self,
        prompts: &[Vec<Token>],
        plan: Option<&Arc<SteeringPlan>>,
        first: usize,
    ) -> Result<Vec<Reply>, TrainingError> {
        let limit = self.options.max_tokens.max(1);
        let sampling = SamplingParams {
            seed: self.options.sampling.seed.wrapping_add(first as u64),
            ..self.options.sampling
        };
        let progress = &mut self.progress;
        replies(self.backend, prompts, plan, &sampling, limit, progress)
    }

    /// The replies after a line about the mood, without a vector.
    pub(super) fn mood_line(
        &mut self,
        emotion: &str,
        prompts: &[Vec<Token>],
        plan: &SteeringPlan,
        plain: &[f64],
    ) -> Result<Measured, TrainingError> {
        self.progress
            .begin(format!("{emotion}: a line in the prompt"))?;
        let spoken = self.replies_to(prompts, None, 0)?;
        let judged = self.as_if_plain(spoken);
        self.measure(0.0, &judged, plain, plan)
    }

    /// The same replies, as if they had been given to the plain prompts.
    fn as_if_plain(&self, replies: Vec<Reply>) -> Vec<Reply> {
        let plain = self.prompts.iter().cloned();
        replies
            .into_iter()
            .zip(plain)
            .map(|(reply, prompt)| Reply { prompt, ..reply })
            .collect()
    }

    /// The projection of each reply on a plan's direction.
    pub(super) fn along(
        &mut self,
        replies: &[Reply],
        plan: &SteeringPlan,
    ) -> Result<Vec<f64>, TrainingError> {
        let mut found = Vec::with_capacity(replies.len());
        for reply in replies.iter().filter(|reply| !reply.tokens.is_empty()) {
            let tokens = [&reply.prompt[..], &reply.tokens].concat();
            found.push(projection(self.backend, &tokens, reply.prompt.len(), plan)?);
            self.progress.look()?;
        }
        Ok(found)
    }

    fn figures(&mut self, replies: &[Reply]) -> Result<Figures, TrainingError> {
        let (loss, count) = loss(self.backend, replies, &mut self.progress)?;
        let spoken = || replies.iter().filter(|reply| !reply.tokens.is_empty());
        let repeated: f64 = spoken().map(|reply| repetition(&reply.tokens)).sum();
        let tokens: usize = replies.iter().map(|reply| reply.tokens.len()).sum();
        Ok(Figures {
            perplexity: (loss / count.max(1) as f64).exp(),
            repetition: repeated / spoken().count().max(1) as f64,
            length: tokens as f64 / replies.len().max(1) as f64,
            empty: replies.len() - spoken().count(),
        })
    }

    pub(super) fn measure(
        &mut self,
        strength: f64,
        replies: &[Reply],
        plain: &[f64],
        plan: &SteeringPlan,
    ) -> Result<Measured, TrainingError> {
        let found = self.figures(replies)?;
        let along = self.along(replies, plan)?;
        let (mean, deviation) = spread(plain);
        let moved = if along.is_empty() {
            mean
        } else {
            spread(&along).0
        };
        Ok(Measured {
            strength,
            perplexity_ratio: found.perplexity / self.plain.perplexity,
            repetition: found.repetition,
            length: found.length,
            empty: found.empty,
            shift: (moved - mean) / deviation.max(f64::MIN_POSITIVE),
        })
    }

    /// Whether replies stay within the bounds.
    pub(super) fn holds(&self, measured: &Measured) -> bool {
        self.plain.allow(measured, self.options)
    }

    /// The replies under random vectors with the norms of a plan.
    pub(super) fn random(
        &mut self,
        strength: f64,
        plan: &SteeringPlan,
        plain: &[f64],
        context: &LibraryContext,
    ) -> Result<Measured, TrainingError> {
        let prompts = self.prompts.clone();
        let part = prompts.len().div_ceil(RANDOM_DRAWS).max(1);
        let mut all = Vec::new();
        for (draw, prompts) in prompts.chunks(part).enumerate() {
            let random = random_plan(plan, draw as u64, context, self.options.blend)?;
            all.extend(self.replies_to(prompts, random.as_ref(), draw * part)?);
        }
        self.measure(strength, &all, plain, plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_or_missing_replies_are_no_good_ones() {
        let plain = Figures {
            perplexity: 4.0,
            repetition: 0.02,
            length: 20.0,
            empty: 1,
        };
        let good = Measured {
            strength: 1.0,
            perplexity_ratio: 1.0,
            repetition: 0.0,
            length: 10.0,
            empty: 1,
            shift: 2.0,
        };
        let options = CalibrateOptions::default();
        assert!(plain.allow(&good, &options));
        for bad in [
            Measured {
                length: 9.9,
                ..good
            },
            Measured { empty: 2, ..good },
            Measured {
                repetition: 0.08,
                ..good
            },
            Measured {
                perplexity_ratio: 1.6,
                ..good
            },
            Measured {
                perplexity_ratio: f64::NAN,
                ..good
            },
        ] {
            assert!(!plain.allow(&bad, &options), "{bad:?}");
        }
    }
}
