//! The effect of the emotional state on generation: sampling parameters and steering coefficients.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::{EmotionConfig, check_strength};
use super::error::{EmotionError, in_range};
use super::event::check_name;
use super::state::{EmotionalState, Mood, Quadrant};

/// Sampling parameters before emotion acts on them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingBase {
    /// Temperature at arousal 0; 0.7.
    pub temperature: f64,
    /// Nucleus mass at valence 0; 0.9.
    pub top_p: f64,
}

impl Default for SamplingBase {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_p: 0.9,
        }
    }
}

impl SamplingBase {
    /// Creates a base.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if the temperature is not in [0, 2] or `top_p` not in [0, 1].
    pub fn new(temperature: f64, top_p: f64) -> Result<Self, EmotionError> {
        Ok(Self {
            temperature: in_range("temperature", temperature, 0.0, 2.0)?,
            top_p: in_range("top_p", top_p, 0.0, 1.0)?,
        })
    }
}

/// The effect of an emotional state on a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Modulation {
    /// Valence, in [-1, 1].
    pub valence: f64,
    /// Arousal, in [-1, 1].
    pub arousal: f64,
    /// The quadrant that the state lies in.
    pub quadrant: Quadrant,
    /// The name of the state: its quadrant, or neutral.
    #[serde(default)]
    pub mood: Mood,
    /// Sampling temperature, in [0, 2]; 0 is greedy, and only if the base is 0.
    pub temperature: f64,
    /// Nucleus mass, above 0, to 1.
    pub top_p: f64,
    /// Coefficients of the steering vectors; they include the strength.
    pub coefficients: Coefficients,
    /// Steering strength, in [0, 3].
    pub strength: f64,
}

impl Modulation {
    /// The state that the modulation was computed from.
    pub fn state(&self) -> EmotionalState {
        EmotionalState::clamped(self.valence, self.arousal)
    }

    /// Computes `temperature = clamp(T − 0.2·a, 0.1, 1.5)`, `top_p = clamp(P + 0.1·v, 0.5, 1)` and
    /// the [bilinear](Coefficients::bilinear) coefficients.
    ///
    /// Values that the user has set outside those bounds are respected. A temperature of 0 stays 0
    /// whatever the mood. Another base outside the bounds widens them, so that the mood acts around
    /// it: the lower one becomes `T/2` for a `T` below 0.1, the upper one `min(T + 0.2, 2)` for a
    /// `T` above 1.5, and the lower one `P/2` for a `P` below 0.5.
    ///
    /// A base or strength that is not finite counts as its default; the strength is clamped to
    /// [0, 3]. The mood is the one under default settings.
    pub fn new(state: EmotionalState, base: SamplingBase, strength: f64) -> Self {
        let default = SamplingBase::default();
        let finite = |value: f64, default: f64| if value.is_finite() { value } else { default };
        let strength = finite(strength, 1.0).clamp(0.0, 3.0);
        let (valence, arousal) = (state.valence(), state.arousal());
        let temperature = temperature(finite(base.temperature, default.temperature), arousal);
        let top_p = top_p(finite(base.top_p, default.top_p), valence);
        Self {
            valence,
            arousal,
            quadrant: state.quadrant(),
            mood: EmotionConfig::default().mood(state),
            temperature,
            top_p,
            coefficients: Coefficients::bilinear(valence, arousal, strength),
            strength,
        }
    }
}

/// The temperature at an arousal. Greedy sampling has no temperature that a mood could move.
fn temperature(base: f64, arousal: f64) -> f64 {
    let base = base.clamp(0.0, 2.0);
    if base == 0.0 {
        return 0.0;
    }
    let (least, most) = match base {
        ..0.1 => (base / 2.0, 1.5),
        0.1..=1.5 => (0.1, 1.5),
        _ => (0.1, (base + 0.2).min(2.0)),
    };
    (base - 0.2 * arousal).clamp(least, most)
}

/// The nucleus mass at a valence.
fn top_p(base: f64, valence: f64) -> f64 {
    // Sampling does not accept a mass of 0.
    let base = base.clamp(0.001, 1.0);
    let least = if base < 0.5 { base / 2.0 } else { 0.5 };
    (base + 0.1 * valence).clamp(least, 1.0)
}

/// Coefficients of steering vectors by emotion, in order of name; all finite.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>", into = "BTreeMap<String, f64>")]
pub struct Coefficients(BTreeMap<String, f64>);

impl Coefficients {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bilinear weights of the four quadrants' corners, times the strength.
    ///
    /// With `V = (v + 1)/2` and `A = (a + 1)/2`: excited `V·A`, frustrated `(1 − V)·A`, calm
    /// `V·(1 − A)`, depleted `(1 − V)·(1 − A)`. They sum to the strength. Arguments are clamped to
    /// [-1, 1] and [0, 3]; NaN counts as 0.
    pub fn bilinear(valence: f64, arousal: f64, strength: f64) -> Self {
        let clamped = |value: f64, low: f64, high: f64| {
            if value.is_nan() {
                0.0
            } else {
                value.clamp(low, high)
            }
        };
        let v = f64::midpoint(clamped(valence, -1.0, 1.0), 1.0);
        let a = f64::midpoint(clamped(arousal, -1.0, 1.0), 1.0);
        let strength = clamped(strength, 0.0, 3.0);
        Self(
            [
                (Quadrant::Excited, v * a),
                (Quadrant::Frustrated, (1.0 - v) * a),
                (Quadrant::Calm, v * (1.0 - a)),
                (Quadrant::Depleted, (1.0 - v) * (1.0 - a)),
            ]
            .into_iter()
            .map(|(quadrant, weight)| (quadrant.as_str().to_owned(), weight * strength))
            .collect(),
        )
    }

    /// The coefficient of an emotion.
    pub fn get(&self, emotion: &str) -> Option<f64> {
        self.0.get(emotion).copied()
    }

    /// All emotions and coefficients, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0
            .iter()
            .map(|(emotion, coefficient)| (emotion.as_str(), *coefficient))
    }

    /// Sets the coefficient of an emotion and returns the earlier one.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if the coefficient is not finite,
    /// [`EmotionError::InvalidName`] if the name is empty, too long or holds control characters.
    pub fn insert(
        &mut self,
        emotion: impl Into<String>,
        coefficient: f64,
    ) -> Result<Option<f64>, EmotionError> {
        let emotion = check_name("emotion", emotion.into())?;
        if !coefficient.is_finite() {
            return Err(EmotionError::OutOfRange {
                field: "coefficient",
                value: coefficient,
                limit: "finite".into(),
            });
        }
        Ok(self.0.insert(emotion, coefficient))
    }

    /// Number of emotions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, f64>> for Coefficients {
    type Error = EmotionError;

    fn try_from(map: BTreeMap<String, f64>) -> Result<Self, EmotionError> {
        let mut coefficients = Self::new();
        for (emotion, coefficient) in map {
            coefficients.insert(emotion, coefficient)?;
        }
        Ok(coefficients)
    }
}

impl From<Coefficients> for BTreeMap<String, f64> {
    fn from(coefficients: Coefficients) -> Self {
        coefficients.0
    }
}

/// Coefficients of the four base emotions and of custom emotions at places on the plane.
///
/// Each place `(name, v_e, a_e)` has the hat weight
/// `w_e = max(0, 1 − |v − v_e|/2) · max(0, 1 − |a − a_e|/2)`; the four corners always take part,
/// under the quadrants' names, and each coefficient is `strength · w_e / Σw`. The corners' weights
/// are those of [`Coefficients::bilinear`] and sum to 1, so without custom emotions this is the
/// bilinear rule, and `Σw ≥ 1` always.
///
/// # Errors
///
/// [`EmotionError::OutOfRange`] if valence, arousal or a place is outside [-1, 1] or the strength
/// outside [0, 3]; [`EmotionError::InvalidName`] if a name is not valid, occurs twice, or is a
/// quadrant's.
pub fn place_coefficients<'a>(
    valence: f64,
    arousal: f64,
    strength: f64,
    places: impl Iterator<Item = (&'a str, f64, f64)>,
) -> Result<Coefficients, EmotionError> {
    in_range("valence", valence, -1.0, 1.0)?;
    in_range("arousal", arousal, -1.0, 1.0)?;
    check_strength(strength)?;
    let hat = |v: f64, a: f64| {
        (1.0 - (valence - v).abs() / 2.0).max(0.0) * (1.0 - (arousal - a).abs() / 2.0).max(0.0)
    };
    let mut weights = Coefficients(
        Quadrant::ALL
            .into_iter()
            .map(|quadrant| {
                let (v, a) = quadrant.corner();
                (quadrant.as_str().to_owned(), hat(v, a))
            })
            .collect(),
    );
    for (name, v, a) in places {
        in_range("place_valence", v, -1.0, 1.0)?;
        in_range("place_arousal", a, -1.0, 1.0)?;
        if weights.insert(name, hat(v, a))?.is_some() {
            return Err(EmotionError::InvalidName {
                field: "emotion",
                value: name.to_owned(),
                limit: "stand once and not be a quadrant's name",
            });
        }
    }
    let total: f64 = weights.0.values().sum();
    for weight in weights.0.values_mut() {
        *weight = strength * *weight / total;
    }
    Ok(weights)
}

/// `calm 0.01, excited 0.18`, in order of name.
impl fmt::Display for Coefficients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (emotion, coefficient)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{emotion} {coefficient:.2}")?;
        }
        Ok(())
    }
}
