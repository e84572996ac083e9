//! How strongly each vector may be added.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::capture::{projection, render};
use super::error::TrainingError;
use super::generate::{Reply, loss, replies};
use super::pairs::ContrastPairs;
use super::quality::{repetition, spread};
use super::{OnProgress, report};
use crate::backend::{Backend, Token};
use crate::inference::{ChatMessage, ChatTemplate, SamplingParams};
use crate::steering::{
    BlendOptions, LibraryFile, SteeringLibrary, SteeringPlan, SteeringVector, VectorFormat, write,
};

/// Strengths between the steps of the ladder are tried so many times.
const REFINEMENTS: usize = 2;
/// Random directions; one may by chance resemble a mood.
const RANDOM_DRAWS: usize = 4;

/// How vectors are calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateOptions {
    /// Replies to each question.
    pub repeats: usize,
    /// Most tokens of a reply.
    pub max_tokens: usize,
    /// Most perplexity, as a multiple of the unsteered replies'.
    pub max_perplexity_ratio: f64,
    /// Most repetition beyond that of the unsteered replies.
    pub max_added_repetition: f64,
    /// Step of the strengths that are tried.
    pub step: f64,
    /// Largest strength that is tried.
    pub max_strength: f64,
    /// Sampling of the replies.
    pub sampling: SamplingParams,
    /// Limit of what is added.
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
            blend: BlendOptions::default(),
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
    /// Share of sequences of four tokens that occurred before.
    pub repetition: f64,
    /// How far the text lies along the vector when the unsteered model reads
    /// it, in standard deviations of the unsteered replies.
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
    /// A line about the mood in the prompt, and no vector.
    pub mood_line: Option<Measured>,
    /// Every strength that was tried.
    pub tried: Vec<Measured>,
}

/// What calibration found.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Perplexity of the unsteered replies.
    pub perplexity: f64,
    /// Repetition of the unsteered replies.
    pub repetition: f64,
    /// The emotions, in the order of their names.
    pub emotions: Vec<EmotionCalibration>,
}

struct Bench<'a> {
    backend: &'a mut dyn Backend,
    options: &'a CalibrateOptions,
    prompts: Vec<Vec<Token>>,
    perplexity: f64,
    repetition: f64,
}

/// Figures of a set of replies.
struct Figures {
    perplexity: f64,
    repetition: f64,
}

/// Finds for each emotion of a library the largest strength whose text stays
/// within the bounds. Caps that the library's manifest sets do not count,
/// except that an emotion with a cap of 0 is left alone.
///
/// # Errors
/// [`TrainingError`].
pub fn calibrate(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    files: Vec<LibraryFile>,
    context: &crate::steering::LibraryContext,
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
    let mut bench = Bench {
        backend,
        options,
        prompts: plain,
        perplexity: 1.0,
        repetition: 0.0,
    };
    let total = emotions.len() + 1;
    report(on_progress, "unsteered replies", 0, total)?;
    let unsteered = bench.replies(None)?;
    let figures = bench.figures(&unsteered)?;
    (bench.perplexity, bench.repetition) = (figures.perplexity, figures.repetition);
    let mut found = Vec::new();
    for (index, (emotion, cap)) in emotions.into_iter().enumerate() {
        let plan = |strength: f64| {
            let coefficients = [(emotion.as_str(), strength / cap)].into_iter();
            library.blend(coefficients, &options.blend).map(Arc::new)
        };
        // The direction is the same at every strength.
        let Some(unit) = plan(options.step) else {
            continue;
        };
        let plain = bench.along(&unsteered, &unit)?;
        let mut tried = Vec::new();
        let mut within = |strength: f64, tried: &mut Vec<Measured>, bench: &mut Bench<'_>| {
            let stage = format!("{emotion} at {strength:.2}");
            report(on_progress, &stage, index + 1, total)?;
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
        let Some(best_plan) = plan(best) else {
            continue;
        };
        let vector = tried
            .iter()
            .find(|m| (m.strength - best).abs() < 1e-9)
            .copied();
        let random = bench.random(best, &best_plan, &plain, context)?;
        let line = pairs.pairs.iter().find(|pair| pair.emotion == emotion);
        let mood_line = match line.map(|pair| pair.positive.as_str()) {
            None => None,
            Some(line) => {
                let lined = questions()
                    .map(|question| with_line(line, question, prompt))
                    .collect::<Result<Vec<_>, _>>()?;
                let spoken = bench.replies_to(&lined, None, 0)?;
                let judged = bench.as_if_plain(spoken);
                Some(bench.measure(0.0, &judged, &plain, &best_plan)?)
            }
        };
        found.push(EmotionCalibration {
            vector: match vector {
                Some(vector) => vector,
                None => continue,
            },
            emotion,
            cap,
            random,
            mood_line,
            tried,
        });
    }
    report(on_progress, "done", total, total)?;
    Ok(Calibration {
        perplexity: bench.perplexity,
        repetition: bench.repetition,
        emotions: found,
    })
}

/// A question after a line about the mood: the system's, or the user's first
/// where the template has no system.
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

/// Climbs until a strength fails, then halves the last step.
fn search(
    options: &CalibrateOptions,
    mut within: impl FnMut(f64) -> Result<bool, TrainingError>,
) -> Result<f64, TrainingError> {
    let (mut good, mut bad) = (0.0, None);
    let steps = (options.max_strength / options.step + 1e-9).floor() as usize;
    for step in 1..=steps {
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

impl Bench<'_> {
    fn replies(&mut self, plan: Option<&Arc<SteeringPlan>>) -> Result<Vec<Reply>, TrainingError> {
        let prompts = self.prompts.clone();
        self.replies_to(&prompts, plan, 0)
    }

    fn replies_to(
        &mut self,
        prompts: &[Vec<Token>],
        plan: Option<&Arc<SteeringPlan>>,
        first: usize,
    ) -> Result<Vec<Reply>, TrainingError> {
        let context = self.backend.facts().context_length as usize;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        if longest + 1 >= context {
            return Err(TrainingError::Limit {
                field: "prompt",
                value: format!("{longest} tokens"),
                limit: format!("shorter than the context of {context}"),
            });
        }
        let limit = self.options.max_tokens.clamp(1, context - longest);
        let sampling = SamplingParams {
            seed: self.options.sampling.seed.wrapping_add(first as u64),
            ..self.options.sampling
        };
        replies(self.backend, prompts, plan, &sampling, limit)
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

    /// How far each reply lies along a plan's direction.
    fn along(&mut self, replies: &[Reply], plan: &SteeringPlan) -> Result<Vec<f64>, TrainingError> {
        let spoken = replies.iter().filter(|reply| !reply.tokens.is_empty());
        spoken
            .map(|reply| {
                let mut tokens = reply.prompt.clone();
                tokens.extend(&reply.tokens);
                projection(self.backend, &tokens, reply.prompt.len(), plan)
            })
            .collect()
    }

    fn figures(&mut self, replies: &[Reply]) -> Result<Figures, TrainingError> {
        let (loss, count) = loss(self.backend, replies)?;
        let repeated: f64 = replies.iter().map(|r| repetition(&r.tokens)).sum();
        Ok(Figures {
            perplexity: (loss / count.max(1) as f64).exp(),
            repetition: repeated / replies.len().max(1) as f64,
        })
    }

    fn measure(
        &mut self,
        strength: f64,
        replies: &[Reply],
        plain: &[f64],
        plan: &SteeringPlan,
    ) -> Result<Measured, TrainingError> {
        let found = self.figures(replies)?;
        let (mean, deviation) = spread(plain);
        let (moved, _) = spread(&self.along(replies, plan)?);
        Ok(Measured {
            strength,
            perplexity_ratio: found.perplexity / self.perplexity,
            repetition: found.repetition,
            shift: (moved - mean) / deviation.max(f64::MIN_POSITIVE),
        })
    }

    fn holds(&self, measured: &Measured) -> bool {
        measured.perplexity_ratio <= self.options.max_perplexity_ratio
            && measured.repetition <= self.repetition + self.options.max_added_repetition
    }

    /// The replies under random vectors with the norms of a plan.
    fn random(
        &mut self,
        strength: f64,
        plan: &SteeringPlan,
        plain: &[f64],
        context: &crate::steering::LibraryContext,
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

/// A plan with the layers and norms of another and random directions.
fn random_plan(
    plan: &SteeringPlan,
    seed: u64,
    context: &crate::steering::LibraryContext,
    blend: BlendOptions,
) -> Result<Option<Arc<SteeringPlan>>, TrainingError> {
    const NAME: &str = "calm";
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // A sum of twelve uniform numbers is close to normal.
    let mut normal = || -> f64 {
        let uniform = (0..12).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5);
        uniform.sum()
    };
    let rows = plan.layers.iter().map(|layer| {
        let row: Vec<f64> = layer.values.iter().map(|_| normal()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        let factor = f64::from(layer.norm) / norm.max(f64::MIN_POSITIVE);
        let row = row.into_iter().map(|x| (x * factor) as f32).collect();
        (layer.layer, row)
    });
    let vector = SteeringVector::layered(rows.collect()).map_err(|source| {
        let emotion = "a random vector".to_owned();
        TrainingError::Vector { emotion, source }
    })?;
    let bytes = write(VectorFormat::Safetensors, &vector).map_err(|source| {
        let emotion = "a random vector".to_owned();
        TrainingError::Format { emotion, source }
    })?;
    let file = LibraryFile {
        name: format!("{NAME}.{}", VectorFormat::Safetensors.extension()),
        bytes,
    };
    let library = SteeringLibrary::build(vec![file], context)?;
    let coefficients = [(NAME, 1.0)].into_iter();
    Ok(library.blend(coefficients, &blend).map(Arc::new))
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
