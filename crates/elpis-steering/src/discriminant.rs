//! Axes that tell classes of texts apart: linear discriminants with a shrunk covariance.

use crate::contrast::{self, ContrastError, dot, mean, to_f32};
use crate::manifest::Place;

/// Share of the identity in the shrunk covariance.
const SHRINKAGE: f64 = 0.3;

/// Maximum number of steps of the conjugate gradient method.
const MAX_STEPS: usize = 500;

/// Squared residual, as a share of the right side's, at which it ends.
const PRECISION: f64 = 1e-12;

/// Texts of one emotion: its place on the plane and a row of activations for each text, `[n]`.
#[derive(Debug, Clone)]
pub struct PlacedRows<R> {
    /// The emotion's place; the middle for neutral texts.
    pub place: Place,
    /// At least one row.
    pub rows: Vec<R>,
}

/// The axes of valence and of arousal, `[n]` each, of length 1.
///
/// For each coordinate, the class means are combined with the weights of a linear regression on
/// both coordinates, so that what one axis reads does not depend on the other coordinate. The
/// result is multiplied by the inverse of the covariance within the classes, shrunk towards a
/// multiple of the identity.
///
/// # Errors
/// [`ContrastError`] if there is no row, widths differ, a value is not finite, or the places do not
/// span the plane ([`ContrastError::NoDifference`]).
pub fn plane_axes<R: AsRef<[f32]>>(
    classes: &[PlacedRows<R>],
) -> Result<[Vec<f32>; 2], ContrastError> {
    let width = check(classes)?;
    let means: Vec<Vec<f64>> = classes
        .iter()
        .map(|class| mean(&class.rows, width))
        .collect();
    let within: Vec<Vec<f64>> = classes
        .iter()
        .zip(&means)
        .flat_map(|(class, mean)| class.rows.iter().map(|row| minus(row.as_ref(), mean)))
        .collect();
    let places: Vec<Place> = classes.iter().map(|class| class.place).collect();
    let [valence, arousal] = weights(&places).ok_or(ContrastError::NoDifference)?;
    Ok([
        axis(&valence, &means, &within)?,
        axis(&arousal, &means, &within)?,
    ])
}

fn check<R: AsRef<[f32]>>(classes: &[PlacedRows<R>]) -> Result<usize, ContrastError> {
    if classes.iter().any(|class| class.rows.is_empty()) {
        return Err(ContrastError::Empty { field: "rows" });
    }
    let rows: Vec<&[f32]> = classes
        .iter()
        .flat_map(|class| class.rows.iter().map(AsRef::as_ref))
        .collect();
    contrast::check("rows", &rows, None)
}

fn minus(row: &[f32], mean: &[f64]) -> Vec<f64> {
    let pairs = row.iter().zip(mean);
    pairs.map(|(&x, mean)| f64::from(x) - mean).collect()
}

/// The weights of the classes in the slopes of a regression on valence and arousal.
fn weights(places: &[Place]) -> Option<[Vec<f64>; 2]> {
    let count = places.len() as f64;
    let mean = |of: fn(&Place) -> f64| places.iter().map(of).sum::<f64>() / count;
    let (valence, arousal) = (mean(|place| place.valence), mean(|place| place.arousal));
    let centred: Vec<(f64, f64)> = places
        .iter()
        .map(|place| (place.valence - valence, place.arousal - arousal))
        .collect();
    let sum = |of: fn(&(f64, f64)) -> f64| centred.iter().map(of).sum::<f64>();
    let (vv, aa, va) = (sum(|p| p.0 * p.0), sum(|p| p.1 * p.1), sum(|p| p.0 * p.1));
    let determinant = vv * aa - va * va;
    if determinant <= 1e-6 * vv * aa || determinant.is_nan() {
        return None;
    }
    let solve = |x: f64, y: f64| {
        let of = |(v, a): &(f64, f64)| (x * v + y * a) / determinant;
        centred.iter().map(of).collect()
    };
    Some([solve(aa, -va), solve(-va, vv)])
}

fn axis(
    weights: &[f64],
    means: &[Vec<f64>],
    within: &[Vec<f64>],
) -> Result<Vec<f32>, ContrastError> {
    let width = means.first().map_or(0, Vec::len);
    let mut difference = vec![0.0; width];
    for (weight, mean) in weights.iter().zip(means) {
        add(&mut difference, *weight, mean);
    }
    let solved = solve(within, &difference);
    let length = dot(&solved, &solved).sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return Err(ContrastError::NoDifference);
    }
    let unit: Vec<f64> = solved.iter().map(|x| x / length).collect();
    Ok(to_f32(&unit))
}

/// Solves (a·1 + b·WᵀW) x = y by conjugate gradients. The matrix is never formed.
fn solve(within: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let width = y.len();
    let count = within.len().max(1) as f64;
    let variance = within.iter().map(|row| dot(row, row)).sum::<f64>() / count / width as f64;
    if variance <= 0.0 {
        return y.to_vec();
    }
    let apply = |x: &[f64]| {
        let mut result: Vec<f64> = x.iter().map(|x| SHRINKAGE * variance * x).collect();
        for row in within {
            add(&mut result, (1.0 - SHRINKAGE) / count * dot(row, x), row);
        }
        result
    };
    let mut x = vec![0.0; width];
    let mut residual = y.to_vec();
    let mut direction = residual.clone();
    let mut squared = dot(&residual, &residual);
    let enough = PRECISION * squared;
    for _ in 0..MAX_STEPS {
        if squared <= enough {
            break;
        }
        let applied = apply(&direction);
        let step = squared / dot(&direction, &applied);
        add(&mut x, step, &direction);
        add(&mut residual, -step, &applied);
        let before = std::mem::replace(&mut squared, dot(&residual, &residual));
        let share = squared / before;
        for (d, r) in direction.iter_mut().zip(&residual) {
            *d = r + share * *d;
        }
    }
    x
}

fn add(to: &mut [f64], factor: f64, row: &[f64]) {
    for (to, x) in to.iter_mut().zip(row) {
        *to += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(valence: f64, arousal: f64, rows: &[[f32; 4]]) -> PlacedRows<[f32; 4]> {
        PlacedRows {
            place: Place { valence, arousal },
            rows: rows.to_vec(),
        }
    }

    /// Valence along the first coordinate, arousal along the second, noise along the third.
    fn corners() -> Vec<PlacedRows<[f32; 4]>> {
        let noise = [-9.0, 3.0, 6.0];
        let corner = |valence: f64, arousal: f64| {
            let rows = noise.map(|n| [valence as f32, arousal as f32 * 0.5 + 2.0, n, 0.0]);
            class(valence, arousal, &rows)
        };
        vec![
            corner(1.0, 1.0),
            corner(1.0, -1.0),
            corner(-1.0, 1.0),
            corner(-1.0, -1.0),
        ]
    }

    #[test]
    fn an_axis_reads_its_own_coordinate_alone() {
        let [valence, arousal] = plane_axes(&corners()).unwrap();
        for (axis, at) in [(&valence, 0), (&arousal, 1)] {
            for (index, value) in axis.iter().enumerate() {
                let expected = if index == at { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-6, "{axis:?}");
            }
        }
        // Emotions that lie on a diagonal do not mix the axes up.
        let mut more = corners();
        more.push(class(
            0.5,
            0.5,
            &[[0.5, 2.25, 1.0, 0.0], [0.5, 2.25, -1.0, 0.0]],
        ));
        let [valence, arousal] = plane_axes(&more).unwrap();
        assert!(valence[0] > 0.999 && arousal[1] > 0.999);
    }

    #[test]
    fn what_varies_within_classes_counts_less() {
        let mut classes = corners();
        for class in &mut classes {
            // It follows valence, and the noise still more, which the third coordinate tells apart.
            for row in &mut class.rows {
                row[3] = row[0] + row[2];
            }
        }
        let [valence, _] = plane_axes(&classes).unwrap();
        let (read, noise) = (valence[0] + valence[3], valence[2] + valence[3]);
        assert!(noise.abs() < 0.1 * read, "{valence:?}");
    }

    #[test]
    fn a_matrix_is_inverted() {
        let within = [
            vec![1.0, 2.0, 0.5],
            vec![-1.0, 0.0, 3.0],
            vec![0.2, -2.0, 1.0],
        ];
        let y = [1.0, -2.0, 0.5];
        let x = solve(&within, &y);
        let count = within.len() as f64;
        let variance = within.iter().map(|row| dot(row, row)).sum::<f64>() / count / 3.0;
        for index in 0..3 {
            let mut sum = SHRINKAGE * variance * x[index];
            for row in &within {
                sum += (1.0 - SHRINKAGE) / count * row[index] * dot(row, &x);
            }
            assert!((sum - y[index]).abs() < 1e-5, "{index}");
        }
    }

    #[test]
    fn places_on_a_line_and_bad_rows_are_refused() {
        let line = vec![class(1.0, 1.0, &[[1.0; 4]]), class(-1.0, -1.0, &[[0.0; 4]])];
        assert_eq!(plane_axes(&line), Err(ContrastError::NoDifference));
        let mut bad = corners();
        bad[2].rows[1][3] = f32::NAN;
        assert!(matches!(
            plane_axes(&bad),
            Err(ContrastError::NotFinite { row: 7, .. })
        ));
        bad[2].rows.clear();
        assert!(matches!(plane_axes(&bad), Err(ContrastError::Empty { .. })));
        let none: &[PlacedRows<[f32; 4]>] = &[];
        assert!(plane_axes(none).is_err());
    }
}
