//! What the two ends of a generation's stream share, so that a third party can
//! end it when the engine thread no longer can.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use compact_str::CompactString;
use tokio::sync::mpsc;

use super::outlet::StreamParts;
use crate::error::EngineError;
use crate::event::Event;
use crate::inference::{GenerationReport, RequestId};
use crate::scheduler::Outcome;
use crate::telemetry;

type Ending = Result<Arc<GenerationReport>, EngineError>;

/// One generation's line to its reader.
#[derive(Debug)]
pub(super) struct Line {
    id: RequestId,
    ending: OnceLock<Ending>,
    /// Gone once the line has ended.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    // Dropped in this order: who sees the end may use the place at once.
    parts: StreamParts,
    sender: mpsc::Sender<CompactString>,
}

impl Line {
    pub fn new(sender: mpsc::Sender<CompactString>, parts: StreamParts) -> Self {
        Self {
            id: parts.id,
            ending: OnceLock::new(),
            open: Mutex::new(Some(Open { parts, sender })),
        }
    }

    /// Does something with the reader's channel, if the line is open.
    pub fn with<T>(&self, work: impl FnOnce(&mpsc::Sender<CompactString>) -> T) -> Option<T> {
        lock(&self.open).as_ref().map(|open| work(&open.sender))
    }

    /// Tells that the generation got a slot.
    pub fn started(&self) {
        if let Some(Open { parts, .. }) = &*lock(&self.open) {
            parts.bus.publish(Event::GenerationStarted {
                id: self.id,
                session: parts.session.clone(),
            });
        }
    }

    /// Ends the line, if it has not ended: the observers are told, the reader
    /// gets what was sent and then the end, and the permit is free.
    pub fn finish(&self, outcome: Outcome) {
        let Some(open) = lock(&self.open).take() else {
            return;
        };
        let StreamParts {
            session,
            model,
            bus,
            ..
        } = &open.parts;
        let (id, session) = (self.id, session.clone());
        match outcome {
            Outcome::Done(report) => {
                telemetry::generation_done(&report);
                let report = Arc::<GenerationReport>::from(report);
                let _ = self.ending.set(Ok(Arc::clone(&report)));
                bus.publish(Event::GenerationFinished(report));
            }
            Outcome::Failed(error) => {
                telemetry::generation_failed(model, &error);
                let _ = self.ending.set(Err(error.clone()));
                bus.publish(Event::GenerationFailed {
                    id,
                    session,
                    kind: error.kind(),
                    reason: error.to_string(),
                });
            }
            Outcome::Cancelled => {
                telemetry::generation_cancelled(model);
                bus.publish(Event::GenerationCancelled { id, session });
            }
        }
    }

    /// How the line ended, if it was told.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }
}

/// The lines of the generations that hold a slot.
#[derive(Debug, Default)]
pub(super) struct Lines {
    running: Mutex<HashMap<RequestId, Arc<Line>>>,
}

impl Lines {
    pub fn started(&self, line: &Arc<Line>) {
        lock(&self.running).insert(line.id, Arc::clone(line));
    }

    pub fn ended(&self, line: &Line) {
        lock(&self.running).remove(&line.id);
    }

    /// Ends every running line because its engine is given up.
    pub fn cut(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        for line in running.into_values() {
            line.finish(Outcome::Failed(EngineError::EngineRestarted));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single one, so what a panicking holder left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
