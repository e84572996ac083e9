//! The search for the largest strength that holds.

use super::CalibrateOptions;
use crate::TrainingError;

/// The first strength that is tried.
pub(super) const FIRST: f64 = 0.5;

/// Below this strength nothing is tried.
pub(super) const MIN_STRENGTH: f64 = 0.05;

/// The search ends when the smallest strength that fails is at most this multiple of the largest
/// that holds.
const CLOSE: f64 = 1.12;

/// What is left of a strength, at most, after two failures and no success.
const AFTER_FAILURES: f64 = 0.6;

/// The next strength is predicted this much short of the bound, since replies vary.
const MARGIN: f64 = 0.97;

/// What the replies at a strength show of the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// Whether they are within all bounds.
    pub(super) holds: bool,
    /// The logarithm of their perplexity's ratio, as a share of its bound's. It grows about with
    /// the square of the strength.
    pub(super) share: f64,
}

/// Finds the largest strength that holds, from the perplexity at those before. Ends early when a
/// bound is met closely, when the next strength would be too small or too large, or when `outcome`
/// has none.
pub(super) fn search(
    options: &CalibrateOptions,
    mut outcome: impl FnMut(f64) -> Result<Option<Outcome>, TrainingError>,
) -> Result<f64, TrainingError> {
    let mut good = 0.0;
    let mut bad: Option<f64> = None;
    let mut strength = FIRST.min(options.max_strength);
    for _ in 0..options.tries {
        let Some(Outcome { holds, share }) = outcome(strength)? else {
            break;
        };
        let predicted = if share > 0.0 {
            strength * MARGIN / share.sqrt()
        } else {
            f64::INFINITY
        };
        strength = if holds {
            good = strength;
            predicted.clamp(strength * CLOSE, strength * 2.0)
        } else {
            // A second failure shows that the prediction was too high.
            let most = match bad {
                Some(_) if good <= 0.0 => AFTER_FAILURES,
                _ => 1.0 / CLOSE,
            };
            bad = Some(strength);
            if predicted < strength {
                predicted.clamp(strength * 0.1, strength * most)
            } else {
                // Another bound than perplexity's.
                f64::midpoint(good, strength)
            }
        };
        if let Some(bad) = bad {
            if bad <= good * CLOSE {
                break;
            }
            if strength <= good || strength >= bad {
                strength = f64::midpoint(good, bad);
            }
        }
        strength = strength.min(options.max_strength);
        if good >= options.max_strength || strength < MIN_STRENGTH {
            break;
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strengths that are tried if perplexity follows `exp(share * strength ^ power)`, and the
    /// one that is found.
    fn searched(bound: f64, power: f64) -> (Vec<f64>, f64) {
        let options = CalibrateOptions::default();
        let mut tried = Vec::new();
        let found = search(&options, |strength| {
            tried.push(strength);
            let share = (strength / bound).powf(power);
            let holds = share <= 1.0;
            Ok(Some(Outcome { holds, share }))
        });
        (tried, found.unwrap())
    }

    #[test]
    fn the_search_finds_the_bound_in_a_few_tries() {
        for bound in [0.1, 0.3, 0.5, 0.6, 0.8, 1.0, 1.4, 1.9] {
            for power in [1.0, 2.0, 3.0] {
                let (tried, found) = searched(bound, power);
                assert!(
                    tried.len() <= 4 && found <= bound,
                    "{bound} {power}: {tried:?}"
                );
                assert!(
                    found >= 0.7 * bound,
                    "{bound} {power}: {found} of {tried:?}"
                );
            }
        }
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(searched(5.0, 2.0).1, 2.0), "no further than the limit");
        assert!(near(searched(0.001, 2.0).1, 0.0));
    }

    #[test]
    fn other_bounds_than_perplexity_halve_the_strength() {
        let options = CalibrateOptions::default();
        let found = search(&options, |strength| {
            let holds = strength <= 0.3;
            Ok(Some(Outcome { holds, share: 0.1 }))
        });
        let found = found.unwrap();
        assert!((0.2..=0.3).contains(&found), "{found}");
    }
}
