//! Replies under a vector, and their figures compared to those of unsteered replies.

use std::sync::Arc;

use super::search::Outcome;
use super::{CalibrateOptions, Measured};
use crate::generate::{Reply, Speaker};
use crate::quality::spread;
use crate::skill::{Skill, kept};
use crate::{OnProgress, ProgressReporter, TrainingError};
use elpis_backend::{Backend, Token};
use elpis_inference::{ChatTemplate, repetition};
use elpis_steering::{ReadingAxes, SteeringPlan};

/// Minimum length of the replies, as a fraction of the unsteered ones'.
const MIN: f64 = 0.5;

pub(super) struct Bench<'a> {
    speaker: Speaker<'a>,
    options: &'a CalibrateOptions,
    prompts: Vec<Vec<Token>>,
    skill: Option<Skill>,
    progress: ProgressReporter<'a>,
    /// Figures of the unsteered replies.
    pub(super) plain: Figures,
    /// Share of the questions that are answered without steering.
    pub(super) answered: Option<f64>,
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
        template: &ChatTemplate,
        options: &'a CalibrateOptions,
        prompts: Vec<Vec<Token>>,
        on_progress: OnProgress<'a>,
    ) -> Result<Self, TrainingError> {
        let speaker = Speaker::new(backend, options.steer_prompts);
        let skill = if options.min_answers_kept > 0.0 {
            Some(Skill::new(&speaker, template)?)
        } else {
            None
        };
        Ok(Self {
            speaker,
            options,
            prompts,
            skill,
            progress: ProgressReporter::new(on_progress, 0),
            plain: Figures::default(),
            answered: None,
        })
    }

    /// Counts the steps of a number of emotions: the groups of replies at every strength, and those
    /// of the questions with known answers.
    pub(super) fn expect(&mut self, emotions: usize) {
        self.progress.progress.total = self.steps(1) + emotions * self.steps(self.options.tries);
    }

    fn steps(&self, tries: usize) -> usize {
        let width = self.speaker.width();
        let skill = self.skill.as_ref().map_or(0, Skill::steps);
        tries * self.prompts.len().div_ceil(width) + skill
    }

    /// Begins the emotion at an index.
    pub(super) fn begin(&mut self, index: usize) -> Result<(), TrainingError> {
        let done = self.steps(1) + index * self.steps(self.options.tries);
        // An emotion whose cap was lowered has taken more steps.
        self.progress.reach(done.max(self.progress.progress.done))
    }

    pub(super) fn tell(&mut self, stage: String) -> Result<(), TrainingError> {
        self.progress.begin(stage)
    }

    pub(super) fn finish(&mut self) -> Result<(), TrainingError> {
        self.progress.reach(usize::MAX)
    }

    /// The replies without a vector, whose figures the others' are compared to.
    pub(super) fn unsteered(&mut self) -> Result<Vec<Reply>, TrainingError> {
        self.tell("unsteered replies".to_owned())?;
        let replies = self.replies(None)?;
        (self.plain, _) = self.figures(&replies, None)?;
        if self.plain.empty == replies.len() {
            return Err(TrainingError::Silent);
        }
        self.answered = self.answers(None)?;
        Ok(replies)
    }

    fn replies(&mut self, plan: Option<&Arc<SteeringPlan>>) -> Result<Vec<Reply>, TrainingError> {
        let CalibrateOptions {
            max_tokens,
            sampling,
            ..
        } = self.options;
        self.speaker.replies(
            &self.prompts,
            plan,
            sampling,
            *max_tokens,
            &mut self.progress,
        )
    }

    fn answers(&mut self, plan: Option<&Arc<SteeringPlan>>) -> Result<Option<f64>, TrainingError> {
        let Some(skill) = &self.skill else {
            return Ok(None);
        };
        let answered = skill.answered(&mut self.speaker, plan, &mut self.progress)?;
        Ok(Some(answered))
    }

    /// Share of the known answers that is kept under a plan; `None` if the model knows too few.
    pub(super) fn answers_kept(
        &mut self,
        plan: &Arc<SteeringPlan>,
    ) -> Result<Option<f64>, TrainingError> {
        let Some(plain) = self.answered.filter(|plain| kept(*plain, 1.0).is_some()) else {
            return Ok(None);
        };
        let under = self.answers(Some(plan))?;
        Ok(under.and_then(|under| kept(plain, under)))
    }

    /// The projection of each reply on a plan's direction at its first layer, in the units of the
    /// stream.
    pub(super) fn along(
        &mut self,
        replies: &[Reply],
        plan: &SteeringPlan,
    ) -> Result<Vec<f64>, TrainingError> {
        Ok(self.figures(replies, Some(plan))?.1)
    }

    fn figures(
        &mut self,
        replies: &[Reply],
        plan: Option<&SteeringPlan>,
    ) -> Result<(Figures, Vec<f64>), TrainingError> {
        let axes = plan.and_then(direction);
        let judged = self
            .speaker
            .judge(replies, axes.as_ref(), &mut self.progress)?;
        let loss: f64 = judged.iter().map(|judged| judged.loss).sum();
        let count: usize = judged.iter().map(|judged| judged.count).sum();
        let along = judged.iter().filter_map(|judged| judged.projection);
        let along = along.map(|projection| f64::from(projection.valence));
        let spoken = || replies.iter().filter(|reply| !reply.tokens.is_empty());
        let repeated: f64 = spoken().map(|reply| repetition(&reply.tokens)).sum();
        let tokens: usize = replies.iter().map(|reply| reply.tokens.len()).sum();
        let figures = Figures {
            perplexity: (loss / count.max(1) as f64).exp(),
            repetition: repeated / spoken().count().max(1) as f64,
            length: tokens as f64 / replies.len().max(1) as f64,
            empty: replies.len() - spoken().count(),
        };
        Ok((figures, along.collect()))
    }

    /// The figures of replies under a plan. `plain` are the projections of unsteered ones.
    pub(super) fn measure(
        &mut self,
        strength: f64,
        plan: &Arc<SteeringPlan>,
        plain: &[f64],
    ) -> Result<Measured, TrainingError> {
        let replies = self.replies(Some(plan))?;
        let (found, along) = self.figures(&replies, Some(plan))?;
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
            answers_kept: None,
        })
    }

    /// What replies show of the bounds.
    pub(super) fn outcome(&self, measured: &Measured) -> Outcome {
        Outcome {
            holds: self.plain.allow(measured, self.options),
            share: measured.perplexity_ratio.ln() / self.options.max_perplexity_ratio.ln(),
        }
    }
}

/// An axis along a plan's direction at its first layer, to be read as valence.
fn direction(plan: &SteeringPlan) -> Option<Arc<ReadingAxes>> {
    let layer = plan.layers.first()?;
    let unit: Box<[f32]> = layer.values.iter().map(|&x| x / layer.norm).collect();
    let none = vec![0.0; unit.len()].into();
    Some(Arc::new(ReadingAxes::new(layer.layer, unit, none)))
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
            answers_kept: None,
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
                repetition: 0.13,
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
