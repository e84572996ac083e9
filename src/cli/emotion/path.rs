//! The path of a state over the valence–arousal plane.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::wanted;
use crate::cli::Failure;
use crate::cli::fault::Fault;
use crate::cli::lines::{Lines, Named};
use crate::emotion::{EmotionError, EmotionTracker, Happening, Recording, relive};
use crate::inference::SessionId;
use crate::store::{SqliteStore, StateStore, StoreError};

/// Points between two events at most, and points of a path that are aimed at.
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

/// The path of one session.
#[derive(Debug, Default)]
pub(super) struct MoodPath {
    pub name: String,
    pub points: Vec<Point>,
    /// What was felt, with the state just after it.
    pub events: Vec<(Point, String)>,
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
        point
    }

    /// Follows the decay up to a time, in so many points.
    fn decay(&mut self, tracker: &EmotionTracker, until: f64, points: usize) {
        let from = tracker.last_at();
        for step in 1..=points {
            let part = step as f64 / points as f64;
            self.point(tracker, from + (until - from) * part);
        }
    }

    fn felt(&mut self, tracker: &EmotionTracker, event: &str) {
        let point = self.point(tracker, tracker.last_at());
        self.events.push((point, event.to_owned()));
    }
}

/// Points between two of so many events.
fn gap_points(events: usize) -> usize {
    (PATH_POINTS / events.max(1)).clamp(1, GAP_POINTS)
}

/// The paths of a log, one for each line.
pub(super) fn of_log(file: &Path) -> Result<Vec<MoodPath>, Failure> {
    let mut lines = Lines::open(file)?;
    let mut paths = Vec::new();
    while let Some(Named { place, text }) = lines.next()? {
        let named = |error: EmotionError| Fault::LogLine {
            place: place.clone(),
            reason: error.to_string(),
        };
        let Recording { config, steps } = Recording::parse(text).map_err(named)?;
        let Some(first) = steps.first() else {
            continue;
        };
        let mut path = MoodPath::new(format!("line {}", paths.len() + 1));
        let mut tracker = EmotionTracker::new(Arc::new(config), first.at).map_err(named)?;
        path.point(&tracker, first.at);
        for step in &steps {
            path.decay(&tracker, step.at, gap_points(steps.len()));
            tracker.apply(&step.event, step.at).map_err(named)?;
            path.felt(&tracker, step.event.name());
        }
        paths.push(path);
    }
    Ok(paths)
}

/// The paths of a store's sessions.
pub(super) fn of_store(file: &Path, names: &[String]) -> Result<Vec<MoodPath>, Failure> {
    let store = SqliteStore::open_to_read(file)?;
    let paths = wanted(&store, names)?
        .iter()
        .map(|session| of_session(&store, session))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(paths)
}

fn of_session(store: &SqliteStore, session: &SessionId) -> Result<MoodPath, Failure> {
    let mut path = MoodPath::new(session.to_string());
    let entries = store.load(session)?.map_or(0, |stored| stored.entries);
    let gap = gap_points(usize::try_from(entries).unwrap_or(usize::MAX));
    let mut tracker = None;
    let mut fault = None;
    store.journal(session, &mut |entry| {
        if let (Some(tracker), Happening::Felt(_)) = (&tracker, &entry.what) {
            path.decay(tracker, entry.at, gap);
        }
        if let Err(error) = relive(&mut tracker, &entry) {
            fault = Some(StoreError::DamagedSession {
                file: store.file().to_owned(),
                session: session.to_string(),
                reason: error.to_string(),
            });
            return ControlFlow::Break(());
        }
        if let Some(tracker) = &tracker {
            match &entry.what {
                Happening::Felt(event) => path.felt(tracker, event.name()),
                _ => drop(path.point(tracker, entry.at)),
            }
        }
        ControlFlow::Continue(())
    })?;
    match fault {
        Some(fault) => Err(fault.into()),
        None if path.points.is_empty() => Err(Fault::NoSession {
            file: store.file().to_owned(),
            session: session.to_string(),
        }
        .into()),
        None => Ok(path),
    }
}
