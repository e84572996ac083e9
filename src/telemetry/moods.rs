//! The current moods of sessions: counts by mood, histograms of valence and arousal.

use metrics::gauge;

use super::table::{BY_AROUSAL, BY_QUADRANT, BY_VALENCE};
use crate::emotion::{EmotionalState, Mood};

/// Upper bounds of the buckets of valence and arousal; the last is the edge of the plane.
pub(super) const BOUNDS: [(f64, &str); 11] = [
    (-0.8, "-0.8"),
    (-0.6, "-0.6"),
    (-0.4, "-0.4"),
    (-0.2, "-0.2"),
    (-0.05, "-0.05"),
    (0.05, "0.05"),
    (0.2, "0.2"),
    (0.4, "0.4"),
    (0.6, "0.6"),
    (0.8, "0.8"),
    (f64::INFINITY, "+Inf"),
];

/// Counts of states.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moods {
    by_mood: [u32; Mood::ALL.len()],
    valence: [u32; BOUNDS.len()],
    arousal: [u32; BOUNDS.len()],
}

impl Moods {
    pub fn add(&mut self, state: EmotionalState, mood: Mood) {
        let index = Mood::ALL.iter().position(|known| *known == mood);
        if let Some(count) = index.and_then(|index| self.by_mood.get_mut(index)) {
            *count += 1;
        }
        count(&mut self.valence, state.valence());
        count(&mut self.arousal, state.arousal());
    }

    /// Sets the gauges to the counts.
    pub fn publish(&self) {
        for (mood, count) in Mood::ALL.iter().zip(self.by_mood) {
            gauge!(BY_QUADRANT, "quadrant" => mood.as_str()).set(count);
        }
        for (((_, le), valence), arousal) in BOUNDS.iter().zip(self.valence).zip(self.arousal) {
            gauge!(BY_VALENCE, "le" => *le).set(valence);
            gauge!(BY_AROUSAL, "le" => *le).set(arousal);
        }
    }
}

/// Counts a value in every bucket whose bound is at least the value.
fn count(classes: &mut [u32; BOUNDS.len()], value: f64) {
    for ((bound, _), count) in BOUNDS.iter().zip(classes) {
        *count += u32::from(value <= *bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emotion::EmotionConfig;

    #[test]
    fn classes_hold_all_that_lies_below_their_bound() {
        let mut moods = Moods::default();
        for (valence, arousal) in [(-1.0, 0.5), (0.0, 0.0), (0.8, -0.3)] {
            let state = EmotionalState::new(valence, arousal).unwrap();
            moods.add(state, EmotionConfig::default().mood(state));
        }
        assert_eq!(moods.valence, [1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
        assert_eq!(moods.arousal, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3]);
        // One of them in the middle, which is no quadrant.
        assert_eq!(moods.by_mood, [1, 0, 1, 1, 0]);
    }

    #[test]
    fn bounds_are_written_as_they_are() {
        for (bound, text) in BOUNDS {
            let read: f64 = text.parse().unwrap();
            assert!(read.total_cmp(&bound).is_eq(), "{text}");
        }
    }
}
