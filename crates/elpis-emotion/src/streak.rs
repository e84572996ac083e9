//! Streaks: repeated failures weigh more, repeated successes less.

use std::collections::BTreeMap;

use super::error::EmotionError;
use super::event::known;
use super::state::check_time;

/// The time for which an event counts in a streak, in seconds.
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
///
/// A flat list, sorted by event and then by time. A session in a streak takes 16 bytes for each
/// time; a session without one takes none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Streaks {
    times: Vec<(u8, f64)>,
}

impl Streaks {
    /// The factor on the intensity of an event at a time, or `None` if streaks do not apply to it.
    pub fn factor(&self, name: &str, at: f64, per_event: f64) -> Option<f64> {
        let event = streak_index(name)?;
        let earlier = self
            .times_of(event)
            .iter()
            .rev()
            .take_while(|(_, time)| *time > at - STREAK_WINDOW_SECONDS)
            .count();
        let change = per_event * earlier as f64;
        Some(if usize::from(event) < COMPOUNDING.len() {
            (1.0 + change).min(2.0)
        } else {
            (1.0 - change).max(0.5)
        })
    }

    /// Remembers an event, and at most `capacity` events of its name.
    pub fn record(&mut self, name: &str, at: f64, capacity: usize) {
        let Some(event) = streak_index(name) else {
            return;
        };
        if capacity == 0 {
            return;
        }
        let end = self.times.partition_point(|(other, _)| *other <= event);
        self.times.insert(end, (event, at));
        self.trim(at, capacity);
    }

    /// Forgets times that can no longer change a result.
    pub fn trim(&mut self, at: f64, capacity: usize) {
        let mut later = [0_usize; COMPOUNDING.len() + DIMINISHING.len()];
        for (event, _) in &self.times {
            later[usize::from(*event)] += 1;
        }
        self.times.retain(|(event, time)| {
            let left = &mut later[usize::from(*event)];
            let surplus = *left > capacity;
            *left -= 1;
            !surplus && *time > at - STREAK_WINDOW_SECONDS
        });
    }

    /// The earliest time.
    pub fn first(&self) -> Option<f64> {
        self.times
            .iter()
            .map(|(_, time)| *time)
            .min_by(f64::total_cmp)
    }

    pub fn shift_time(&mut self, seconds: f64) {
        for (_, time) in &mut self.times {
            *time += seconds;
        }
    }

    pub fn to_record(&self) -> BTreeMap<String, Vec<f64>> {
        let mut record = BTreeMap::<String, Vec<f64>>::new();
        for (event, time) in &self.times {
            let name = streak_name(*event).to_owned();
            record.entry(name).or_default().push(*time);
        }
        record
    }

    fn times_of(&self, event: u8) -> &[(u8, f64)] {
        let start = self.times.partition_point(|(other, _)| *other < event);
        let end = self.times.partition_point(|(other, _)| *other <= event);
        &self.times[start..end]
    }

    /// Restores the result of [`to_record`](Self::to_record).
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
            let Some(event) = streak_index(&name) else {
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
            let times = times.into_iter().map(|time| (event, time));
            streaks.times.extend(times);
        }
        // The names are not sorted in the order of the events.
        streaks.times.sort_by_key(|(event, _)| *event);
        Ok(streaks)
    }
}

/// The place of an event in the two lists.
fn streak_index(name: &str) -> Option<u8> {
    let events = COMPOUNDING.into_iter().chain(DIMINISHING);
    (0..)
        .zip(events)
        .find_map(|(index, known)| (known == name).then_some(index))
}

fn streak_name(event: u8) -> &'static str {
    let mut events = COMPOUNDING.into_iter().chain(DIMINISHING);
    events.nth(event.into()).unwrap_or_default()
}
