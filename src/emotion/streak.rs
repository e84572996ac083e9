//! Streaks: repeated failures weigh more, repeated successes less.

use std::collections::{BTreeMap, VecDeque};

use super::error::EmotionError;
use super::event::known;
use super::state::check_time;

/// How long an event counts in a streak, in seconds.
pub const STREAK_WINDOW_SECONDS: f64 = 600.0;

const COMPOUNDING: [&str; 5] = [
    known::FAILURE.name,
    known::ERROR.name,
    known::TEST_FAILED.name,
    known::FRUSTRATION.name,
    known::BLOCKED.name,
];
const DIMINISHING: [&str; 3] = [
    known::SUCCESS.name,
    known::TEST_PASSED.name,
    known::INSIGHT.name,
];

/// Latest times of the events that streaks apply to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Streaks {
    times: BTreeMap<&'static str, VecDeque<f64>>,
}

impl Streaks {
    /// The factor on the intensity of an event at a time, or `None` if streaks do not apply to it.
    pub fn factor(&self, name: &str, at: f64, per_event: f64) -> Option<f64> {
        let name = streak_name(name)?;
        let earlier = self.times.get(name).map_or(0, |times| {
            times
                .iter()
                .rev()
                .take_while(|time| **time > at - STREAK_WINDOW_SECONDS)
                .count()
        });
        let change = per_event * earlier as f64;
        Some(if COMPOUNDING.contains(&name) {
            (1.0 + change).min(2.0)
        } else {
            (1.0 - change).max(0.5)
        })
    }

    /// Remembers an event, and no more than `capacity` of its name.
    pub fn record(&mut self, name: &str, at: f64, capacity: usize) {
        let Some(name) = streak_name(name) else {
            return;
        };
        if capacity == 0 {
            return;
        }
        let times = self.times.entry(name).or_default();
        times.push_back(at);
        self.trim(at, capacity);
    }

    /// Forgets what can no longer change a result.
    pub fn trim(&mut self, at: f64, capacity: usize) {
        self.times.retain(|_, times| {
            while times.len() > capacity
                || times
                    .front()
                    .is_some_and(|time| *time <= at - STREAK_WINDOW_SECONDS)
            {
                times.pop_front();
            }
            !times.is_empty()
        });
    }

    /// The earliest time.
    pub fn first(&self) -> Option<f64> {
        self.times
            .values()
            .filter_map(VecDeque::front)
            .copied()
            .min_by(f64::total_cmp)
    }

    pub fn shift_time(&mut self, seconds: f64) {
        for time in self.times.values_mut().flatten() {
            *time += seconds;
        }
    }

    pub fn to_record(&self) -> BTreeMap<String, Vec<f64>> {
        self.times
            .iter()
            .map(|(name, times)| ((*name).to_owned(), times.iter().copied().collect()))
            .collect()
    }

    /// Restores what [`to_record`](Self::to_record) gave.
    pub fn from_record(
        record: BTreeMap<String, Vec<f64>>,
        capacity: usize,
        last: f64,
    ) -> Result<Self, EmotionError> {
        let malformed = |reason: String| EmotionError::Malformed {
            field: "streaks",
            reason,
        };
        let mut streaks = Self::default();
        for (name, times) in record {
            let Some(name) = streak_name(&name) else {
                return Err(malformed(
                    "streaks do not apply to an event in it".to_owned(),
                ));
            };
            if times.len() > capacity {
                return Err(malformed(format!(
                    "{} times, at most {capacity}",
                    times.len()
                )));
            }
            for time in &times {
                check_time("streaks", *time)?;
            }
            if !times.is_sorted() || times.last().is_some_and(|time| *time > last) {
                return Err(malformed("times are not in order".to_owned()));
            }
            streaks.times.insert(name, times.into());
        }
        Ok(streaks)
    }
}

fn streak_name(name: &str) -> Option<&'static str> {
    COMPOUNDING
        .into_iter()
        .chain(DIMINISHING)
        .find(|known| *known == name)
}
