//! Text quality beyond perplexity: repetition.

use std::collections::HashSet;

use elpis_backend::Token;

/// Length of the sequences whose repetition is counted.
const GRAM: usize = 4;

/// Fraction of a text's sequences of four tokens that occurred in it before, in [0, 1]. A model in
/// a loop is confident, so perplexity does not show repetition.
pub(super) fn repetition(tokens: &[Token]) -> f64 {
    let grams = tokens.len().saturating_sub(GRAM - 1);
    if grams == 0 {
        return 0.0;
    }
    let distinct: HashSet<&[Token]> = tokens.windows(GRAM).collect();
    (grams - distinct.len()) as f64 / grams as f64
}

/// Mean and standard deviation.
pub(super) fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_repeat_and_plain_text_does_not() {
        let share = |tokens: &[u32]| (repetition(tokens) * 1000.0).round() as u32;
        assert_eq!(share(&[]), 0);
        assert_eq!(share(&[1, 2, 3]), 0);
        assert_eq!(share(&(0..20).collect::<Vec<_>>()), 0);
        assert_eq!(share(&[7; 23]), 950);
        assert_eq!(share(&[1, 2, 3, 4, 1, 2, 3, 4]), 200);
    }

    #[test]
    fn the_spread_of_a_few_numbers() {
        let (mean, deviation) = spread(&[1.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
        assert!(spread(&[]).0.abs() < 1e-12);
    }
}
