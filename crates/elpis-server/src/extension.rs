//! The object `elpis` in requests and responses, which extends the APIs of others.

use std::collections::BTreeMap;

use elpis::emotion::{EmotionConfig, EmotionEvent, Mood};
use elpis::inference::{AppliedModulation, ModulationTiming};
use elpis::steering::Expressed;
use elpis::{ClientSampling, Coefficients, EmotionSnapshot, GenerationOptions, GenerationReport};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::feelings::GivenEvent;

/// The object `elpis` of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestExtension {
    /// The session.
    #[serde(default)]
    pub(crate) session: Option<String>,
    /// Whether the message and the reply move the mood.
    #[serde(default)]
    pub(crate) heard: Option<bool>,
    /// Events that the session feels before the reply.
    #[serde(default)]
    pub(crate) events: Vec<GivenEvent>,
    /// Whether the emotion acts on the reply.
    #[serde(default)]
    modulation: Option<bool>,
    /// Steering coefficients instead of the session's own.
    #[serde(default)]
    coefficients: Option<BTreeMap<String, f64>>,
    /// When events reach the reply.
    #[serde(default)]
    timing: Option<ModulationTiming>,
    /// How the temperature and top-p of the request are used.
    #[serde(default)]
    client_sampling: Option<ClientSampling>,
}

impl RequestExtension {
    /// Sets the options that are asked for.
    pub(crate) fn apply(
        &self,
        options: &mut GenerationOptions,
        default: ClientSampling,
    ) -> Result<(), ApiError> {
        options.client_sampling = Some(self.client_sampling.unwrap_or(default));
        options.emotional_modulation = self.modulation;
        options.timing = self.timing;
        if let Some(given) = &self.coefficients {
            let coefficients = Coefficients::try_from(given.clone()).map_err(|error| {
                ApiError::invalid("elpis.coefficients", format!("elpis.coefficients: {error}"))
            })?;
            options.coefficients = Some(coefficients);
        }
        Ok(())
    }

    /// The events to feel.
    pub(crate) fn events(&self, known: &EmotionConfig) -> Result<Vec<EmotionEvent>, ApiError> {
        let events = self.events.iter().enumerate();
        let place = |index| format!("elpis.events[{index}]");
        events
            .map(|(index, event)| event.convert(&place(index), known))
            .collect()
    }
}

/// A point on the plane with its name.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct EmotionPoint {
    valence: f64,
    arousal: f64,
    mood: Mood,
}

impl From<&EmotionSnapshot> for EmotionPoint {
    fn from(state: &EmotionSnapshot) -> Self {
        Self {
            valence: state.valence,
            arousal: state.arousal,
            mood: state.mood,
        }
    }
}

/// The object `elpis` of a response.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ResponseExtension {
    /// The session, as the client names it.
    pub(crate) session: String,
    /// Where the request named the session.
    pub(crate) session_from: String,
    /// Whether the message and the reply could move the mood.
    pub(crate) heard: bool,
    /// The model that replied.
    pub(crate) model: String,
    /// The state before the request.
    pub(crate) before: EmotionPoint,
    /// The state after the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<EmotionPoint>,
    /// A report for each reply.
    pub(crate) replies: Vec<ReplyReport>,
    /// Fields of the request that were not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignored: Vec<String>,
}

/// The emotion, the steering and the times behind a reply.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReplyReport {
    index: usize,
    /// The number of the generation, as in events, logs and traces.
    request: u64,
    modulations: Vec<AppliedModulation>,
    /// The emotion that the reply expressed in the residual stream, if it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    expressed: Option<Expressed>,
    queue_seconds: f64,
    first_token_seconds: f64,
    total_seconds: f64,
}

impl ReplyReport {
    pub(crate) fn new(index: usize, report: &GenerationReport) -> Self {
        Self {
            index,
            request: report.id.0,
            modulations: report.modulations.clone(),
            expressed: report.expressed.clone(),
            queue_seconds: report.queue_time.as_secs_f64(),
            first_token_seconds: report.time_to_first_token.as_secs_f64(),
            total_seconds: report.total_time.as_secs_f64(),
        }
    }
}
