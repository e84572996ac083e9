//! The path of a state over the valence–arousal plane.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::log::{Line, Sessions};
use super::wanted;
use crate::Failure;
use crate::error::CliError;
use crate::lines::{Lines, Named};
use elpis::emotion::{
    EmotionError, EmotionEvent, EmotionTracker, EventSource, JournalRecord, Recording, replay_entry,
};
use elpis::inference::SessionId;
use elpis::store::{SqliteStore, StateStore, StoreError};
use elpis::{Clock, SystemClock};

/// Minimum time shown after the last event, if it has passed, in seconds.
const MIN_END: f64 = 60.0;

/// Maximum number of points between two events, and target number of points of a path.
const GAP_POINTS: usize = 32;
const PATH_POINTS: usize = 4000;

/// A state at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Time, in seconds since the path's start.
    pub at: f64,
    pub valence: f64,
    pub arousal: f64,
}

/// An applied event, with the state right after it.
#[derive(Debug)]
pub(super) struct Felt {
    pub point: Point,
    /// The event's name, with the words that it was derived from.
    pub name: String,
    pub source: Option<EventSource>,
}

/// The path of one session.
#[derive(Debug, Default)]
pub(super) struct MoodPath {
    pub name: String,
    pub points: Vec<Point>,
    pub events: Vec<Felt>,
    /// The neutral area at the end: baseline and radius.
    pub neutral: Option<(Point, f64)>,
    start: Option<f64>,
}

impl MoodPath {
    fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    fn point(&mut self, tracker: &EmotionTracker, at: f64) -> Point {
        let start = *self.start.get_or_insert(at);
        let state = tracker.state_at(at);
        let point = Point {
            at: at - start,
            valence: state.valence(),
            arousal: state.arousal(),
        };
        self.points.push(point);
        let config = tracker.config();
        let baseline = config.baseline();
        let middle = Point {
            at: point.at,
            valence: baseline.valence(),
            arousal: baseline.arousal(),
        };
        self.neutral = Some((middle, config.neutral_radius));
        point
    }

    /// Follows the decay up to a time, in `points` points.
    fn decay(&mut self, tracker: &EmotionTracker, until: f64, points: usize) {
        let from = tracker.last_at();
        for step in 1..=points {
            let part = step as f64 / points as f64;
            self.point(tracker, from + (until - from) * part);
        }
    }

    fn felt(&mut self, tracker: &EmotionTracker, event: &EmotionEvent) {
        let point = self.point(tracker, tracker.last_at());
        let words = event
            .words()
            .filter(|_| event.source() != Some(EventSource::Behavior));
        let words = words.map_or_else(String::new, |words| format!(" “{words}”"));
        self.events.push(Felt {
            point,
            name: format!("{}{words}", event.name()),
            source: event.source(),
        });
    }

    /// Follows an entry. `before` is the state before it.
    fn follow(
        &mut self,
        before: Option<&EmotionTracker>,
        after: &EmotionTracker,
        at: f64,
        what: &JournalRecord,
        gap: usize,
    ) {
        match what {
            JournalRecord::Felt(event) => {
                if let Some(before) = before {
                    self.decay(before, at, gap);
                }
                self.felt(after, event);
            }
            _ => drop(self.point(after, at)),
        }
    }
}

/// Number of points between two events.
fn gap_points(events: usize) -> usize {
    (PATH_POINTS / events.max(1)).clamp(1, GAP_POINTS)
}

/// The paths of a log: one for each session, and one for each line that is a whole session.
pub(super) fn of_log(file: &Path) -> Result<Vec<MoodPath>, Failure> {
    let mut lines = Lines::open(file)?;
    let mut paths: Vec<MoodPath> = Vec::new();
    let mut entries = Vec::new();
    while let Some(Named { place, text }) = lines.next()? {
        let named = |error: EmotionError| CliError::LogLine {
            place: place.clone(),
            reason: error.to_string(),
        };
        match Line::parse(text).map_err(named)? {
            Line::Recording(recording) => {
                let name = format!("line {}", paths.len() + 1);
                paths.extend(of_recording(name, recording).map_err(named)?);
            }
            Line::Entry(entry) => entries.push((place, entry)),
        }
    }
    let mut sessions = Sessions::default();
    let gap = gap_points(entries.len());
    for (place, entry) in entries {
        let index = paths.iter().position(|path| path.name == entry.session);
        let index = index.unwrap_or_else(|| {
            paths.push(MoodPath::new(entry.session.clone()));
            paths.len() - 1
        });
        let before = sessions.before(&entry.session).cloned();
        let after = sessions.go_on(&entry).map_err(|error| CliError::LogLine {
            place,
            reason: error.to_string(),
        })?;
        let (at, what) = (entry.happened.at, &entry.happened.what);
        paths[index].follow(before.as_ref(), after, at, what, gap);
    }
    Ok(paths)
}

fn of_recording(name: String, recording: Recording) -> Result<Option<MoodPath>, EmotionError> {
    let Recording { config, steps } = recording;
    let Some(first) = steps.first() else {
        return Ok(None);
    };
    let mut path = MoodPath::new(name);
    let mut tracker = EmotionTracker::new(Arc::new(config), first.at)?;
    path.point(&tracker, first.at);
    for step in &steps {
        path.decay(&tracker, step.at, gap_points(steps.len()));
        tracker.apply(&step.event, step.at)?;
        path.felt(&tracker, &step.event);
    }
    Ok(Some(path))
}

/// The paths of a store's sessions, up to now. After the last event they continue for as long as
/// the time before it, or at least [`MIN_END`].
pub(super) fn of_store(file: &Path, names: &[String]) -> Result<Vec<MoodPath>, Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let now = SystemClock::default().now();
    let paths = wanted(&store, names)?
        .iter()
        .map(|session| of_session(&store, session, now))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(paths)
}

fn of_session(store: &SqliteStore, session: &SessionId, now: f64) -> Result<MoodPath, Failure> {
    let mut path = MoodPath::new(session.to_string());
    let entries = store.load(session)?.map_or(0, |stored| stored.entries);
    let gap = gap_points(usize::try_from(entries).unwrap_or(usize::MAX));
    let mut tracker: Option<EmotionTracker> = None;
    let mut fault = None;
    store.journal(session, &mut |entry| {
        let before = tracker.clone();
        if let Err(error) = replay_entry(&mut tracker, &entry) {
            fault = Some(StoreError::DamagedSession {
                file: store.file().to_owned(),
                session: session.to_string(),
                reason: error.to_string(),
            });
            return ControlFlow::Break(());
        }
        if let Some(after) = &tracker {
            path.follow(before.as_ref(), after, entry.at, &entry.what, gap);
        }
        ControlFlow::Continue(())
    })?;
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    if let Some(tracker) = &tracker {
        // Otherwise the events would be a dot next to years of silence.
        let last = tracker.last_at();
        let so_far = path.start.map_or(0.0, |start| last - start);
        let until = now.min(last + so_far.max(MIN_END));
        if last < until {
            path.decay(tracker, until, GAP_POINTS);
        }
    }
    if path.points.is_empty() {
        return Err(CliError::NoSession {
            file: store.file().to_owned(),
            session: session.to_string(),
        }
        .into());
    }
    Ok(path)
}
