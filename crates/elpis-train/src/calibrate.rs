//! Calibration: finds how strongly each vector may be added.

mod bench;
mod search;

use std::sync::Arc;

use bench::{Bench, Figures};
use search::{FIRST, MIN_STRENGTH, search};

use super::OnProgress;
use super::capture::render;
use super::error::TrainingError;
use super::pairs::ContrastPairs;
use elpis_backend::{Backend, ModelFacts, Token};
use elpis_inference::{ChatMessage, ChatTemplate, SamplingParams};
use elpis_steering::{BlendOptions, LibraryFile, SteeringLibrary, SteeringPlan};

/// The least and the most that is left of a strength when too many known answers are lost.
const FEWER_ANSWERS: (f64, f64) = (0.5, 0.9);

/// Options of calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateOptions {
    /// Number of replies to each question.
    pub repeats: usize,
    /// Maximum number of tokens of a reply.
    pub max_tokens: usize,
    /// Maximum perplexity, as a multiple of the unsteered replies'.
    pub max_perplexity_ratio: f64,
    /// Maximum repetition beyond that of the unsteered replies. A single reply that loops adds
    /// about 0.05 to the mean of a dozen.
    pub max_added_repetition: f64,
    /// Minimum share of the known answers that is kept, of those that the unsteered model gives; 0
    /// asks nothing.
    pub min_answers_kept: f64,
    /// Maximum number of strengths at which an emotion's replies are generated.
    pub tries: usize,
    /// Largest strength that is tried.
    pub max_strength: f64,
    /// Sampling of the replies.
    pub sampling: SamplingParams,
    /// Whether prompts are steered as their replies are.
    pub steer_prompts: bool,
    /// Limits of the added vectors.
    pub blend: BlendOptions,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        Self {
            repeats: 1,
            max_tokens: 40,
            max_perplexity_ratio: 1.45,
            max_added_repetition: 0.1,
            min_answers_kept: 0.9,
            tries: 4,
            max_strength: 2.0,
            sampling: SamplingParams {
                temperature: 0.7,
                top_p: 0.9,
                seed: 1,
                ..SamplingParams::default()
            },
            steer_prompts: true,
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
    /// Share of the known answers that is kept, of those that the unsteered model gives; `None` if
    /// they were not asked for at this strength, or the model knows too few.
    pub answers_kept: Option<f64>,
}

/// The figures of one emotion.
#[derive(Debug, Clone, PartialEq)]
pub struct EmotionCalibration {
    /// The emotion.
    pub emotion: String,
    /// The largest strength within the bounds; 0 if none is.
    pub cap: f64,
    /// The vector at the cap, or at the smallest strength that was tried.
    pub vector: Measured,
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
    /// Share of the questions with known answers that the unsteered model answers; `None` if they
    /// were not asked.
    pub answered: Option<f64>,
    /// The emotions, in the order of their names.
    pub emotions: Vec<EmotionCalibration>,
}

/// For each emotion of a library, finds the largest strength whose text stays within the bounds of
/// perplexity and repetition, whose replies are not shortened (no more of them may be empty than
/// without a vector, and they must be at least half as long), and under which known answers are
/// still given. Caps in the library's manifest are ignored, except that an emotion with a cap of 0
/// is skipped.
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
    fit(backend.facts(), &plain, "a question", options)?;

    let mut bench = Bench::new(backend, template, options, plain, on_progress)?;
    bench.expect(emotions.len());
    let unsteered = bench.unsteered()?;
    let mut found = Vec::new();
    for (index, (emotion, cap)) in emotions.into_iter().enumerate() {
        let plan = |strength: f64| {
            let coefficients = [(emotion.as_str(), strength / cap)].into_iter();
            library.blend(coefficients, &options.blend).map(Arc::new)
        };
        bench.begin(index)?;
        // The direction is the same at every strength.
        let Some(unit) = plan(FIRST.min(options.max_strength)) else {
            continue;
        };
        let plain = bench.along(&unsteered, &unit)?;
        found.extend(of_emotion(&mut bench, options, &emotion, &plain, plan)?);
    }
    bench.finish()?;
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
        answered: bench.answered,
        emotions: found,
    })
}

/// Calibrates an emotion; `None` if its vector adds nothing.
fn of_emotion(
    bench: &mut Bench<'_>,
    options: &CalibrateOptions,
    emotion: &str,
    plain: &[f64],
    plan: impl Fn(f64) -> Option<Arc<SteeringPlan>>,
) -> Result<Option<EmotionCalibration>, TrainingError> {
    let mut tried = Vec::new();
    let mut cap = search(options, |strength| {
        bench.tell(format!("{emotion} at {strength:.2}"))?;
        let Some(plan) = plan(strength) else {
            return Ok(None);
        };
        let measured = bench.measure(strength, &plan, plain)?;
        tried.push(measured);
        Ok(Some(bench.outcome(&measured)))
    })?;
    tried.sort_by(|a, b| a.strength.total_cmp(&b.strength));
    let mut vector = tried.iter().find(|tried| tried.strength >= cap).copied();
    while let (true, Some(plan)) = (cap > 0.0, plan(cap)) {
        bench.tell(format!("{emotion} at {cap:.2}: known answers"))?;
        if vector.is_none_or(|vector| vector.strength > cap) {
            vector = Some(bench.measure(cap, &plan, plain)?);
            tried.extend(vector);
        }
        let kept = bench.answers_kept(&plan)?;
        if let Some(vector) = &mut vector {
            vector.answers_kept = kept;
        }
        let Some(kept) = kept.filter(|kept| *kept < options.min_answers_kept) else {
            break;
        };
        let (least, most) = FEWER_ANSWERS;
        cap *= (kept / options.min_answers_kept).clamp(least, most);
        if cap < MIN_STRENGTH {
            cap = 0.0;
        }
    }
    Ok(vector.map(|vector| EmotionCalibration {
        emotion: emotion.to_owned(),
        cap,
        vector,
        tried,
    }))
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
    if !in_range(options.min_answers_kept, 0.0, 1.0) {
        let value = options.min_answers_kept;
        return refuse("min_answers_kept", value, "from 0 to 1");
    }
    if !in_range(options.max_strength, MIN_STRENGTH, 100.0) {
        let limit = "from 0.05 to 100";
        return refuse("max_strength", options.max_strength, limit);
    }
    for (field, value) in [
        ("repeats", options.repeats),
        ("max_tokens", options.max_tokens),
        ("tries", options.tries),
    ] {
        if value == 0 {
            return refuse(field, 0.0, "at least 1");
        }
    }
    Ok(())
}

/// Refuses prompts that leave no room for a reply.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let options = CalibrateOptions {
            tries: 0,
            ..CalibrateOptions::default()
        };
        let error = check(&options).unwrap_err();
        assert!(error.to_string().contains("tries is 0"), "{error}");
    }
}
