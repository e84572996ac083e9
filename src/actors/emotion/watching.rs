//! Watching what sessions do, for as long as they are in memory.
//!
//! A session is watched from its first generation or tool call on. The times
//! at which silences become due lie in a heap with one entry for each watched
//! session. An entry is looked at when its time has come, at most once in
//! `idle_period_seconds`; activity in between moves nothing in the heap.
//! A tick looks at a bounded number of them, so a million sessions that fall
//! silent at once cost no more per second than a few hundred, and their
//! reports come late instead. A silence is reported a bounded number of times,
//! so a session that nobody comes back to costs nothing in the end. Sessions
//! that have left memory are not woken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use crate::emotion::{BehaviorMonitor, EmotionConfig, EmotionError, EmotionEvent, GenerationTime};
use crate::inference::SessionId;

/// Most entries that one tick looks at.
pub(super) const LOOKS_PER_TICK: usize = 256;

/// Most reports of one silence.
const REPORTS_PER_SILENCE: u32 = 10;

/// Entries beyond those of the sessions in memory that are let be.
const SPARE: usize = 1024;

/// Longest time between two ticks.
const MAX_TICK: Duration = Duration::from_secs(1);

/// Time between two looks for silences.
pub(super) fn tick_time(config: &EmotionConfig) -> Duration {
    let quarter = Duration::try_from_secs_f64(config.idle_period_seconds / 4.0);
    quarter
        .unwrap_or(MAX_TICK)
        .clamp(Duration::from_millis(1), MAX_TICK)
}

/// Something that a session did.
#[derive(Debug, Clone)]
pub enum Observation {
    /// A tool call ended.
    ToolCall {
        /// The tool's name.
        tool: String,
        /// Whether it succeeded.
        succeeded: bool,
    },
    /// A generation ended.
    Generation(GenerationTime),
    /// A generation began.
    Active,
}

impl Observation {
    fn note(
        &self,
        monitor: &mut BehaviorMonitor,
        now: f64,
    ) -> Result<Vec<EmotionEvent>, EmotionError> {
        match self {
            Self::ToolCall { tool, succeeded } => monitor.tool_called(tool, *succeeded, now),
            Self::Generation(took) => {
                let event = monitor.generation_finished(took, now)?;
                Ok(event.into_iter().collect())
            }
            Self::Active => monitor.active(now).map(|()| Vec::new()),
        }
    }
}

/// A session that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    monitor: BehaviorMonitor,
    /// Names its entry in the heap.
    id: u64,
    /// Whether it has one.
    queued: bool,
    /// Reports of the silence of now.
    reports: u32,
}

/// When silences become due: milliseconds, session, its watch.
#[derive(Debug, Default)]
pub(super) struct Silences {
    due: BinaryHeap<Reverse<(u64, SessionId, u64)>>,
    last_id: u64,
}

impl Silences {
    /// Notes what a session did; returns the events that it stands for.
    pub fn observe(
        &mut self,
        session: &SessionId,
        watched: &mut Option<Box<Watched>>,
        what: &Observation,
        config: &Arc<EmotionConfig>,
        now: f64,
    ) -> Result<Vec<EmotionEvent>, EmotionError> {
        if !config.behavioral_monitoring_enabled {
            // Bad names are refused all the same.
            return what.note(&mut BehaviorMonitor::new(Arc::clone(config), now)?, now);
        }
        let watched = if let Some(watched) = watched {
            watched
        } else {
            self.last_id += 1;
            watched.insert(Box::new(Watched {
                monitor: BehaviorMonitor::new(Arc::clone(config), now)?,
                id: self.last_id,
                queued: false,
                reports: 0,
            }))
        };
        let events = what.note(&mut watched.monitor, now);
        if events.is_ok() {
            watched.reports = 0;
        }
        if !watched.queued {
            self.queue(session.clone(), watched);
        }
        events
    }

    /// Takes the next entry whose time has come.
    pub fn pop(&mut self, now: f64) -> Option<(SessionId, u64)> {
        let Reverse((due, ..)) = self.due.peek()?;
        if *due > millis(now) {
            return None;
        }
        self.due
            .pop()
            .map(|Reverse((_, session, id))| (session, id))
    }

    /// Looks at the watch of a taken entry; returns the report if its session
    /// is silent. A busy session is not.
    pub fn look(
        &mut self,
        (session, id): (SessionId, u64),
        watched: &mut Watched,
        busy: bool,
        now: f64,
    ) -> Option<EmotionEvent> {
        if watched.id != id {
            return None;
        }
        watched.queued = false;
        if busy {
            watched.monitor.active(now).ok()?;
            watched.reports = 0;
        }
        let report = watched.monitor.check_idle(now).ok()?;
        watched.reports += u32::from(report.is_some());
        if watched.reports < REPORTS_PER_SILENCE {
            self.queue(session, watched);
        }
        report
    }

    /// Drops the entries of sessions that left, if they are many.
    pub fn tidy(&mut self, held: usize, is_held: impl Fn(&SessionId, u64) -> bool) {
        if self.due.len() > 2 * held + SPARE {
            self.due
                .retain(|Reverse((_, session, id))| is_held(session, *id));
        }
    }

    fn queue(&mut self, session: SessionId, watched: &mut Watched) {
        if let Some(due) = watched.monitor.next_idle_check() {
            // One more, since the time is cut to whole milliseconds.
            let due = millis(due) + 1;
            self.due.push(Reverse((due, session, watched.id)));
            watched.queued = true;
        }
    }
}

impl Watched {
    pub fn has_id(&self, id: u64) -> bool {
        self.id == id
    }
}

/// Times before the epoch count as the epoch.
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
