//! Options of an evaluation.

use super::questions::PROMPTS;
use crate::error::TrainingError;
use elpis_inference::SamplingParams;
use elpis_steering::BlendOptions;

/// Options of an evaluation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// Number of prompts, at most [`MAX_PROMPTS`](Self::MAX_PROMPTS).
    pub prompts: usize,
    /// Number of replies to each prompt.
    pub repeats: usize,
    /// Maximum number of tokens of a reply.
    pub max_tokens: usize,
    /// The strengths of the dose–response curve, ascending; the last is the full mood.
    pub strengths: Vec<f64>,
    /// Whether the questions with known answers are asked.
    pub skill: bool,
    /// Sampling of the replies.
    pub sampling: SamplingParams,
    /// Whether prompts are steered as their replies are.
    pub steer_prompts: bool,
    /// Limits of the added vectors.
    pub blend: BlendOptions,
}

impl EvaluateOptions {
    /// Number of prompts that there are.
    pub const MAX_PROMPTS: usize = PROMPTS.len();

    /// Refuses options that evaluate nothing.
    pub(super) fn check(&self) -> Result<(), TrainingError> {
        let refuse = |field, value: String, limit: String| {
            Err(TrainingError::Limit {
                field,
                value,
                limit,
            })
        };
        let most = Self::MAX_PROMPTS;
        if !(1..=most).contains(&self.prompts) {
            let limit = format!("from 1 to {most}");
            return refuse("prompts", self.prompts.to_string(), limit);
        }
        for (field, value) in [("repeats", self.repeats), ("max_tokens", self.max_tokens)] {
            if value == 0 {
                return refuse(field, "0".to_owned(), "at least 1".to_owned());
            }
        }
        let strengths = &self.strengths;
        let sound = |strength: &f64| *strength > 0.0 && strength.is_finite();
        if strengths.is_empty() || !strengths.iter().all(sound) || !strengths.is_sorted() {
            let limit = "at least one, above 0 and ascending".to_owned();
            return refuse("strengths", format!("{strengths:?}"), limit);
        }
        Ok(())
    }
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            prompts: Self::MAX_PROMPTS,
            repeats: 1,
            max_tokens: 48,
            strengths: vec![0.25, 0.5, 0.75, 1.0],
            skill: true,
            sampling: SamplingParams {
                temperature: 0.8,
                top_p: 0.95,
                seed: 1,
                ..SamplingParams::default()
            },
            steer_prompts: true,
            blend: BlendOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_evaluate_nothing_are_refused() {
        let with = |change: fn(&mut EvaluateOptions)| {
            let mut options = EvaluateOptions::default();
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| ()), Ok(()));
        for (change, field) in [
            (
                (|o| o.prompts = 0) as fn(&mut EvaluateOptions),
                "prompts is 0",
            ),
            (|o| o.prompts = 25, "prompts is 25"),
            (|o| o.repeats = 0, "repeats is 0"),
            (|o| o.max_tokens = 0, "max_tokens is 0"),
            (|o| o.strengths.clear(), "strengths is []"),
            (|o| o.strengths = vec![1.0, 0.5], "strengths is [1.0, 0.5]"),
            (|o| o.strengths = vec![f64::NAN], "strengths is [NaN]"),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
}
