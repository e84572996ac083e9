//! Events that move the emotional state.

use serde::{Deserialize, Serialize};

use super::cause::{EventSource, kept_words};
use super::error::{EmotionError, in_range};

/// Intensity above which an event has no more effect.
pub const MAX_INTENSITY: f64 = 2.0;

/// Maximum length of an event's name, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// Shift of an event with an unknown name: (valence, arousal).
const UNKNOWN_SHIFT: (f64, f64) = (0.0, 0.05);

/// An event with a fixed shift of valence and arousal at intensity 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownEvent {
    /// Name, in lower case.
    pub name: &'static str,
    /// Shift of the valence.
    pub valence: f64,
    /// Shift of the arousal.
    pub arousal: f64,
}

/// The known events.
pub mod known {
    use super::KnownEvent;

    const fn event(name: &'static str, valence: f64, arousal: f64) -> KnownEvent {
        KnownEvent {
            name,
            valence,
            arousal,
        }
    }

    /// A task succeeded; part of a success streak.
    pub const SUCCESS: KnownEvent = event("success", 0.20, 0.10);
    /// A test passed; part of a success streak.
    pub const TEST_PASSED: KnownEvent = event("test_passed", 0.15, 0.05);
    /// Something was understood; part of a success streak.
    pub const INSIGHT: KnownEvent = event("insight", 0.25, 0.20);
    /// A task failed; part of a failure streak.
    pub const FAILURE: KnownEvent = event("failure", -0.20, 0.15);
    /// A test failed; part of a failure streak.
    pub const TEST_FAILED: KnownEvent = event("test_failed", -0.15, 0.10);
    /// Something went wrong; part of a failure streak.
    pub const ERROR: KnownEvent = event("error", -0.10, 0.20);
    /// The same thing went wrong again; part of a failure streak.
    pub const FRUSTRATION: KnownEvent = event("frustration", -0.15, 0.25);
    /// No way forward; part of a failure streak.
    pub const BLOCKED: KnownEvent = event("blocked", -0.20, 0.30);
    /// Nothing happened for a while.
    pub const IDLE: KnownEvent = event("idle", 0.0, -0.10);
    /// Ordinary work.
    pub const ROUTINE: KnownEvent = event("routine", 0.05, -0.05);
    /// Something new turned up.
    pub const NOVELTY: KnownEvent = event("novelty", 0.10, 0.20);
    /// New ground is being explored.
    pub const EXPLORATION: KnownEvent = event("exploration", 0.15, 0.15);
    /// The user is pleased.
    pub const USER_POSITIVE: KnownEvent = event("user_positive", 0.15, 0.10);
    /// The user is displeased.
    pub const USER_NEGATIVE: KnownEvent = event("user_negative", -0.10, 0.15);
    /// The user asked something.
    pub const USER_QUESTION: KnownEvent = event("user_question", 0.05, 0.10);
    /// Joy expressed in a text.
    pub const JOY: KnownEvent = event("joy", 0.20, 0.15);
    /// Peace expressed in a text.
    pub const CONTENTMENT: KnownEvent = event("contentment", 0.15, -0.15);
    /// Grief expressed in a text.
    pub const SADNESS: KnownEvent = event("sadness", -0.20, -0.15);
}

/// Events that appraisers produce in addition to the known ones. Older journals may contain other
/// events with these names, so the shift is stored with each event.
pub const READ_EVENTS: [KnownEvent; 3] = [known::JOY, known::CONTENTMENT, known::SADNESS];

/// All known events. If other names are allowed
/// ([`EmotionConfig::allow_unknown_events`](super::EmotionConfig::allow_unknown_events)), they
/// shift the arousal by +0.05.
pub const KNOWN_EVENTS: [KnownEvent; 15] = [
    known::SUCCESS,
    known::TEST_PASSED,
    known::INSIGHT,
    known::FAILURE,
    known::TEST_FAILED,
    known::ERROR,
    known::FRUSTRATION,
    known::BLOCKED,
    known::IDLE,
    known::ROUTINE,
    known::NOVELTY,
    known::EXPLORATION,
    known::USER_POSITIVE,
    known::USER_NEGATIVE,
    known::USER_QUESTION,
];

/// An event, by name, with an intensity, possibly its own shift, and its cause.
///
/// In JSON: `{"event": "deploy", "intensity": 1.5, "delta_valence": 0.2, "delta_arousal": 0.1,
/// "source": "reply", "words": "stuck"}`; the intensity defaults to 1. The deltas are only given
/// for custom events, both or neither. The cause may be missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawEvent", into = "RawEvent")]
pub struct EmotionEvent {
    name: String,
    intensity: f64,
    shift: Option<(f64, f64)>,
    source: Option<EventSource>,
    words: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    event: String,
    #[serde(default = "unit_intensity")]
    intensity: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta_valence: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta_arousal: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<EventSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

fn unit_intensity() -> f64 {
    1.0
}

impl EmotionEvent {
    /// Creates an event with a known or any other name, and intensity 1. The settings decide
    /// whether unknown names may be applied
    /// ([`EmotionConfig::declared`](super::EmotionConfig::declared)).
    ///
    /// # Errors
    ///
    /// [`EmotionError::InvalidName`] if the name is empty, longer than [`MAX_NAME_CHARS`] or holds
    /// control characters.
    pub fn named(name: impl Into<String>) -> Result<Self, EmotionError> {
        let name = check_name("event", name.into())?;
        Ok(Self {
            name,
            intensity: 1.0,
            shift: None,
            source: None,
            words: None,
        })
    }

    /// Creates an event with its own shift of valence and arousal, each in [-1, 1] at intensity 1.
    ///
    /// A known name may be given other shifts. The streak rules depend on the name.
    ///
    /// # Errors
    ///
    /// As [`named`](Self::named), and [`EmotionError::OutOfRange`] if a shift is out of range.
    pub fn custom(
        name: impl Into<String>,
        delta_valence: f64,
        delta_arousal: f64,
    ) -> Result<Self, EmotionError> {
        let mut event = Self::named(name)?;
        event.shift = Some((
            in_range("delta_valence", delta_valence, -1.0, 1.0)?,
            in_range("delta_arousal", delta_arousal, -1.0, 1.0)?,
        ));
        Ok(event)
    }

    /// Sets the intensity. Above [`MAX_INTENSITY`] it has no more effect.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if it is not finite or negative.
    pub fn with_intensity(mut self, intensity: f64) -> Result<Self, EmotionError> {
        if !intensity.is_finite() || intensity < 0.0 {
            return Err(EmotionError::OutOfRange {
                field: "intensity",
                value: intensity,
                limit: "finite and not negative".into(),
            });
        }
        self.intensity = intensity;
        Ok(self)
    }

    /// Sets the source of the event.
    #[must_use]
    pub fn with_source(mut self, source: EventSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the words by which the event was derived from a text. They are stored in the journal,
    /// on one line and shortened to [`MAX_CAUSE_CHARS`](super::MAX_CAUSE_CHARS).
    #[must_use]
    pub fn with_words(mut self, words: &str) -> Self {
        self.words = kept_words(words);
        self
    }

    /// The source of the event, if it is known; the runtime sets it for every event.
    pub fn source(&self) -> Option<EventSource> {
        self.source
    }

    /// The words that it was derived from, if it was appraised from a text.
    pub fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The given intensity, at least 0. Its effect is clamped to [`MAX_INTENSITY`].
    pub fn intensity(&self) -> f64 {
        self.intensity
    }

    /// Shift of (valence, arousal) at intensity 1.
    pub fn shift(&self) -> (f64, f64) {
        self.shift.unwrap_or_else(|| {
            KNOWN_EVENTS
                .iter()
                .find(|known| known.name == self.name)
                .map_or(UNKNOWN_SHIFT, |known| (known.valence, known.arousal))
        })
    }

    /// Whether the event carries its own shift.
    pub fn is_custom(&self) -> bool {
        self.shift.is_some()
    }

    /// The same event with a shift that is known to be in range.
    pub(super) fn with_shift(mut self, shift: (f64, f64)) -> Self {
        self.shift = Some(shift);
        self
    }

    /// A known event with an intensity, clamped to `0..=MAX_INTENSITY`; NaN counts as 0.
    pub fn weighted(known: KnownEvent, intensity: f64) -> Self {
        let intensity = if intensity.is_nan() {
            0.0
        } else {
            intensity.clamp(0.0, MAX_INTENSITY)
        };
        Self {
            intensity,
            ..Self::from(known)
        }
    }
}

impl From<KnownEvent> for EmotionEvent {
    /// The event with intensity 1; shifts other than the tables' are dropped.
    fn from(known: KnownEvent) -> Self {
        let read = READ_EVENTS.iter().find(|read| read.name == known.name);
        Self {
            name: known.name.to_owned(),
            intensity: 1.0,
            shift: read.map(|read| (read.valence, read.arousal)),
            source: None,
            words: None,
        }
    }
}

impl TryFrom<RawEvent> for EmotionEvent {
    type Error = EmotionError;

    fn try_from(raw: RawEvent) -> Result<Self, EmotionError> {
        let event = event_from_parts(
            raw.event,
            raw.intensity,
            raw.delta_valence,
            raw.delta_arousal,
        )?;
        Ok(Self {
            source: raw.source,
            words: raw.words.as_deref().and_then(kept_words),
            ..event
        })
    }
}

impl From<EmotionEvent> for RawEvent {
    fn from(event: EmotionEvent) -> Self {
        Self {
            event: event.name,
            intensity: event.intensity,
            delta_valence: event.shift.map(|shift| shift.0),
            delta_arousal: event.shift.map(|shift| shift.1),
            source: event.source,
            words: event.words,
        }
    }
}

/// Creates an event from the fields of an object.
pub(super) fn event_from_parts(
    name: String,
    intensity: f64,
    delta_valence: Option<f64>,
    delta_arousal: Option<f64>,
) -> Result<EmotionEvent, EmotionError> {
    let missing = |field| EmotionError::Malformed {
        field,
        reason: "missing; both deltas or neither must be given".to_owned(),
    };
    let event = match (delta_valence, delta_arousal) {
        (None, None) => EmotionEvent::named(name)?,
        (Some(valence), Some(arousal)) => EmotionEvent::custom(name, valence, arousal)?,
        (None, Some(_)) => return Err(missing("delta_valence")),
        (Some(_), None) => return Err(missing("delta_arousal")),
    };
    event.with_intensity(intensity)
}

/// Checks a name: 1 to [`MAX_NAME_CHARS`] characters, no control characters.
pub(super) fn check_name(field: &'static str, name: String) -> Result<String, EmotionError> {
    let beyond = name
        .char_indices()
        .nth(MAX_NAME_CHARS)
        .map(|(index, _)| index);
    if !name.is_empty() && beyond.is_none() && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(EmotionError::InvalidName {
        field,
        value: name[..beyond.unwrap_or(name.len())].to_owned(),
        limit: "have 1 to 64 characters, none of them a control character",
    })
}
