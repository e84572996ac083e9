//! Holds what a reply expresses near the session's state.

use crate::steering::Place;

/// Number of tokens between two corrections, and before the first.
const EVERY: u32 = 16;

/// Largest correction of valence and of arousal.
const MAX_OFFSET: f64 = 0.5;

/// Change of a correction below which the steering is left alone.
const FINE: f64 = 0.02;

/// An integral controller for one reply: while the reply expresses less than is felt, it is steered
/// as if more were felt, by at most [`MAX_OFFSET`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpressionControl {
    /// Share of the difference that is added at each correction; 0 switches the control off.
    gain: f64,
    offset: Place,
    /// Number of tokens at the last correction.
    since: u32,
}

impl ExpressionControl {
    pub(super) fn new(gain: f64) -> Self {
        let offset = Place {
            valence: 0.0,
            arousal: 0.0,
        };
        Self {
            gain,
            offset,
            since: 0,
        }
    }

    /// What is added to the felt state before it is steered.
    pub(super) fn offset(&self) -> Place {
        self.offset
    }

    /// Compares what is felt with what the `tokens` read so far express. Returns whether the offset
    /// has changed.
    pub(super) fn examine(&mut self, felt: Place, expressed: Place, tokens: u32) -> bool {
        if self.gain <= 0.0 || tokens < self.since.saturating_add(EVERY) {
            return false;
        }
        self.since = tokens;
        let next = |offset: f64, felt: f64, expressed: f64| {
            (offset + self.gain * (felt - expressed)).clamp(-MAX_OFFSET, MAX_OFFSET)
        };
        let offset = Place {
            valence: next(self.offset.valence, felt.valence, expressed.valence),
            arousal: next(self.offset.arousal, felt.arousal, expressed.arousal),
        };
        let moved = (offset.valence - self.offset.valence).abs() > FINE
            || (offset.arousal - self.offset.arousal).abs() > FINE;
        if moved {
            self.offset = offset;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(valence: f64, arousal: f64) -> Place {
        Place { valence, arousal }
    }

    #[test]
    fn the_correction_grows_until_the_reply_expresses_what_is_felt() {
        let mut control = ExpressionControl::new(0.5);
        let felt = place(0.8, -0.4);
        assert!(!control.examine(felt, place(0.0, 0.0), 15), "too early");
        assert!(control.examine(felt, place(0.4, 0.0), 16));
        assert_eq!(control.offset(), place(0.2, -0.2));
        assert!(!control.examine(felt, place(0.0, 0.0), 31));
        assert!(!control.examine(felt, felt, 32), "it is as it should be");
        assert_eq!(control.offset(), place(0.2, -0.2), "and stays so");
        for round in 3..20 {
            control.examine(felt, place(0.0, 0.0), 16 * round);
        }
        assert_eq!(control.offset(), place(0.5, -0.5), "it is bounded");
        for round in 20..22 {
            control.examine(felt, place(1.0, -1.0), 16 * round);
        }
        assert!(control.offset().valence < 0.5, "and comes back at once");
    }

    #[test]
    fn it_can_be_off() {
        let mut control = ExpressionControl::new(0.0);
        assert!(!control.examine(place(1.0, 1.0), place(-1.0, -1.0), 1000));
        assert_eq!(control.offset(), place(0.0, 0.0));
    }
}
