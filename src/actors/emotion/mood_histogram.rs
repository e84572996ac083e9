//! Reading the sessions without using them.

use super::Sessions;
use crate::emotion::EmotionalState;
use crate::inference::SessionId;
use crate::telemetry::Moods;

/// Sessions that are counted at most, so that counting holds nobody up for
/// longer than about half a millisecond.
const COUNTED: usize = 4096;

impl Sessions {
    /// How those used last feel at a time.
    pub(crate) fn mood_histogram(&self, now: f64) -> Moods {
        let mut moods = Moods::default();
        for tracker in self.lock().latest_used().take(COUNTED) {
            let state = tracker.state_at(now);
            moods.add(state, tracker.config().mood(state));
        }
        moods
    }

    /// Sessions in memory.
    pub(crate) fn held(&self) -> usize {
        self.lock().len()
    }

    /// How a session feels at a time, if it is in memory.
    pub(crate) fn peek(&self, session: &SessionId, now: f64) -> Option<EmotionalState> {
        let table = self.lock();
        let tracker = table.tracker_of(session)?;
        Some(tracker.state_at(now))
    }
}
