//! Blends coefficients of emotions into the vectors that backends add to the residual stream.

use std::collections::BTreeMap;
use std::fmt;

use super::library::SteeringLibrary;
use super::vector::norm;

/// A coefficient below this in absolute value is skipped.
pub const MIN_COEFFICIENT: f64 = 0.01;

/// A coefficient is clamped to this in absolute value, so that sums stay finite.
pub const MAX_COEFFICIENT: f64 = 1000.0;

/// Sum of the absolute coefficients of capped emotions above which they are scaled down. The four
/// corners' coefficients add up to the strength, with rounding.
const MAX_CAPPED: f64 = 1.0 + 1e-9;

/// The limits of a blend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlendOptions {
    /// Maximum norm that is added at a layer, in units of the residual stream's norm there, by
    /// default 1. If that norm is unknown, nothing is clamped; with a value of 0 or below, nothing
    /// is steered.
    pub max_residual_fraction: f32,
    /// Whether caps are kept whatever the strength, by default `true`.
    pub keep_caps: bool,
}

impl Default for BlendOptions {
    fn default() -> Self {
        Self {
            max_residual_fraction: 1.0,
            keep_caps: true,
        }
    }
}

/// Content hash of a plan: of its layers and values, never of the emotions' names, so that a
/// prefix cache keyed by it cannot go stale when a file changes under the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanKey([u8; 32]);

impl PlanKey {
    /// Creates a key from the bytes of a stored hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PlanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(8)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanKey({self})")
    }
}

/// The vector that is added to the output of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSteering {
    /// The layer, from 0.
    pub layer: usize,
    /// One value for each channel of the residual stream.
    pub values: Box<[f32]>,
    /// Euclidean norm of the values.
    pub norm: f32,
    /// `norm` over the residual stream's norm at this layer, if that is known.
    pub residual_fraction: Option<f32>,
    /// Whether the values were shortened, to [`BlendOptions::max_residual_fraction`] or to the caps.
    pub clamped: bool,
}

/// The vectors that one generation adds to the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct SteeringPlan {
    /// Ascending by layer; never empty, no layer is all zero.
    pub layers: Vec<LayerSteering>,
    /// Hash of the layers and values.
    pub key: PlanKey,
}

impl SteeringLibrary {
    /// Sums coefficient × cap × scale × vector over the loaded emotions, for each layer, and
    /// shortens the sum to [`BlendOptions::max_residual_fraction`] of the residual norm.
    ///
    /// A cap says how much of a vector a text survives. The coefficients of emotions whose cap
    /// `vectors.toml` states are therefore scaled down together if their absolute values add up to
    /// more than 1, unless [`BlendOptions::keep_caps`] is `false`.
    ///
    /// Coefficients already contain the steering strength. Emotions that are not loaded,
    /// coefficients below [`MIN_COEFFICIENT`] in absolute value and those that are not finite are
    /// skipped; coefficients of the same emotion add up. Sums are taken in f64 in the order of the
    /// names, so the order of the coefficients does not matter. `None` means that nothing is
    /// steered.
    pub fn blend<'a>(
        &self,
        coefficients: impl Iterator<Item = (&'a str, f64)>,
        options: &BlendOptions,
    ) -> Option<SteeringPlan> {
        let fraction = f64::from(options.max_residual_fraction);
        if fraction.is_nan() || fraction <= 0.0 {
            return None;
        }
        let mut active: Vec<(usize, f64)> = coefficients
            .filter(|(_, coefficient)| {
                coefficient.is_finite() && coefficient.abs() >= MIN_COEFFICIENT
            })
            .filter_map(|(name, coefficient)| {
                let coefficient = coefficient.clamp(-MAX_COEFFICIENT, MAX_COEFFICIENT);
                Some((self.index(name)?, coefficient))
            })
            .collect();
        active.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let is_capped = |index: usize| self.emotions.get(index).is_some_and(|e| e.info.is_capped);
        let capped = active.chunk_by(|a, b| a.0 == b.0);
        let capped = capped.filter(|same| same.first().is_some_and(|(index, _)| is_capped(*index)));
        let total: f64 = capped
            .map(|same| same.iter().map(|(_, c)| c).sum::<f64>().abs())
            .sum();
        let over_caps = options.keep_caps && total > MAX_CAPPED;
        if over_caps {
            for (index, coefficient) in &mut active {
                if is_capped(*index) {
                    *coefficient /= total;
                }
            }
        }

        let mut sums: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (index, coefficient) in active {
            let Some(emotion) = self.emotions.get(index) else {
                continue;
            };
            let factor = coefficient * emotion.gain;
            for (layer, row) in emotion.vector.rows() {
                let Some(layer) = layer else { continue };
                let sum = sums.entry(layer).or_insert_with(|| vec![0.0; row.len()]);
                for (total, &x) in sum.iter_mut().zip(row) {
                    *total += factor * f64::from(x);
                }
            }
        }
        let layers: Vec<LayerSteering> = sums
            .into_iter()
            .filter_map(|(layer, sum)| {
                let mut steering = limited(layer, &sum, self.residual(layer), fraction)?;
                steering.clamped |= over_caps;
                Some(steering)
            })
            .collect();
        if layers.is_empty() {
            return None;
        }
        let key = key(&layers);
        Some(SteeringPlan { layers, key })
    }
}

/// Rounds a sum to f32 within its limit; `None` if nothing is left.
fn limited(
    layer: usize,
    sum: &[f64],
    residual: Option<f32>,
    fraction: f64,
) -> Option<LayerSteering> {
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    let limit = residual.map_or(f64::INFINITY, |residual| fraction * f64::from(residual));
    let clamped = length > limit;
    let factor = if clamped { limit / length } else { 1.0 };
    let values: Box<[f32]> = sum
        .iter()
        .map(|&x| {
            let x = (x * factor).clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            // Turns -0 into 0, because equal plans must have equal keys.
            x + 0.0
        })
        .collect();
    if values.iter().all(|&x| x == 0.0) {
        return None;
    }
    let norm = norm(&values);
    Some(LayerSteering {
        layer,
        norm: norm.min(f64::from(f32::MAX)) as f32,
        residual_fraction: residual.map(|residual| (norm / f64::from(residual)) as f32),
        clamped,
        values,
    })
}

fn key(layers: &[LayerSteering]) -> PlanKey {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    for steering in layers {
        buffer.clear();
        buffer.extend((steering.layer as u64).to_le_bytes());
        buffer.extend((steering.values.len() as u64).to_le_bytes());
        buffer.extend(steering.values.iter().flat_map(|x| x.to_le_bytes()));
        hasher.update(&buffer);
    }
    PlanKey(*hasher.finalize().as_bytes())
}
