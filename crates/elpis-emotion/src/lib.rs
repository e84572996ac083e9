//! Emotional state of one session: a point on the valence–arousal plane, moved by events and
//! drawn back to a baseline.
//!
//! Valence (unpleasant −1 … pleasant +1) and arousal (sleepy −1 … activated +1) are the axes of
//! Russell's circumplex model of affect (J. A. Russell, 1980). The quadrants of the plane are the
//! four base emotions *excited*, *frustrated*, *calm* and *depleted*; the state sets the sampling
//! parameters and the coefficients of the steering vectors.
//!
//! The crate is pure: it uses no clock and no I/O. Time is an argument, in seconds of any clock
//! that does not run backwards. The state at time *t* depends only on the events before *t*,
//! however often it is read.
//!
//! ```
//! use std::sync::Arc;
//! use elpis_emotion::{EmotionConfig, EmotionEvent, EmotionTracker, Quadrant, known};
//!
//! # fn main() -> Result<(), elpis_emotion::EmotionError> {
//! let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0)?;
//! tracker.apply(&EmotionEvent::from(known::FAILURE), 1.0)?;
//! tracker.apply(&EmotionEvent::custom("deploy_rejected", -0.3, 0.2)?.with_intensity(1.5)?, 4.0)?;
//!
//! let now = tracker.snapshot_at(5.0);
//! assert_eq!(now.quadrant, Quadrant::Frustrated);
//! assert!(now.modulation.temperature < 0.7);
//! # Ok(())
//! # }
//! ```
//!
//! # Bounds
//!
//! A tracker keeps at most [`EmotionConfig::trajectory_history_size`] points and, for each of the
//! eight events that streaks apply to, at most [`EmotionConfig::streak_capacity`] times, whatever
//! the rate of events.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[macro_use]
mod fields;
#[macro_use]
mod names;

mod arithmetic;
mod behavior;
mod cause;
mod config;
mod declared;
mod dynamics;
mod error;
mod event;
mod journal;
mod limits;
mod modulation;
mod ranges;
mod replay;
pub mod seconds;
mod session;
mod state;
mod streak;
mod tracker;
mod trajectory;

pub use arithmetic::DYNAMICS;
pub use behavior::{BehaviorMonitor, GenerationTime};
pub use cause::{EventSource, MAX_CAUSE_CHARS};
pub use config::{AppraiserChoice, EmotionConfig};
pub use declared::{DeclaredEvent, MAX_DECLARED_EVENTS};
pub use dynamics::decay;
pub use error::EmotionError;
pub use event::{
    EmotionEvent, KNOWN_EVENTS, KnownEvent, MAX_INTENSITY, MAX_NAME_CHARS, READ_EVENTS, known,
};
pub use journal::{JournalEntry, JournalRecord, replay_entry};
pub use limits::{EventBudget, SafetyLimit, SafetyLimits};
pub use modulation::{Coefficients, Modulation, SamplingBase, place_coefficients};
pub use ranges::MIN_STREAK_FACTOR;
pub use replay::{Recording, ReplayStep, ReplayedStep, config_of, parse_step, replay, replay_line};
pub use session::{SESSION_ID_LIMIT, SessionId, SessionIdError};
pub use state::{EmotionalState, MAX_TIME_SECONDS, Mood, Quadrant};
pub use streak::STREAK_WINDOW_SECONDS;
pub use tracker::{
    AppliedEvent, AppliedRules, EmotionSnapshot, EmotionTracker, MoodRecord, TrackerState,
};
pub use trajectory::{HistoryPoint, Momentum, Spiral, Trajectory, Trend};
