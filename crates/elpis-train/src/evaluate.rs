//! Evaluation: what vectors do to the replies of a model, beside a line in the prompt and random
//! vectors.

mod options;
mod questions;

use std::sync::Arc;

use super::capture::render;
use super::error::TrainingError;
use super::generate::{Judged, Reply, Speaker, text};
use super::random::random_plan;
use super::skill::Skill;
use super::{OnProgress, ProgressReporter};
use elpis_backend::{Backend, Token};
use elpis_inference::{ChatMessage, ChatTemplate, repetition};
use elpis_steering::{
    BASE_EMOTIONS, LibraryContext, LibraryFile, Reading, SteeringLibrary, SteeringPlan,
};
pub use options::EvaluateOptions;
use questions::{PROMPTS, line_of};

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
    speaker: Speaker<'a>,
    template: &'a ChatTemplate,
    options: &'a EvaluateOptions,
    reading: Option<Arc<Reading>>,
    prompts: Vec<Vec<Token>>,
    skill: Option<Skill>,
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
        let speaker = Speaker::new(backend, options.steer_prompts);
        let skill = if options.skill {
            Some(Skill::new(&speaker, template)?)
        } else {
            None
        };
        let mut evaluation = Self {
            speaker,
            template,
            options,
            reading,
            prompts: Vec::new(),
            skill,
            progress: ProgressReporter::new(on_progress, 0),
        };
        evaluation.prompts = evaluation.asked(None)?;
        let width = evaluation.speaker.width();
        let groups = evaluation.prompts.len().div_ceil(width);
        let skill = evaluation.skill.as_ref();
        let answers = skill.map_or(0, Skill::steps) * (1 + BASE_EMOTIONS.len());
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
        Ok(self.speaker.backend.tokenizer().encode(&text?, true)?)
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
        let progress = &mut self.progress;
        let found = self
            .speaker
            .replies(&prompts, plan, sampling, limit, progress)?;
        // Texts are judged as if nothing but the plain prompt had led to them.
        let plain = self.prompts.iter().cloned();
        let found: Vec<Reply> = found
            .into_iter()
            .zip(plain)
            .map(|(reply, prompt)| Reply { prompt, ..reply })
            .collect();
        let axes = self.reading.as_ref().map(|reading| &reading.axes);
        let judged = self.speaker.judge(&found, axes, &mut self.progress)?;
        let sum: f64 = judged.iter().map(|judged| judged.loss).sum();
        let count: usize = judged.iter().map(|judged| judged.count).sum();
        let spoken = || found.iter().filter(|reply| !reply.tokens.is_empty());
        let repeated: f64 = spoken().map(|reply| repetition(&reply.tokens)).sum();
        let expressed = self
            .reading
            .as_ref()
            .and_then(|reading| mean_expressed(&judged, reading));
        let answered = match self.skill.as_ref().filter(|_| asks) {
            Some(skill) => Some(skill.answered(&mut self.speaker, plan, &mut self.progress)?),
            None => None,
        };
        let tokenizer = self.speaker.backend.tokenizer();
        let texts = found.iter();
        let texts = texts.map(|reply| text(tokenizer.as_ref(), &reply.tokens));
        Ok(Evaluated {
            influence,
            texts: texts.collect(),
            perplexity: (sum / count.max(1) as f64).exp(),
            repetition: repeated / spoken().count().max(1) as f64,
            expressed,
            answered,
        })
    }
}

/// What replies express on average, in deviations of neutral ones.
fn mean_expressed(judged: &[Judged], reading: &Reading) -> Option<(f64, f64)> {
    let read = judged.iter().filter_map(|judged| judged.projection);
    let (mut valence, mut arousal, mut count) = (0.0, 0.0, 0.0);
    for projection in read {
        valence += reading.valence.scaled(f64::from(projection.valence));
        arousal += reading.arousal.scaled(f64::from(projection.arousal));
        count += 1.0;
    }
    (count > 0.0).then(|| (valence / count, arousal / count))
}

fn told(influence: &Influence) -> String {
    match influence {
        Influence::Neutral => "neutral".to_owned(),
        Influence::Vector { emotion, strength } => format!("{emotion} at {strength:.2}"),
        Influence::MoodLine { emotion } => format!("{emotion}: a line in the prompt"),
        Influence::Random { number } => format!("random vector {}", number + 1),
    }
}
