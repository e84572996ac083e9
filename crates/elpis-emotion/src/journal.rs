//! The journal of a session: its records in order, from which its state can be recomputed bit for
//! bit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::EmotionConfig;
use super::error::EmotionError;
use super::event::EmotionEvent;
use super::limits::SafetyLimits;
use super::state::check_time;
use super::tracker::EmotionTracker;

/// A record of something that happened to a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JournalRecord {
    /// The session began, under these settings.
    Started(Arc<EmotionConfig>),
    /// An event was applied.
    Felt(EmotionEvent),
    /// The state was reset to the baseline.
    Reset,
    /// The steering strength was set.
    Strength(f64),
    /// The session's own ceilings were set.
    Limits(SafetyLimits),
    /// Other settings came into force.
    Configured(Arc<EmotionConfig>),
    /// The whole history was shifted by this many seconds, because the clock had been set back.
    Shifted(f64),
}

/// An entry of a session's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// Time in seconds since the Unix epoch.
    pub at: f64,
    /// The record itself.
    pub what: JournalRecord,
}

/// Replays an entry: the start creates the tracker, everything else changes it.
///
/// # Errors
///
/// [`EmotionError::OutOfRange`] if a value is out of range, or [`EmotionError::Malformed`] if the
/// session has not started, or starts twice; nothing changes.
pub fn replay_entry(
    tracker: &mut Option<EmotionTracker>,
    entry: &JournalEntry,
) -> Result<(), EmotionError> {
    let at = check_time("at", entry.at)?;
    let malformed = |reason: &str| EmotionError::Malformed {
        field: "journal",
        reason: reason.to_owned(),
    };
    let Some(tracker) = tracker else {
        let JournalRecord::Started(config) = &entry.what else {
            return Err(malformed("it does not begin with the session's start"));
        };
        *tracker = Some(EmotionTracker::new(Arc::clone(config), at)?);
        return Ok(());
    };
    match &entry.what {
        JournalRecord::Started(_) => Err(malformed("the session starts twice")),
        JournalRecord::Felt(event) => tracker.apply(event, at).map(drop),
        JournalRecord::Reset => tracker.reset(at),
        JournalRecord::Strength(strength) => tracker.set_steering_strength(*strength),
        JournalRecord::Limits(limits) => tracker.set_limits(*limits),
        JournalRecord::Configured(config) => tracker.reconfigure(Arc::clone(config), at),
        JournalRecord::Shifted(seconds) => tracker.shift_time(*seconds),
    }
}
