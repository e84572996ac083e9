//! Blends coefficients of emotions into the vectors that backends add to the residual stream.

use std::collections::BTreeMap;
use std::fmt;

use super::library::SteeringLibrary;
use super::vector::norm;

/// A coefficient below this in absolute value is skipped.
pub const MIN_COEFFICIENT: f64 = 0.01;

/// A coefficient is clamped to this in absolute value, so that sums stay finite.
pub const MAX_COEFFICIENT: f64 = 1000.0;

/// A single emotion at its cap is not longer than its cap, whatever the rounding.
const ROUNDING: f64 = 1.0 + 1e-9;

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
    /// A cap says how much of a vector a text survives. What emotions whose cap `vectors.toml`
    /// states add to a layer together is therefore shortened to the longest of their vectors at its
    /// cap, whatever the strength, unless [`BlendOptions::keep_caps`] is `false`.
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
        let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
        for (index, coefficient) in active {
            let Some(emotion) = self.emotions.get(index) else {
                continue;
            };
            let factor = coefficient * emotion.gain;
            let is_capped = options.keep_caps && emotion.info.is_capped;
            for (layer, row) in emotion.vector.rows() {
                let Some(layer) = layer else { continue };
                let sum = sums.entry(layer).or_insert_with(|| Sum::new(row.len()));
                if is_capped {
                    sum.longest = sum.longest.max(emotion.gain.abs() * norm(row));
                }
                let total = if is_capped {
                    &mut sum.capped
                } else {
                    &mut sum.free
                };
                for (total, &x) in total.iter_mut().zip(row) {
                    *total += factor * f64::from(x);
                }
            }
        }
        let layers: Vec<LayerSteering> = sums
            .into_iter()
            .filter_map(|(layer, sum)| {
                let (sum, cut) = sum.within_caps();
                let mut steering = limited(layer, &sum, self.residual(layer), fraction)?;
                steering.clamped |= cut;
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

/// What is added at a layer.
struct Sum {
    /// From emotions with a cap.
    capped: Vec<f64>,
    /// The longest vector among them, at its cap.
    longest: f64,
    /// From the other emotions.
    free: Vec<f64>,
}

impl Sum {
    fn new(width: usize) -> Self {
        Self {
            capped: vec![0.0; width],
            longest: 0.0,
            free: vec![0.0; width],
        }
    }

    /// The whole sum, and whether the part with caps was shortened.
    fn within_caps(self) -> (Vec<f64>, bool) {
        let length = self.capped.iter().map(|x| x * x).sum::<f64>().sqrt();
        let cut = length > self.longest * ROUNDING;
        let factor = if cut { self.longest / length } else { 1.0 };
        let parts = self.capped.iter().zip(&self.free);
        let whole = parts.map(|(capped, free)| capped * factor + free);
        (whole.collect(), cut)
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
