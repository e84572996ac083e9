//! Generations that wait for a slot.

use std::collections::{HashMap, VecDeque};

use super::task::{Outcome, Task};
use crate::inference::SessionId;

/// Waiting tasks, served round-robin by session, so that a session that sends many requests at once
/// does not delay the others.
///
/// The queue does not check its bound: a request is admitted before it is pushed.
#[derive(Debug, Default)]
pub struct AdmissionQueue {
    turns: VecDeque<SessionId>,
    tasks: HashMap<SessionId, VecDeque<Task>>,
    len: usize,
}

impl AdmissionQueue {
    /// Appends a task after the others of its session.
    pub fn push(&mut self, task: Task) {
        let session = task.session.clone();
        let waiting = self.tasks.entry(session.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(session);
        }
        waiting.push_back(task);
        self.len += 1;
    }

    /// Takes the next task: the oldest of the session whose turn it is.
    pub fn pop(&mut self) -> Option<Task> {
        let session = self.turns.pop_front()?;
        let waiting = self.tasks.get_mut(&session)?;
        let task = waiting.pop_front()?;
        self.len -= 1;
        if waiting.is_empty() {
            self.tasks.remove(&session);
        } else {
            self.turns.push_back(session);
        }
        Some(task)
    }

    /// Ends waiting tasks whose caller is gone or whose time has run out.
    pub fn retire(&mut self, now: f64) {
        for waiting in self.tasks.values_mut() {
            waiting.retain_mut(|task| {
                let ended = task.retire(now);
                self.len -= usize::from(ended);
                !ended
            });
        }
        self.tasks.retain(|_, waiting| !waiting.is_empty());
        self.turns
            .retain(|session| self.tasks.contains_key(session));
    }

    /// When the time of the first of them runs out, in seconds of the scheduler's clock.
    pub fn next_deadline(&self) -> Option<f64> {
        let tasks = self.tasks.values().flatten();
        tasks.filter_map(Task::deadline).min_by(f64::total_cmp)
    }

    /// Ends every waiting task with the same outcome.
    pub fn drain(&mut self, outcome: &Outcome) {
        while let Some(mut task) = self.pop() {
            task.sink.finish(outcome.clone());
        }
    }

    /// Number of waiting tasks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
