//! The behaviour monitor of sessions in memory, and the timers of their silence.
//!
//! A session is watched from its first generation or tool call on. An ordered map holds one timer
//! for each watched session, by the time at which its silence becomes due. A timer is checked when
//! it is due, at most once in `idle_period`; activity in between does not touch the map. A
//! tick checks a bounded number of timers, so a million sessions that fall silent at once cost no
//! more per second than a few hundred; their reports come late instead. A silence is reported a
//! bounded number of times, so an abandoned session eventually costs nothing. Evicted sessions are
//! not loaded for a report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::emotion::{BehaviorMonitor, EmotionConfig, EmotionError, EmotionEvent, GenerationTime};
use crate::inference::SessionId;

/// Maximum number of timers that one tick checks.
pub(super) const LOOKS_PER_TICK: usize = 256;

/// Maximum number of reports of one silence.
const REPORTS_PER_SILENCE: u32 = 10;

/// Number of stale timers, beyond those of sessions in memory, that are tolerated.
const SPARE: usize = 1024;

/// Longest time between two ticks.
const MAX_TICK: Duration = Duration::from_secs(1);

/// Time between two checks for silences.
pub(super) fn tick_time(config: &EmotionConfig) -> Duration {
    (config.idle_period / 4).clamp(Duration::from_millis(1), MAX_TICK)
}

/// An activity of a session.
#[derive(Debug, Clone)]
pub(crate) enum Activity {
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

impl Activity {
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

/// The monitoring data of a watched session.
#[derive(Debug)]
pub(super) struct Watch {
    monitor: BehaviorMonitor,
    /// Identifies its timer, which becomes stale when this is dropped.
    id: Arc<u64>,
    /// Whether it has a timer.
    queued: bool,
    /// Number of reports of the current silence.
    reports: u32,
}

/// A timer that was taken out because it is due.
pub(super) struct DueTimer {
    pub(super) session: SessionId,
    id: u64,
}

/// When silences become due.
#[derive(Debug, Default)]
pub(super) struct IdleTimers(Mutex<Timers>);

#[derive(Debug, Default)]
struct Timers {
    /// Keyed by due time in milliseconds and the watch's number.
    due: BTreeMap<(u64, u64), Timer>,
    last_id: u64,
}

#[derive(Debug)]
struct Timer {
    session: SessionId,
    watch: Weak<u64>,
}

impl IdleTimers {
    /// Records an activity and returns the events that it causes. `resident` is the number of
    /// sessions in memory.
    pub(super) fn observe(
        &self,
        session: &SessionId,
        watch: &mut Option<Box<Watch>>,
        what: &Activity,
        config: &Arc<EmotionConfig>,
        resident: usize,
        now: f64,
    ) -> Result<Vec<EmotionEvent>, EmotionError> {
        if !config.behavioral_monitoring_enabled {
            // Invalid names are refused even if nothing is monitored.
            return what.note(&mut BehaviorMonitor::new(Arc::clone(config), now)?, now);
        }
        let watch = if let Some(watch) = watch {
            watch
        } else {
            let monitor = BehaviorMonitor::new(Arc::clone(config), now)?;
            watch.insert(Box::new(Watch {
                monitor,
                id: Arc::new(self.next_id(resident)),
                queued: false,
                reports: 0,
            }))
        };
        let events = what.note(&mut watch.monitor, now);
        if events.is_ok() {
            watch.reports = 0;
        }
        if !watch.queued {
            self.queue(session, watch);
        }
        events
    }

    /// Takes the next timer that is due.
    pub(super) fn pop(&self, now: f64) -> Option<DueTimer> {
        let mut timers = self.lock();
        let first = timers.due.first_entry()?;
        let (due, id) = *first.key();
        let session = (due <= millis(now)).then(|| first.remove().session)?;
        Some(DueTimer { session, id })
    }

    /// Checks the session of a due timer. Returns the report if the session is silent; a busy
    /// session is not silent.
    pub(super) fn look(
        &self,
        timer: &DueTimer,
        watch: &mut Watch,
        busy: bool,
        now: f64,
    ) -> Option<EmotionEvent> {
        if *watch.id != timer.id {
            return None;
        }
        watch.queued = false;
        if busy {
            watch.monitor.active(now).ok()?;
            watch.reports = 0;
        }
        let report = watch.monitor.check_idle(now).ok()?;
        watch.reports += u32::from(report.is_some());
        if watch.reports < REPORTS_PER_SILENCE {
            self.queue(&timer.session, watch);
        }
        report
    }

    /// Returns the number for a new watch. Drops stale timers if there are many.
    fn next_id(&self, resident: usize) -> u64 {
        let mut timers = self.lock();
        if timers.due.len() > 2 * resident + SPARE {
            timers.due.retain(|_, timer| timer.watch.strong_count() > 0);
        }
        timers.last_id += 1;
        timers.last_id
    }

    fn queue(&self, session: &SessionId, watch: &mut Watch) {
        if let Some(due) = watch.monitor.next_idle_check() {
            // One more, because the time is truncated to whole milliseconds.
            let due = millis(due) + 1;
            let timer = Timer {
                session: session.clone(),
                watch: Arc::downgrade(&watch.id),
            };
            self.lock().due.insert((due, *watch.id), timer);
            watch.queued = true;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Times before the epoch count as the epoch.
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}
