//! Calibration: finds how strongly each vector may be added.

mod bench;

use std::sync::Arc;

use bench::{Bench, Figures, RANDOM_DRAWS};

use super::capture::render;
use super::error::TrainingError;
use super::pairs::ContrastPairs;
use super::{OnProgress, ProgressReporter};
use elpis_backend::{Backend, ModelFacts, Token};
use elpis_inference::{ChatMessage, ChatTemplate, SamplingParams};
use elpis_steering::{BlendOptions, LibraryFile, SteeringLibrary};

/// Number of refinements between two steps of the ladder of strengths.
const REFINEMENTS: usize = 2;

/// Options of calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateOptions {
    /// Number of replies to each question.
    pub repeats: usize,
    /// Maximum number of tokens of a reply.
    pub max_tokens: usize,
    /// Maximum perplexity, as a multiple of the unsteered replies'.
    pub max_perplexity_ratio: f64,
    /// Maximum repetition beyond that of the unsteered replies.
    pub max_added_repetition: f64,
    /// Step of the strengths that are tried.
    pub step: f64,
    /// Largest strength that is tried.
    pub max_strength: f64,
    /// Sampling of the replies.
    pub sampling: SamplingParams,
    /// Limits of the added vectors.
    pub blend: BlendOptions,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        Self {
            repeats: 2,
            max_tokens: 48,
            max_perplexity_ratio: 1.5,
            max_added_repetition: 0.05,
            step: 0.25,
            max_strength: 2.0,
            sampling: SamplingParams {
                temperature: 0.7,
                top_p: 0.9,
                seed: 1,
                ..SamplingParams::default()
            },
            blend: BlendOptions {
                keep_caps: false,
                ..BlendOptions::default()
            },
        }
    }
}

/// Figures of the replies under one kind of influence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Factor on the vector; 0 where no vector was added.
    pub strength: f64,
    /// Perplexity under the unsteered model, as a multiple of the unsteered
    /// replies'.
    pub perplexity_ratio: f64,
    /// Fraction of sequences of four tokens that occurred before.
    pub repetition: f64,
    /// Mean length of the replies, in tokens.
    pub length: f64,
    /// Number of empty replies.
    pub empty: usize,
    /// Projection of the text on the vector when the unsteered model reads it, in standard
    /// deviations of the unsteered replies; 0 without any text.
    pub shift: f64,
}

/// The figures of one emotion.
#[derive(Debug, Clone, PartialEq)]
pub struct EmotionCalibration {
    /// The emotion.
    pub emotion: String,
    /// The largest strength within the bounds; 0 if none is.
    pub cap: f64,
    /// The vector at the cap.
    pub vector: Measured,
    /// A random vector of the same norm.
    pub random: Measured,
    /// A line about the mood in the prompt, without a vector.
    pub mood_line: Option<Measured>,
    /// Every strength that was tried.
    pub tried: Vec<Measured>,
}

/// The result of calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Perplexity of the unsteered replies.
    pub perplexity: f64,
    /// Repetition of the unsteered replies.
    pub repetition: f64,
    /// Mean length of the unsteered replies, in tokens.
    pub length: f64,
    /// The emotions, in the order of their names.
    pub emotions: Vec<EmotionCalibration>,
}

/// For each emotion of a library, finds the largest strength whose text stays within the bounds of
/// perplexity and repetition, and whose replies are not shortened: no more of them may be empty
/// than without a vector, and they must be at least half as long. Caps in the library's manifest
/// are ignored, except that an emotion with a cap of 0 is skipped.
///
/// # Errors
/// [`TrainingError`].
pub fn calibrate(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    files: Vec<LibraryFile>,
    context: &elpis_steering::LibraryContext,
    pairs: &ContrastPairs,
    options: &CalibrateOptions,
    on_progress: OnProgress<'_>,
) -> Result<Calibration, TrainingError> {
    check(options)?;
    let library = SteeringLibrary::build(files, context)?;
    let emotions: Vec<(String, f64)> = library
        .emotions()
        .filter(|emotion| emotion.cap > 0.0)
        .map(|emotion| (emotion.name.clone(), emotion.cap))
        .collect();
    if emotions.is_empty() {
        return Err(TrainingError::NoVectors);
    }
    let tokenizer = backend.tokenizer();
    let prompt = |messages: &[ChatMessage]| -> Result<Vec<Token>, TrainingError> {
        Ok(tokenizer.encode(&render(template, messages)?, true)?)
    };
    let questions = || {
        let all = pairs.questions.iter();
        std::iter::repeat_n(all, options.repeats.max(1)).flatten()
    };
    let plain = questions()
        .map(|question| prompt(&[ChatMessage::user(question)]))
        .collect::<Result<Vec<_>, _>>()?;
    let lined = |emotion: &str| {
        let line = pairs.pairs.iter().find(|pair| pair.emotion == emotion);
        let line = line.map(|pair| pair.positive.as_str());
        line.map(|line| questions().map(|question| with_line(line, question, prompt)))
            .map(Iterator::collect::<Result<Vec<_>, _>>)
            .transpose()
    };
    fit(backend.facts(), &plain, "a question", options)?;
    for (emotion, _) in &emotions {
        let what = format!("the first sentence of {emotion} before a question");
        let prompts = lined(emotion)?.unwrap_or_default();
        fit(backend.facts(), &prompts, &what, options)?;
    }

    let width = backend.facts().n_sequences.max(1) as usize;
    let groups = plain.len().div_ceil(width);
    let of_emotion = groups_of_emotion(options, plain.len(), width);
    let progress = ProgressReporter::new(on_progress, groups + emotions.len() * of_emotion);
    let mut bench = Bench::new(backend, options, plain, progress);
    let unsteered = bench.unsteered()?;
    let mut found = Vec::new();
    for (index, (emotion, cap)) in emotions.into_iter().enumerate() {
        let plan = |strength: f64| {
            let coefficients = [(emotion.as_str(), strength / cap)].into_iter();
            library.blend(coefficients, &options.blend).map(Arc::new)
        };
        bench.progress.reach(groups + index * of_emotion)?;
        // The direction is the same at every strength.
        let Some(unit) = plan(options.step) else {
            continue;
        };
        let plain = bench.along(&unsteered, &unit)?;
        let mut tried = Vec::new();
        let within = |strength: f64, tried: &mut Vec<Measured>, bench: &mut Bench<'_>| {
            bench
                .progress
                .begin(format!("{emotion} at {strength:.2}"))?;
            let Some(plan) = plan(strength) else {
                return Ok(false);
            };
            let replies = bench.replies(Some(&plan))?;
            let measured = bench.measure(strength, &replies, &plain, &plan)?;
            tried.push(measured);
            Ok::<_, TrainingError>(bench.holds(&measured))
        };
        let cap = search(options, |strength| within(strength, &mut tried, &mut bench))?;
        let best = if cap > 0.0 { cap } else { options.step };
        let vector = tried.iter().find(|m| (m.strength - best).abs() < 1e-9);
        let (Some(best_plan), Some(&vector)) = (plan(best), vector) else {
            continue;
        };
        bench.progress.begin(format!("{emotion}: random vectors"))?;
        let random = bench.random(best, &best_plan, &plain, context)?;
        let mood_line = lined(&emotion)?
            .map(|prompts| bench.mood_line(&emotion, &prompts, &best_plan, &plain))
            .transpose()?;
        found.push(EmotionCalibration {
            emotion,
            cap,
            vector,
            random,
            mood_line,
            tried,
        });
    }
    bench.progress.reach(usize::MAX)?;
    let Figures {
        perplexity,
        repetition,
        length,
        ..
    } = bench.plain;
    Ok(Calibration {
        perplexity,
        repetition,
        length,
        emotions: found,
    })
}

/// A question after a line about the mood, which is the system message, or the user's first line if
/// the template has no system messages.
fn with_line(
    line: &str,
    question: &str,
    prompt: impl Fn(&[ChatMessage]) -> Result<Vec<Token>, TrainingError>,
) -> Result<Vec<Token>, TrainingError> {
    prompt(&[ChatMessage::system(line), ChatMessage::user(question)])
        .or_else(|_| prompt(&[ChatMessage::user(format!("{line} {question}"))]))
}

fn check(options: &CalibrateOptions) -> Result<(), TrainingError> {
    let refuse = |field, value: f64, limit: &str| {
        Err(TrainingError::Limit {
            field,
            value: value.to_string(),
            limit: limit.to_owned(),
        })
    };
    let in_range = |value: f64, least: f64, most: f64| value >= least && value <= most;
    if !in_range(options.max_perplexity_ratio, 1.0, 100.0) {
        let value = options.max_perplexity_ratio;
        return refuse("max_perplexity_ratio", value, "from 1 to 100");
    }
    if !in_range(options.max_added_repetition, 0.0, 1.0) {
        let value = options.max_added_repetition;
        return refuse("max_added_repetition", value, "from 0 to 1");
    }
    if !in_range(options.step, 0.01, 10.0) {
        return refuse("step", options.step, "from 0.01 to 10");
    }
    if !in_range(options.max_strength, options.step, 100.0) {
        let limit = "at least one step and at most 100";
        return refuse("max_strength", options.max_strength, limit);
    }
    Ok(())
}

/// Refuses prompts that leave no room for a reply in one evaluation, because a reply's projection
/// on a vector is read from prompt and reply together.
fn fit(
    facts: &ModelFacts,
    prompts: &[Vec<Token>],
    what: &str,
    options: &CalibrateOptions,
) -> Result<(), TrainingError> {
    let tokens = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let limit = facts.batch_size.min(facts.context_length as usize);
    let limit = limit.saturating_sub(options.max_tokens.max(1));
    if tokens > limit {
        let what = format!("{what}, with a reply of {} tokens,", options.max_tokens);
        return Err(TrainingError::TooLong {
            what,
            tokens,
            limit,
        });
    }
    Ok(())
}

/// Maximum number of groups of replies for one emotion, which are the steps of the progress: those
/// at every strength, of the mood line and of random vectors.
fn groups_of_emotion(options: &CalibrateOptions, prompts: usize, width: usize) -> usize {
    let part = prompts.div_ceil(RANDOM_DRAWS).max(1);
    let random = prompts.div_ceil(part) * part.div_ceil(width);
    (steps(options) + REFINEMENTS + 1) * prompts.div_ceil(width) + random
}

/// Number of steps of the ladder of strengths.
fn steps(options: &CalibrateOptions) -> usize {
    (options.max_strength / options.step + 1e-9).floor() as usize
}

/// Climbs until a strength fails, then halves the last step.
fn search(
    options: &CalibrateOptions,
    mut within: impl FnMut(f64) -> Result<bool, TrainingError>,
) -> Result<f64, TrainingError> {
    let (mut good, mut bad) = (0.0, None);
    for step in 1..=steps(options) {
        let strength = step as f64 * options.step;
        if within(strength)? {
            good = strength;
        } else {
            bad = Some(strength);
            break;
        }
    }
    if let Some(mut bad) = bad {
        for _ in 0..REFINEMENTS {
            let middle = f64::midpoint(good, bad);
            if within(middle)? {
                good = middle;
            } else {
                bad = middle;
            }
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_below_the_first_strength_that_fails() {
        let options = CalibrateOptions::default();
        for (limit, found) in [(0.6, 0.5625), (0.0, 0.0), (0.24, 0.1875), (9.0, 2.0)] {
            let cap = search(&options, |strength| Ok(strength <= limit)).unwrap();
            assert!((cap - found).abs() < 1e-12, "{limit}: {cap}");
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let options = CalibrateOptions {
            step: 0.0,
            ..CalibrateOptions::default()
        };
        let error = check(&options).unwrap_err();
        assert!(error.to_string().contains("step is 0"), "{error}");
    }
}
