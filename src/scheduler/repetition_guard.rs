//! Lowers the steering of a reply that begins to loop.

use crate::backend::Token;
use crate::inference::repetition;

/// Number of tokens that are examined at most.
const WINDOW: usize = 64;

/// Number of tokens without which no loop is recognised. After the steering is lowered, as many
/// tokens must follow before it is lowered again.
const FEWEST: usize = 24;

/// Tokens between two examinations.
const EVERY: usize = 8;

/// Share of repeated sequences of four tokens from which on a reply loops. Lists and tables stay
/// below it.
const LOOPS: f64 = 0.4;

/// Factors on the coefficients of steering, from one step to the next.
const FACTORS: [f64; 4] = [1.0, 0.5, 0.25, 0.0];

/// Recognises a reply that loops.
#[derive(Debug, Clone, Copy)]
pub(super) struct RepetitionGuard {
    enabled: bool,
    /// Length of the reply when the steering was last lowered.
    since: usize,
    step: usize,
}

impl RepetitionGuard {
    pub(super) fn new(enabled: bool) -> Self {
        Self {
            enabled,
            since: 0,
            step: 0,
        }
    }

    /// Factor on the coefficients of steering: 1, ½, ¼ or 0.
    pub(super) fn factor(&self) -> f64 {
        FACTORS.get(self.step).copied().unwrap_or(0.0)
    }

    /// Examines the reply after each token. Returns whether the factor has changed.
    pub(super) fn examine(&mut self, reply: &[Token]) -> bool {
        let fresh = reply.get(self.since..).unwrap_or_default();
        if !self.enabled
            || self.step + 1 >= FACTORS.len()
            || fresh.len() < FEWEST
            || !fresh.len().is_multiple_of(EVERY)
        {
            return false;
        }
        let window = fresh.get(fresh.len().saturating_sub(WINDOW)..);
        if repetition(window.unwrap_or_default()) < LOOPS {
            return false;
        }
        self.since = reply.len();
        self.step += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factors after each token of a reply, with the lengths at which they change.
    fn changes(reply: &[Token]) -> Vec<(usize, f64)> {
        let mut guard = RepetitionGuard::new(true);
        let lengths = 1..=reply.len();
        lengths
            .filter(|&length| guard.examine(&reply[..length]))
            .collect::<Vec<_>>()
            .into_iter()
            .zip([0.5, 0.25, 0.0])
            .collect()
    }

    #[test]
    fn a_loop_lowers_the_steering_step_by_step() {
        let stuck = [7; 200];
        assert_eq!(changes(&stuck), [(24, 0.5), (48, 0.25), (72, 0.0)]);
        let phrase: Vec<Token> = (0..200).map(|at| at % 9).collect();
        assert_eq!(changes(&phrase), [(24, 0.5), (48, 0.25), (72, 0.0)]);
        let mut guard = RepetitionGuard::new(true);
        for (length, factor) in [(23, 1.0), (24, 0.5), (48, 0.25), (72, 0.0), (200, 0.0)] {
            guard.examine(&stuck[..length]);
            assert!((guard.factor() - factor).abs() < f64::EPSILON, "{length}");
        }
        assert!(!RepetitionGuard::new(false).examine(&stuck[..64]));
    }

    #[test]
    fn text_that_does_not_loop_is_left_alone() {
        let plain: Vec<Token> = (0..400).collect();
        assert!(changes(&plain).is_empty());
        // A list whose items begin alike.
        let list: Vec<Token> = (0..40)
            .flat_map(|item| {
                let own = 100 + 10 * item;
                [1, 2, 3, own, own + 1, own + 2, own + 3, own + 4, own + 5, 4]
            })
            .collect();
        assert!(changes(&list).is_empty(), "{:?}", changes(&list));
        // A phrase that comes twice.
        let twice: Vec<Token> = (0..20).chain(50..70).chain(0..20).chain(100..140).collect();
        assert!(changes(&twice).is_empty());
    }

    #[test]
    fn a_loop_that_ends_is_not_counted_twice() {
        let text: Vec<Token> = std::iter::repeat_n(7, 30).chain(100..300).collect();
        assert_eq!(changes(&text), [(24, 0.5)]);
    }
}
