//! Replaying recorded sequences of events.
//!
//! A line of a recording is a JSON object with `settings` (any subset of [`EmotionConfig`]) and
//! `steps`, each with `at` (seconds), `event`, `intensity` (1 if left out) and, for custom events,
//! `delta_valence` and `delta_arousal`; `source` and `words` may say where it comes from. Replaying
//! adds the result of the event to each step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::arithmetic::DYNAMICS;
use super::cause::EventSource;
use super::config::EmotionConfig;
use super::error::EmotionError;
use super::event::{EmotionEvent, event_from_parts};
use super::modulation::{Coefficients, SamplingBase};
use super::state::{Mood, Quadrant, check_time};
use super::tracker::EmotionTracker;
use super::trajectory::Trajectory;

/// An event at a time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplayStep {
    /// Time, in seconds.
    pub at: f64,
    /// The event.
    pub event: EmotionEvent,
}

/// A line of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The settings in force.
    pub config: EmotionConfig,
    /// The steps.
    pub steps: Vec<ReplayStep>,
}

impl Recording {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// As [`replay_line`].
    pub fn parse(line: &str) -> Result<Self, EmotionError> {
        Self::from_object(&object(line)?)
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self, EmotionError> {
        let config = match object.get("settings") {
            None => EmotionConfig::default(),
            Some(settings) => config_of(settings)?,
        };
        config.validate()?;
        let Some(Value::Array(steps)) = object.get("steps") else {
            return Err(malformed("steps", "missing or not an array"));
        };
        let steps = steps
            .iter()
            .enumerate()
            .map(|(index, step)| parse_step(step).map_err(|error| error.at_step(index)))
            .collect::<Result<_, _>>()?;
        Ok(Self { config, steps })
    }
}

/// The settings of a log. Without a version number, the current dynamics apply.
///
/// # Errors
/// [`EmotionError::Malformed`] if the value is not a set of settings.
pub fn config_of(settings: &Value) -> Result<EmotionConfig, EmotionError> {
    let mut config = EmotionConfig::deserialize(settings)
        .map_err(|error| malformed("settings", &error.to_string()))?;
    if settings.get("dynamics").is_none() {
        config.dynamics = DYNAMICS;
    }
    Ok(config)
}

fn object(line: &str) -> Result<Map<String, Value>, EmotionError> {
    serde_json::from_str(line).map_err(|error| malformed("line", &error.to_string()))
}

/// The result of a step, just after its event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplayedStep {
    /// Valence, in [-1, 1].
    pub valence: f64,
    /// Arousal, in [-1, 1].
    pub arousal: f64,
    /// The quadrant of the state.
    pub quadrant: Quadrant,
    /// The name of the state: its quadrant, or neutral near the baseline.
    #[serde(default)]
    pub mood: Mood,
    /// Sampling temperature, from a base of 0.7.
    pub temperature: f64,
    /// Nucleus mass, from a base of 0.9.
    pub top_p: f64,
    /// Steering coefficients.
    pub coefficients: Coefficients,
    /// The trajectory at the time of the event.
    pub trajectory: Trajectory,
}

/// Applies steps in order to a session that starts at the first one's time.
///
/// A step with an earlier time than the previous one counts at the previous one's time.
///
/// # Errors
///
/// [`EmotionError::OutOfRange`] if a setting is out of range; [`EmotionError::Step`] with the index
/// of the step whose time is.
pub fn replay(
    config: EmotionConfig,
    steps: &[ReplayStep],
) -> Result<Vec<ReplayedStep>, EmotionError> {
    config.validate()?;
    let Some(first) = steps.first() else {
        return Ok(Vec::new());
    };
    let start = check_time("at", first.at).map_err(|error| error.at_step(0))?;
    let mut tracker = EmotionTracker::new(Arc::new(config), start)?;
    let mut replayed = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let applied = tracker
            .apply(&step.event, step.at)
            .map_err(|error| error.at_step(index))?;
        let modulation = tracker.modulation_at(applied.at, SamplingBase::default());
        replayed.push(ReplayedStep {
            valence: modulation.valence,
            arousal: modulation.arousal,
            quadrant: modulation.quadrant,
            mood: modulation.mood,
            temperature: modulation.temperature,
            top_p: modulation.top_p,
            coefficients: modulation.coefficients,
            trajectory: tracker.trajectory_at(applied.at),
        });
    }
    Ok(replayed)
}

/// Replays one line of a recording and returns the object with the computed fields set.
///
/// Unknown fields are kept. Existing computed fields are replaced.
///
/// # Errors
///
/// [`EmotionError::Malformed`] if the line is not such an object, [`EmotionError::OutOfRange`] if a
/// setting is out of range, [`EmotionError::Step`] with the index of a step that is either.
pub fn replay_line(line: &str) -> Result<Value, EmotionError> {
    let mut object = object(line)?;
    let Recording { config, steps } = Recording::from_object(&object)?;
    let replayed = replay(config, &steps)?;
    let steps = object.get_mut("steps").and_then(Value::as_array_mut);
    for (step, replayed) in steps.into_iter().flatten().zip(replayed) {
        let computed = serde_json::to_value(replayed)
            .map_err(|error| malformed("steps", &error.to_string()))?;
        if let (Value::Object(step), Value::Object(computed)) = (step, computed) {
            step.extend(computed);
        }
    }
    Ok(Value::Object(object))
}

/// Reads an event with its time and, if they are known, its source and words.
///
/// # Errors
/// [`EmotionError::Malformed`] for a field that is missing or has another type, and the errors of
/// creating the event.
pub fn parse_step(step: &Value) -> Result<ReplayStep, EmotionError> {
    let Value::Object(step) = step else {
        return Err(malformed("steps", "a step is not an object"));
    };
    let number = |field: &'static str| match step.get(field) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| malformed(field, "not a number")),
    };
    let at = number("at")?.ok_or_else(|| malformed("at", "missing"))?;
    check_time("at", at)?;
    let name = step
        .get("event")
        .ok_or_else(|| malformed("event", "missing"))?
        .as_str()
        .ok_or_else(|| malformed("event", "not a string"))?;
    let event = event_from_parts(
        name.to_owned(),
        number("intensity")?.unwrap_or(1.0),
        number("delta_valence")?,
        number("delta_arousal")?,
    )?;
    let source = step.get("source").map(EventSource::deserialize);
    let source = source.transpose();
    let source = source.map_err(|error| malformed("source", &error.to_string()))?;
    let words = step.get("words").and_then(Value::as_str);
    let event = source.into_iter().fold(event, EmotionEvent::with_source);
    let event = words.into_iter().fold(event, EmotionEvent::with_words);
    Ok(ReplayStep { at, event })
}

fn malformed(field: &'static str, reason: &str) -> EmotionError {
    EmotionError::Malformed {
        field,
        reason: reason.to_owned(),
    }
}
