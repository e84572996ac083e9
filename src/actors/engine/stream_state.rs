//! What the two ends of a generation's stream share, so that a third party can
//! end it when the engine thread no longer can.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use compact_str::CompactString;
use tokio::sync::mpsc;

use super::parts::StreamParts;
use crate::error::EngineError;
use crate::event::Event;
use crate::inference::{GenerationReport, RequestId};
use crate::scheduler::Outcome;
use crate::telemetry::RequestWatch;

type Ending = Result<Arc<GenerationReport>, EngineError>;

/// One generation's line to its reader.
#[derive(Debug)]
pub(super) struct StreamState {
    id: RequestId,
    ending: OnceLock<Ending>,
    /// Gone once the line has ended.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    parts: StreamParts,
    sender: mpsc::Sender<CompactString>,
}

impl StreamState {
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

    /// Whether the line has ended.
    pub fn is_over(&self) -> bool {
        lock(&self.open).is_none()
    }

    /// Tells those that watch the generation of something, if the line is
    /// open.
    pub fn tell(&self, what: impl FnOnce(&mut RequestWatch)) {
        if let Some(open) = &mut *lock(&self.open) {
            what(&mut open.parts.watch);
        }
    }

    /// Hands text to the reader, if the line is open.
    pub fn send(&self, text: &str) {
        if let Some(open) = &mut *lock(&self.open) {
            open.parts.watch.text(text);
            // A reader that is gone is noticed at the next token boundary.
            let _ = open.sender.try_send(text.into());
        }
    }

    /// Tells that the generation got a slot.
    pub fn started(&self) {
        if let Some(Open { parts, .. }) = &mut *lock(&self.open) {
            parts.watch.started();
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
        let Open { parts, sender } = open;
        let StreamParts {
            session,
            mut watch,
            bus,
            permit,
            ..
        } = parts;
        let id = self.id;
        match outcome {
            Outcome::Done(report) => {
                watch.done(&report);
                let report = Arc::<GenerationReport>::from(report);
                let _ = self.ending.set(Ok(Arc::clone(&report)));
                bus.publish(Event::GenerationFinished(report));
            }
            Outcome::Failed(error) => {
                watch.failed(&error);
                let _ = self.ending.set(Err(error.clone()));
                bus.publish(Event::GenerationFailed {
                    id,
                    session,
                    kind: error.kind(),
                    reason: error.to_string(),
                });
            }
            Outcome::Cancelled => {
                watch.cancelled();
                bus.publish(Event::GenerationCancelled { id, session });
            }
        }
        // Who sees the end may use the place at once.
        drop(permit);
        drop(sender);
    }

    /// How the line ended, if it was told.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }
}

/// The lines of the generations that hold a slot.
#[derive(Debug, Default)]
pub(super) struct RunningStreams {
    running: Mutex<HashMap<RequestId, Arc<StreamState>>>,
}

impl RunningStreams {
    pub fn started(&self, line: &Arc<StreamState>) {
        lock(&self.running).insert(line.id, Arc::clone(line));
    }

    pub fn ended(&self, line: &StreamState) {
        lock(&self.running).remove(&line.id);
    }

    /// Ends the running lines that `goes` names.
    pub fn end(&self, goes: impl Fn(RequestId) -> bool, outcome: &Outcome) {
        let mut running = lock(&self.running);
        let ended: Vec<_> = running.extract_if(|&id, _| goes(id)).collect();
        drop(running);
        for (_, line) in ended {
            line.finish(outcome.clone());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single one, so what a panicking holder left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
