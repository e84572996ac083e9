//! Repetition in a text.

use std::collections::HashSet;

/// Length of the sequences whose repetition is counted, in tokens.
const GRAM: usize = 4;

/// Number of sequences up to which they are compared one by one, which needs no memory.
const COMPARED: usize = 128;

/// Fraction of a text's sequences of four tokens that occurred in it before, in [0, 1]; 0 for a text
/// of fewer than four. A model in a loop is confident, so perplexity does not show repetition.
pub fn repetition(tokens: &[u32]) -> f64 {
    let grams = tokens.len().saturating_sub(GRAM - 1);
    if grams == 0 {
        return 0.0;
    }
    let distinct = if grams <= COMPARED {
        let all = tokens.windows(GRAM).enumerate();
        let new = all.filter(|(at, gram)| !tokens.windows(GRAM).take(*at).any(|old| old == *gram));
        new.count()
    } else {
        tokens.windows(GRAM).collect::<HashSet<_>>().len()
    };
    (grams - distinct) as f64 / grams as f64
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
        // A long text is counted another way.
        let phrase = |length: u32| (0..length).map(|at| at % 40).collect::<Vec<_>>();
        assert_eq!(share(&phrase(131)), 688);
        assert_eq!(share(&phrase(132)), 690);
    }
}
