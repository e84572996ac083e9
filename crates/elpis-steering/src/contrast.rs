//! Training arithmetic: steering vectors from activations of contrasting prompts.
//!
//! A row is one activation of the residual stream, of width `n`. Everything accumulates in f64 and
//! is deterministic. The mean difference is the usual choice (N. Rimsky et al., *Steering Llama 2
//! via Contrastive Activation Addition*, 2023); principal components of paired differences follow
//! A. Zou et al., *Representation Engineering*, 2023.

use thiserror::Error;

/// Maximum number of steps of the power iteration.
const MAX_STEPS: usize = 2000;

/// Refusal of activations or scores.
#[derive(Debug, Clone, PartialEq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ContrastError {
    /// A set has no rows or no scores, or its rows no values.
    #[error("{field} is empty")]
    Empty {
        /// The argument.
        field: &'static str,
    },
    /// A row has another width than the first.
    #[error("{field}: row {row} has {width} values, must have {expected}")]
    WidthMismatch {
        /// The argument.
        field: &'static str,
        /// Index of the row.
        row: usize,
        /// Its width.
        width: usize,
        /// The width of the first row.
        expected: usize,
    },
    /// A value is infinite or not a number.
    #[error("{field}: row {row} holds {value}, must be finite")]
    NotFinite {
        /// The argument.
        field: &'static str,
        /// Index of the row or score.
        row: usize,
        /// The value found.
        value: f64,
    },
    /// Pairs need as many negative rows as positive ones.
    #[error(
        "there are {positive} positive and {negative} negative rows, pairs need as many of each"
    )]
    NotPaired {
        /// Number of positive rows.
        positive: usize,
        /// Number of negative rows.
        negative: usize,
    },
    /// All differences are zero, so there is no direction.
    #[error("the positive and negative rows do not differ")]
    NoDifference,
}

impl ContrastError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Mean of the positive rows minus mean of the negative rows, `[n]`.
///
/// # Errors
///
/// [`ContrastError`] if a set is empty, widths differ or a value is not finite.
pub fn mean_difference<R: AsRef<[f32]>>(
    positive: &[R],
    negative: &[R],
) -> Result<Vec<f32>, ContrastError> {
    Ok(to_f32(&difference(positive, negative)?))
}

fn difference<R: AsRef<[f32]>>(positive: &[R], negative: &[R]) -> Result<Vec<f64>, ContrastError> {
    let width = check("positive", positive, None)?;
    check("negative", negative, Some(width))?;
    let (positive, negative) = (mean(positive, width), mean(negative, width));
    Ok(positive.iter().zip(&negative).map(|(p, n)| p - n).collect())
}

/// First principal direction of the differences `positive[i] - negative[i]`, `[n]`, of norm 1.
///
/// The differences are not centred: their mean is what is looked for, and centring would remove
/// it. Equivalently, each difference is taken with both signs. The sign of the result is that of
/// the positive mean: projected on it, the positive rows lie higher on average.
///
/// # Errors
///
/// [`ContrastError`] if a set is empty, widths or numbers of rows differ, a value is not finite or
/// all differences are zero.
pub fn pca<R: AsRef<[f32]>>(positive: &[R], negative: &[R]) -> Result<Vec<f32>, ContrastError> {
    let mean = difference(positive, negative)?;
    if positive.len() != negative.len() {
        return Err(ContrastError::NotPaired {
            positive: positive.len(),
            negative: negative.len(),
        });
    }
    let mut rows: Vec<Vec<f64>> = positive
        .iter()
        .zip(negative)
        .map(|(p, n)| {
            let pairs = p.as_ref().iter().zip(n.as_ref());
            pairs.map(|(&p, &n)| f64::from(p) - f64::from(n)).collect()
        })
        .collect();
    // Largest value 1, so that no product overflows or vanishes.
    let largest = rows.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        return Err(ContrastError::NoDifference);
    }
    rows.iter_mut().flatten().for_each(|x| *x /= largest);

    let mut direction = principal(&rows, mean.len());
    if dot(&direction, &mean) < 0.0 {
        for x in &mut direction {
            *x = -*x;
        }
    }
    Ok(to_f32(&direction))
}

/// Power iteration on the rows' Gram operator; at least one row is not zero.
fn principal(rows: &[Vec<f64>], width: usize) -> Vec<f64> {
    // A fixed pseudorandom start: the mean or a row may be exactly orthogonal to the answer.
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut direction: Vec<f64> = (0..width)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as f64 / u64::MAX as f64 - 0.5
        })
        .collect();
    normalise(&mut direction);
    for _ in 0..MAX_STEPS {
        let mut next = vec![0.0; width];
        for row in rows {
            let projection = dot(row, &direction);
            for (n, x) in next.iter_mut().zip(row) {
                *n += projection * x;
            }
        }
        if normalise(&mut next) == 0.0 {
            break;
        }
        let change = 1.0 - dot(&next, &direction).abs();
        direction = next;
        if change < 1e-15 {
            break;
        }
    }
    direction
}

/// Subtracts the mean of the vectors from each. This removes what all moods share (being a mood
/// sentence at all) and keeps what distinguishes them.
///
/// # Errors
///
/// [`ContrastError`] if there is no vector, widths differ or a value is not finite.
pub fn remove_common_mean<R: AsRef<[f32]>>(vectors: &[R]) -> Result<Vec<Vec<f32>>, ContrastError> {
    remove_mean_of(vectors, vectors)
}

/// Subtracts the mean of some vectors from each of others.
///
/// # Errors
///
/// [`ContrastError`] if there is no vector, widths differ or a value is not finite.
pub fn remove_mean_of<R: AsRef<[f32]>>(
    common: &[R],
    vectors: &[R],
) -> Result<Vec<Vec<f32>>, ContrastError> {
    let width = check("common", common, None)?;
    check("vectors", vectors, Some(width))?;
    let mean = mean(common, width);
    Ok(vectors
        .iter()
        .map(|vector| {
            let pairs = vector.as_ref().iter().zip(&mean);
            pairs.map(|(&x, m)| (f64::from(x) - m) as f32).collect()
        })
        .collect())
}

/// Median of the rows' Euclidean norms; of an even number, the mean of the middle two.
///
/// The median, because the first token of a sequence is an attention sink whose norm is many times
/// that of the others.
///
/// # Errors
///
/// [`ContrastError`] if there is no row, widths differ or a value is not finite.
pub fn median_norm<R: AsRef<[f32]>>(rows: &[R]) -> Result<f32, ContrastError> {
    check("rows", rows, None)?;
    let mut norms: Vec<f64> = rows
        .iter()
        .map(|row| super::vector::norm(row.as_ref()))
        .collect();
    norms.sort_unstable_by(f64::total_cmp);
    let middle = norms.len() / 2;
    let at = |index: usize| norms.get(index).copied().unwrap_or_default();
    Ok(if norms.len() % 2 == 1 {
        at(middle) as f32
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle)) as f32
    })
}

/// Projects each row on a direction: the score that [`auc`] compares.
///
/// # Errors
///
/// [`ContrastError`] if there is no row, a width differs from the direction's or a value is not
/// finite.
pub fn scores<R: AsRef<[f32]>>(rows: &[R], direction: &[f32]) -> Result<Vec<f64>, ContrastError> {
    let width = check("direction", &[direction], None)?;
    check("rows", rows, Some(width))?;
    Ok(rows
        .iter()
        .map(|row| {
            let pairs = row.as_ref().iter().zip(direction);
            pairs.map(|(&x, &d)| f64::from(x) * f64::from(d)).sum()
        })
        .collect())
}

/// Probability that a positive score is above a negative one, in [0, 1]; a tie counts half. 0.5 is
/// chance, 1 is perfect separation. (The Mann–Whitney U statistic over the number of pairs.)
///
/// # Errors
///
/// [`ContrastError`] if a set is empty or a score is not finite.
pub fn auc(positive: &[f64], negative: &[f64]) -> Result<f64, ContrastError> {
    let mut sorted = Vec::with_capacity(negative.len());
    for (field, scores) in [("positive", positive), ("negative", negative)] {
        if scores.is_empty() {
            return Err(ContrastError::Empty { field });
        }
        if let Some((row, &value)) = scores.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(ContrastError::NotFinite { field, row, value });
        }
    }
    sorted.extend_from_slice(negative);
    sorted.sort_unstable_by(f64::total_cmp);
    let wins: f64 = positive
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|x| x < score);
            let up_to = sorted.partition_point(|x| x <= score);
            f64::midpoint(below as f64, up_to as f64)
        })
        .sum();
    Ok(wins / positive.len() as f64 / negative.len() as f64)
}

/// Checks a set of rows and returns their width.
pub(crate) fn check<R: AsRef<[f32]>>(
    field: &'static str,
    rows: &[R],
    width: Option<usize>,
) -> Result<usize, ContrastError> {
    let first = rows.first().map_or(0, |row| row.as_ref().len());
    if first == 0 {
        return Err(ContrastError::Empty { field });
    }
    let expected = width.unwrap_or(first);
    for (index, row) in rows.iter().enumerate() {
        let row = row.as_ref();
        if row.len() != expected {
            return Err(ContrastError::WidthMismatch {
                field,
                row: index,
                width: row.len(),
                expected,
            });
        }
        if let Some(&value) = row.iter().find(|x| !x.is_finite()) {
            return Err(ContrastError::NotFinite {
                field,
                row: index,
                value: value.into(),
            });
        }
    }
    Ok(expected)
}

pub(crate) fn mean<R: AsRef<[f32]>>(rows: &[R], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for row in rows {
        for (total, &x) in sum.iter_mut().zip(row.as_ref()) {
            *total += f64::from(x);
        }
    }
    let count = rows.len() as f64;
    for total in &mut sum {
        *total /= count;
    }
    sum
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scales to norm 1 and returns the norm; leaves zero as it is.
fn normalise(values: &mut [f64]) -> f64 {
    let norm = dot(values, values).sqrt();
    if norm > 0.0 {
        for x in values {
            *x /= norm;
        }
    }
    norm
}

pub(crate) fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}
