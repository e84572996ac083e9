//! Evaluation: what vectors do to the replies of a model, beside a line in the prompt and random
//! vectors.

mod options;
mod questions;

use std::sync::Arc;

use super::capture::render;
use super::error::TrainingError;
use super::generate::{Reply, loss, replies};
use super::random::random_plan;
use super::{OnProgress, ProgressReporter};
use elpis_backend::{Backend, Token};
use elpis_inference::{ChatMessage, ChatTemplate, SamplingParams, repetition};
use elpis_steering::{
    BASE_EMOTIONS, ExpressionMeter, LibraryContext, LibraryFile, Reading, SteeringLibrary,
    SteeringPlan,
};
pub use options::EvaluateOptions;
use questions::{ANSWERS, PROMPTS, line_of, says};

/// Maximum number of tokens of an answer to a question with a known answer.
const ANSWER_TOKENS: usize = 24;

/// Number of random vectors.
const RANDOM: usize = 4;

/// What acts on the replies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Influence {
    /// Nothing.
    Neutral,
    /// An emotion's vector at a strength.
    Vector {
        /// The emotion.
        emotion: String,
        /// The coefficient.
        strength: f64,
    },
    /// A line about the emotion in the prompt.
    MoodLine {
        /// The emotion.
        emotion: String,
    },
    /// A random vector with the norms of an emotion's at full strength.
    Random {
        /// The number of the vector, from 0.
        number: usize,
    },
}

/// Replies under one influence, and what can be measured of them without a judge.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluated {
    /// The influence.
    pub influence: Influence,
    /// The replies.
    pub texts: Vec<String>,
    /// Perplexity under the unsteered model, after the plain prompt.
    pub perplexity: f64,
    /// Fraction of sequences of four tokens that occurred before.
    pub repetition: f64,
    /// Mean valence and arousal that the replies express, in deviations of neutral replies; `None`
    /// without axes.
    pub expressed: Option<(f64, f64)>,
    /// Share of the questions with known answers that were answered rightly; only of neutral and
    /// full moods, if it was asked for.
    pub answered: Option<f64>,
}

/// Evaluates the vectors of a library: each of the four corners at every strength, the same moods as
/// a line in the prompt, random vectors, and nothing.
///
/// # Errors
/// [`TrainingError`].
pub fn evaluate(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    files: Vec<LibraryFile>,
    context: &LibraryContext,
    options: &EvaluateOptions,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Evaluated>, TrainingError> {
    options.check()?;
    let library = SteeringLibrary::build(files, context)?;
    let emotions: Vec<&str> = BASE_EMOTIONS
        .into_iter()
        .filter(|name| library.emotion(name).is_some())
        .collect();
    let full = options.strengths.last().copied().unwrap_or(1.0);
    if emotions.is_empty() {
        return Err(TrainingError::NoVectors);
    }
    let plan_of = |emotion: &str, strength: f64| {
        let coefficients = [(emotion, strength)].into_iter();
        library.blend(coefficients, &options.blend).map(Arc::new)
    };

    let mut work = Vec::new();
    work.push((Influence::Neutral, None));
    for &emotion in &emotions {
        for &strength in &options.strengths {
            let emotion_name = emotion.to_owned();
            let influence = Influence::Vector {
                emotion: emotion_name,
                strength,
            };
            work.push((influence, plan_of(emotion, strength)));
        }
        let emotion = emotion.to_owned();
        work.push((Influence::MoodLine { emotion }, None));
    }
    let norms = emotions.first().and_then(|emotion| plan_of(emotion, full));
    for number in 0..RANDOM {
        if let Some(norms) = &norms {
            let plan = random_plan(norms, number as u64, context, options.blend)?;
            work.push((Influence::Random { number }, plan));
        }
    }

    let reading = library.reading().map(Arc::clone);
    let mut evaluation =
        Evaluation::new(backend, template, options, reading, work.len(), on_progress)?;
    let mut found = Vec::with_capacity(work.len());
    for (influence, plan) in work {
        let asks = match influence {
            Influence::Neutral => true,
            Influence::Vector { strength, .. } => strength >= full,
            _ => false,
        };
        found.push(evaluation.one(influence, plan.as_ref(), asks)?);
    }
    Ok(found)
}

struct Evaluation<'a> {
    backend: &'a mut dyn Backend,
    template: &'a ChatTemplate,
    options: &'a EvaluateOptions,
    reading: Option<Arc<Reading>>,
    prompts: Vec<Vec<Token>>,
    progress: ProgressReporter<'a>,
}

impl<'a> Evaluation<'a> {
    fn new(
        backend: &'a mut dyn Backend,
        template: &'a ChatTemplate,
        options: &'a EvaluateOptions,
        reading: Option<Arc<Reading>>,
        influences: usize,
        on_progress: OnProgress<'a>,
    ) -> Result<Self, TrainingError> {
        let width = backend.facts().n_sequences.max(1) as usize;
        let mut evaluation = Self {
            backend,
            template,
            options,
            reading,
            prompts: Vec::new(),
            progress: ProgressReporter::new(on_progress, 0),
        };
        evaluation.prompts = evaluation.asked(None)?;
        let groups = evaluation.prompts.len().div_ceil(width);
        let answers = if options.skill {
            ANSWERS.len().div_ceil(width) * (1 + BASE_EMOTIONS.len())
        } else {
            0
        };
        evaluation.progress.progress.total = groups * influences + answers;
        Ok(evaluation)
    }

    /// The prompts, as often as there are replies to each, after a line if there is one.
    fn asked(&self, line: Option<&str>) -> Result<Vec<Vec<Token>>, TrainingError> {
        let prompts = PROMPTS.iter().take(self.options.prompts);
        let once = prompts
            .map(|prompt| self.prompt(line, prompt))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((0..self.options.repeats)
            .flat_map(|_| once.clone())
            .collect())
    }

    fn prompt(&self, line: Option<&str>, question: &str) -> Result<Vec<Token>, TrainingError> {
        let text = match line {
            None => render(self.template, &[ChatMessage::user(question)]),
            Some(line) => {
                let system = [ChatMessage::system(line), ChatMessage::user(question)];
                render(self.template, &system).or_else(|_| {
                    let joined = ChatMessage::user(format!("{line} {question}"));
                    render(self.template, &[joined])
                })
            }
        };
        Ok(self.backend.tokenizer().encode(&text?, true)?)
    }

    fn one(
        &mut self,
        influence: Influence,
        plan: Option<&Arc<SteeringPlan>>,
        asks: bool,
    ) -> Result<Evaluated, TrainingError> {
        self.progress.begin(told(&influence))?;
        let line = match &influence {
            Influence::MoodLine { emotion } => line_of(emotion),
            _ => None,
        };
        let prompts = match line {
            Some(line) => self.asked(Some(line))?,
            None => self.prompts.clone(),
        };
        let limit = self.options.max_tokens;
        let sampling = &self.options.sampling;
        let found = replies(
            self.backend,
            &prompts,
            plan,
            sampling,
            limit,
            &mut self.progress,
        )?;
        // Texts are judged as if nothing but the plain prompt had led to them.
        let plain = self.prompts.iter().cloned();
        let found: Vec<Reply> = found
            .into_iter()
            .zip(plain)
            .map(|(reply, prompt)| Reply { prompt, ..reply })
            .collect();
        let (sum, count) = loss(self.backend, &found, &mut self.progress)?;
        let spoken = || found.iter().filter(|reply| !reply.tokens.is_empty());
        let repeated: f64 = spoken().map(|reply| repetition(&reply.tokens)).sum();
        let expressed = self.expressed(&found)?;
        let answered = if asks && self.options.skill {
            Some(self.answered(plan)?)
        } else {
            None
        };
        Ok(Evaluated {
            influence,
            texts: found.iter().map(|reply| self.text(&reply.tokens)).collect(),
            perplexity: (sum / count.max(1) as f64).exp(),
            repetition: repeated / spoken().count().max(1) as f64,
            expressed,
            answered,
        })
    }

    fn text(&self, tokens: &[Token]) -> String {
        let tokenizer = self.backend.tokenizer();
        let mut bytes = Vec::new();
        for &token in tokens {
            tokenizer.append_piece(token, &mut bytes);
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// What replies express on average.
    fn expressed(&mut self, found: &[Reply]) -> Result<Option<(f64, f64)>, TrainingError> {
        let Some(reading) = self.reading.clone() else {
            return Ok(None);
        };
        let (mut valence, mut arousal, mut count) = (0.0, 0.0, 0.0);
        for reply in found {
            let tokens = [&reply.prompt[..], &reply.tokens].concat();
            let layer = reading.axes.layer;
            let stream = self.backend.residual_stream(&tokens, &[layer])?;
            let rows = stream
                .first()
                .and_then(|rows| rows.get(reply.prompt.len()..));
            let mut meter = ExpressionMeter::default();
            for row in rows.unwrap_or_default() {
                meter.add(reading.axes.project(row), &reading);
            }
            if let Some(expressed) = meter.expressed() {
                valence += expressed.valence;
                arousal += expressed.arousal;
                count += 1.0;
            }
            self.progress.look()?;
        }
        Ok((count > 0.0).then(|| (valence / count, arousal / count)))
    }

    /// Share of the known answers that greedy replies contain.
    fn answered(&mut self, plan: Option<&Arc<SteeringPlan>>) -> Result<f64, TrainingError> {
        let prompts = ANSWERS
            .iter()
            .map(|(question, _)| self.prompt(None, question))
            .collect::<Result<Vec<_>, _>>()?;
        let sampling = SamplingParams {
            temperature: 0.0,
            ..self.options.sampling
        };
        let progress = &mut self.progress;
        let found = replies(
            self.backend,
            &prompts,
            plan,
            &sampling,
            ANSWER_TOKENS,
            progress,
        )?;
        let right = found
            .iter()
            .zip(ANSWERS)
            .filter(|(reply, (_, answer))| says(&self.text(&reply.tokens), answer))
            .count();
        Ok(right as f64 / ANSWERS.len() as f64)
    }
}

fn told(influence: &Influence) -> String {
    match influence {
        Influence::Neutral => "neutral".to_owned(),
        Influence::Vector { emotion, strength } => format!("{emotion} at {strength:.2}"),
        Influence::MoodLine { emotion } => format!("{emotion}: a line in the prompt"),
        Influence::Random { number } => format!("random vector {}", number + 1),
    }
}
