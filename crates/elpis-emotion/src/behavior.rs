//! Monitors an agent's behaviour: retry loops, failure streaks, slow generations and silence.

mod pace;

pub use pace::GenerationTime;

use std::collections::VecDeque;
use std::sync::Arc;

use super::cause::EventSource;
use super::config::EmotionConfig;
use super::error::EmotionError;
use super::event::{EmotionEvent, KnownEvent, check_name, known};
use super::state::check_time;
use pace::Pace;

/// Time within which calls of one tool count as a retry loop, in seconds.
const RETRY_WINDOW_SECONDS: f64 = 60.0;

/// Shortest time between two reports of a retry loop, in seconds.
const RETRY_PAUSE_SECONDS: f64 = 30.0;

/// Shortest time between two reports of silence, in seconds.
const IDLE_PAUSE_SECONDS: f64 = 60.0;

/// Turns an agent's behaviour into emotion events.
///
/// All times are in seconds, on the clock of the session's
/// [`EmotionTracker`](super::EmotionTracker); a time before the latest one counts as the latest.
/// At most `retry_loop_threshold` times are kept. With `behavioral_monitoring_enabled` off, input
/// is checked and nothing is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct BehaviorMonitor {
    config: Arc<EmotionConfig>,
    /// The last called tool, and its latest consecutive calls.
    tool: String,
    calls: VecDeque<f64>,
    failures: usize,
    pace: Pace,
    latest: f64,
    last_activity: f64,
    last_retry_report: Option<f64>,
    last_idle_report: Option<f64>,
}

impl BehaviorMonitor {
    /// Starts watching at a time; the start counts as activity.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a setting is out of range, or the time is not finite or
    /// beyond ±1e12.
    pub fn new(config: Arc<EmotionConfig>, start: f64) -> Result<Self, EmotionError> {
        config.validate()?;
        let start = check_time("start", start)?;
        Ok(Self {
            config,
            tool: String::new(),
            calls: VecDeque::new(),
            failures: 0,
            pace: Pace::default(),
            latest: start,
            last_activity: start,
            last_retry_report: None,
            last_idle_report: None,
        })
    }

    /// Records a finished tool call.
    ///
    /// Reports frustration 0.6 if the same tool was called `retry_loop_threshold` times in a row
    /// within 60 s, at most once per 30 s; and after each failed call that makes `n ≥
    /// failure_streak_threshold` failures in a row, error with intensity
    /// `min(1, 0.5 + 0.1·(n − threshold))`.
    ///
    /// # Errors
    ///
    /// [`EmotionError::InvalidName`] if the tool's name is empty, longer than 64 characters or
    /// holds control characters; [`EmotionError::OutOfRange`] if the time is out of range. Nothing
    /// is recorded then.
    pub fn tool_called(
        &mut self,
        tool: &str,
        succeeded: bool,
        at: f64,
    ) -> Result<Vec<EmotionEvent>, EmotionError> {
        let tool = check_name("tool", tool.to_owned())?;
        let at = self.activity(at)?;
        if self.tool != tool {
            self.tool = tool;
            self.calls.clear();
        }
        self.calls.push_back(at);
        let threshold = self.config.retry_loop_threshold;
        while self.calls.len() > threshold {
            self.calls.pop_front();
        }
        self.failures = if succeeded {
            0
        } else {
            self.failures.saturating_add(1)
        };

        let mut events = Vec::new();
        if !self.config.behavioral_monitoring_enabled {
            return Ok(events);
        }
        let in_window = self
            .calls
            .front()
            .is_some_and(|first| at - first <= RETRY_WINDOW_SECONDS);
        if self.calls.len() == threshold
            && in_window
            && has_passed(self.last_retry_report, at, RETRY_PAUSE_SECONDS)
        {
            self.last_retry_report = Some(at);
            let seconds = self.calls.front().map_or(0.0, |first| at - first);
            let done = format!("{} called {threshold} times in {seconds:.0} s", self.tool);
            events.push(observed(known::FRUSTRATION, 0.6, &done));
        }
        if let Some(beyond) = self
            .failures
            .checked_sub(self.config.failure_streak_threshold)
            && !succeeded
        {
            let intensity = (0.5 + 0.1 * beyond as f64).min(1.0);
            let done = format!(
                "{} failures in a row, the last of {}",
                self.failures, self.tool
            );
            events.push(observed(known::ERROR, intensity, &done));
        }
        Ok(events)
    }

    /// Records a generation that ended at a time. Reports blocked 0.3 if it took at least
    /// [`long_generation`](EmotionConfig::long_generation), and `long_generation_factor` times as
    /// long as the same number of tokens took in earlier generations. The first three generations
    /// are never reported, because the usual pace is unknown: a slow machine or a long reply is not
    /// the agent's fault.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if a duration is not finite or negative, or the time is out of
    /// range.
    pub fn generation_finished(
        &mut self,
        took: &GenerationTime,
        at: f64,
    ) -> Result<Option<EmotionEvent>, EmotionError> {
        took.check()?;
        self.activity(at)?;
        let expected = self.pace.expected(took);
        self.pace.note(took);
        let Some(expected) = expected.filter(|_| self.config.behavioral_monitoring_enabled) else {
            return Ok(None);
        };
        let seconds = took.seconds();
        let slow = seconds >= self.config.long_generation.as_secs_f64()
            && seconds >= self.config.long_generation_factor * expected;
        let done = || format!("a reply that took {seconds:.0} s instead of {expected:.0} s");
        Ok(slow.then(|| observed(known::BLOCKED, 0.3, &done())))
    }

    /// Records any other activity.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if the time is out of range.
    pub fn active(&mut self, at: f64) -> Result<(), EmotionError> {
        self.activity(at).map(drop)
    }

    /// Reports idle 0.5 if nothing was recorded for
    /// [`idle_period`](EmotionConfig::idle_period), at most once per 60 s.
    ///
    /// # Errors
    ///
    /// [`EmotionError::OutOfRange`] if the time is out of range.
    pub fn check_idle(&mut self, at: f64) -> Result<Option<EmotionEvent>, EmotionError> {
        let at = self.advance(at)?;
        let idle = self.config.behavioral_monitoring_enabled
            && at - self.last_activity >= self.config.idle_period.as_secs_f64()
            && has_passed(self.last_idle_report, at, IDLE_PAUSE_SECONDS);
        if !idle {
            return Ok(None);
        }
        self.last_idle_report = Some(at);
        let silence = at - self.last_activity;
        let done = format!("nothing happened for {silence:.0} s");
        Ok(Some(observed(known::IDLE, 0.5, &done)))
    }

    /// When [`check_idle`](Self::check_idle) can next report, in seconds, for a timer; `None` if
    /// monitoring is off.
    pub fn next_idle_check(&self) -> Option<f64> {
        let idle_from = self.last_activity + self.config.idle_period.as_secs_f64();
        let allowed_from = self
            .last_idle_report
            .map_or(idle_from, |at| at + IDLE_PAUSE_SECONDS);
        self.config
            .behavioral_monitoring_enabled
            .then(|| idle_from.max(allowed_from))
    }

    fn activity(&mut self, at: f64) -> Result<f64, EmotionError> {
        self.last_activity = self.advance(at)?;
        Ok(self.last_activity)
    }

    fn advance(&mut self, at: f64) -> Result<f64, EmotionError> {
        self.latest = check_time("at", at)?.max(self.latest);
        Ok(self.latest)
    }
}

/// Creates an event caused by behaviour, with a description of the behaviour.
fn observed(event: KnownEvent, intensity: f64, done: &str) -> EmotionEvent {
    EmotionEvent::weighted(event, intensity)
        .with_source(EventSource::Behavior)
        .with_words(done)
}

fn has_passed(since: Option<f64>, at: f64, pause: f64) -> bool {
    since.is_none_or(|since| at - since >= pause)
}
