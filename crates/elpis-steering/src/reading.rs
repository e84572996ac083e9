//! Reading what a text expresses from the residual stream.
//!
//! A row of the residual stream is projected on two axes that were trained for a model, one for
//! valence and one for arousal. The mean of the projections over a reply's tokens, centred and
//! scaled by those of the model's own neutral replies, tells what the reply expresses. The axes are
//! linear discriminants: differences of class means, weighted by the inverse of the covariance
//! within classes (R. A. Fisher, *The use of multiple measurements in taxonomic problems*, 1936),
//! shrunk towards the identity as by O. Ledoit and M. Wolf (*A well-conditioned estimator for
//! large-dimensional covariance matrices*, 2004).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::format::{FormatError, write_pack};
use crate::manifest::Place;

/// Maximum number of points of an [`Expressed::course`].
pub const MAX_COURSE: usize = 16;

/// Number of tokens of a course's point in a short reply.
const WINDOW: u32 = 8;

/// The directions that rows of the residual stream are projected on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadingAxes {
    /// The decoder layer whose output is read, from 0.
    pub layer: usize,
    /// The direction of valence, `[n_embd]`.
    pub valence: Box<[f32]>,
    /// The direction of arousal, `[n_embd]`.
    pub arousal: Box<[f32]>,
}

impl ReadingAxes {
    /// Axes at the output of a decoder layer, both `[n_embd]`.
    pub fn new(layer: usize, valence: Box<[f32]>, arousal: Box<[f32]>) -> Self {
        Self {
            layer,
            valence,
            arousal,
        }
    }

    /// Whether the axes fit a model.
    pub fn fits(&self, n_layers: usize, n_embd: usize) -> bool {
        self.layer < n_layers && self.valence.len() == n_embd && self.arousal.len() == n_embd
    }

    /// The file of these axes: safetensors with the tensors `valence` and `arousal`, `[n_embd]`
    /// each in f32. The layer is not part of it; `vectors.toml` has it.
    ///
    /// # Errors
    /// [`FormatError`] if the file would be too large.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, FormatError> {
        write_pack(&[("arousal", &self.arousal), ("valence", &self.valence)])
    }

    /// The projection of a row of the residual stream, `[n_embd]`.
    pub fn project(&self, row: &[f32]) -> Projection {
        Projection {
            valence: dot(row, &self.valence),
            arousal: dot(row, &self.arousal),
        }
    }
}

/// The dot product in f32, in eight sums, which compilers turn into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

/// A row's dot products with both axes, in the units of the residual stream.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Projection {
    /// Along the axis of valence.
    pub valence: f32,
    /// Along the axis of arousal.
    pub arousal: f32,
}

impl Projection {
    /// A projection.
    pub fn new(valence: f32, arousal: f32) -> Self {
        Self { valence, arousal }
    }
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AxisScale {
    /// Mean projection of the model's own neutral replies.
    pub mean: f64,
    /// Standard deviation among the means of these replies, above 0.
    pub deviation: f64,
    /// Number of deviations that are 1 on the plane of valence and arousal, above 0.
    pub span: f64,
}

impl AxisScale {
    /// The scale of an axis whose deviation and span are above 0.
    pub fn new(mean: f64, deviation: f64, span: f64) -> Self {
        Self {
            mean,
            deviation,
            span,
        }
    }

    /// A projection in deviations from neutral.
    pub fn scaled(&self, projection: f64) -> f64 {
        (projection - self.mean) / self.deviation
    }

    /// Where that many deviations lie on the plane, in [-1, 1].
    fn on_plane(&self, deviations: f64) -> f64 {
        (deviations / self.span).clamp(-1.0, 1.0)
    }
}

/// Axes with their scales: all that is needed to read replies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The axes, which a backend projects on.
    pub axes: Arc<ReadingAxes>,
    /// The scale of valence.
    pub valence: AxisScale,
    /// The scale of arousal.
    pub arousal: AxisScale,
}

impl Reading {
    /// Axes with their scales.
    pub fn new(axes: Arc<ReadingAxes>, valence: AxisScale, arousal: AxisScale) -> Self {
        Self {
            axes,
            valence,
            arousal,
        }
    }
}

/// What a reply expresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Expressed {
    /// Unpleasant (negative) to pleasant (positive): the mean over the reply, in standard
    /// deviations of the model's neutral replies.
    pub valence: f64,
    /// Sleepy (negative) to activated (positive), likewise.
    pub arousal: f64,
    /// The place on the plane of valence and arousal, by the emotions that the axes were trained
    /// on.
    pub place: Place,
    /// Number of tokens that were read: those of the reply that were evaluated. The last token of a
    /// reply that ends at its limit is not.
    pub tokens: u32,
    /// How it goes on over the reply: at most [`MAX_COURSE`] points of equally many tokens.
    pub course: Vec<ExpressedPoint>,
}

/// What some consecutive tokens of a reply express.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExpressedPoint {
    /// The first of them, counted among those that were read.
    pub from_token: u32,
    /// Their mean, as [`Expressed::valence`].
    pub valence: f64,
    /// Their mean, as [`Expressed::arousal`].
    pub arousal: f64,
}

/// Sums over some consecutive tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    valence: f64,
    arousal: f64,
    tokens: u32,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.valence += other.valence;
        self.arousal += other.arousal;
        self.tokens += other.tokens;
    }

    fn mean(self) -> (f64, f64) {
        let tokens = f64::from(self.tokens.max(1));
        (self.valence / tokens, self.arousal / tokens)
    }
}

/// Collects the projections of a reply.
#[derive(Debug, Clone)]
pub struct ExpressionMeter {
    total: Sum,
    /// The windows of the course; only the last may be incomplete.
    windows: [Sum; MAX_COURSE],
    used: usize,
    /// Number of tokens of a window.
    window: u32,
    spans: (f64, f64),
}

impl Default for ExpressionMeter {
    fn default() -> Self {
        Self {
            total: Sum::default(),
            windows: [Sum::default(); MAX_COURSE],
            used: 0,
            window: WINDOW,
            spans: (1.0, 1.0),
        }
    }
}

impl ExpressionMeter {
    /// Adds a token. Projections that are not finite are left out.
    pub fn add(&mut self, projection: Projection, reading: &Reading) {
        let token = Sum {
            valence: reading.valence.scaled(f64::from(projection.valence)),
            arousal: reading.arousal.scaled(f64::from(projection.arousal)),
            tokens: 1,
        };
        if !(token.valence.is_finite() && token.arousal.is_finite()) {
            return;
        }
        self.spans = (reading.valence.span, reading.arousal.span);
        self.total.add(token);
        let is_full = |sum: &Sum| sum.tokens >= self.window;
        let last = self.used.checked_sub(1).and_then(|at| self.windows.get(at));
        if last.is_none_or(is_full) {
            if self.used == MAX_COURSE {
                self.halve();
            }
            self.used += 1;
        }
        if let Some(last) = self.windows.get_mut(self.used - 1) {
            last.add(token);
        }
    }

    /// Joins every two windows.
    fn halve(&mut self) {
        let mut joined = [Sum::default(); MAX_COURSE];
        for (to, pair) in joined.iter_mut().zip(self.windows.chunks(2)) {
            for &window in pair {
                to.add(window);
            }
        }
        self.windows = joined;
        self.used = MAX_COURSE / 2;
        self.window *= 2;
    }

    /// Number of tokens so far.
    pub fn tokens(&self) -> u32 {
        self.total.tokens
    }

    /// The place on the plane so far; `None` before the first token.
    pub fn place(&self) -> Option<Place> {
        if self.total.tokens == 0 {
            return None;
        }
        let (valence, arousal) = self.total.mean();
        let on_plane = |deviations, span| AxisScale::new(0.0, 1.0, span).on_plane(deviations);
        Some(Place {
            valence: on_plane(valence, self.spans.0),
            arousal: on_plane(arousal, self.spans.1),
        })
    }

    /// What the tokens so far express; `None` before the first.
    pub fn expressed(&self) -> Option<Expressed> {
        let place = self.place()?;
        let (valence, arousal) = self.total.mean();
        let mut from_token = 0;
        let windows = self.windows.iter().take(self.used);
        let course = windows.map(|window| {
            let (valence, arousal) = window.mean();
            let point = ExpressedPoint {
                from_token,
                valence,
                arousal,
            };
            from_token += window.tokens;
            point
        });
        Some(Expressed {
            valence,
            arousal,
            place,
            tokens: self.total.tokens,
            course: course.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let axes = ReadingAxes::new(3, vec![1.0, 0.0].into(), vec![0.0, -2.0].into());
        Reading::new(
            Arc::new(axes),
            AxisScale::new(1.0, 0.5, 4.0),
            AxisScale::new(0.0, 2.0, 2.0),
        )
    }

    #[test]
    fn a_row_is_projected_on_both_axes() {
        let axes = reading().axes;
        assert_eq!(axes.project(&[3.0, 4.0]), Projection::new(3.0, -8.0));
        let long: Vec<f32> = (0..19).map(|n| n as f32).collect();
        let all = ReadingAxes::new(0, vec![1.0; 19].into(), long.clone().into());
        let squares: f32 = long.iter().map(|n| n * n).sum();
        assert_eq!(all.project(&long), Projection::new(171.0, squares));
        assert!(axes.fits(4, 2) && !axes.fits(3, 2) && !axes.fits(4, 3));
    }

    #[test]
    fn a_reply_expresses_the_mean_of_its_tokens_in_deviations_from_neutral() {
        let mut meter = ExpressionMeter::default();
        assert_eq!(meter.expressed(), None);
        for valence in [1.0, 2.0, 3.0] {
            meter.add(Projection::new(valence, 4.0), &reading());
        }
        meter.add(Projection::new(f32::NAN, 4.0), &reading());
        let expressed = meter.expressed().unwrap();
        assert_eq!((expressed.valence, expressed.arousal), (2.0, 2.0));
        let place = Place {
            valence: 0.5,
            arousal: 1.0,
        };
        assert_eq!(expressed.place, place);
        assert_eq!((expressed.tokens, expressed.course.len()), (3, 1));
    }

    #[test]
    fn the_course_of_a_reply_stays_short_and_loses_nothing() {
        for length in [1, 8, 9, 128, 129, 1000, 5000] {
            let mut meter = ExpressionMeter::default();
            for token in 0..length {
                meter.add(Projection::new(token as f32, 0.0), &reading());
            }
            let expressed = meter.expressed().unwrap();
            let course = &expressed.course;
            assert!(course.len() <= MAX_COURSE, "{length}");
            assert!(length < 65 || course.len() >= MAX_COURSE / 2, "{length}");
            let ends = course.iter().skip(1).map(|point| point.from_token);
            let ends: Vec<u32> = ends.chain([length]).collect();
            let sum: f64 = course
                .iter()
                .zip(&ends)
                .map(|(point, end)| point.valence * f64::from(end - point.from_token))
                .sum();
            let mean = sum / f64::from(length);
            assert!((mean - expressed.valence).abs() < 1e-6, "{length}");
            assert!(
                course.is_sorted_by(|a, b| a.valence < b.valence),
                "{length}"
            );
        }
    }
}
