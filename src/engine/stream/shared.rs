//! The shared state of the two ends of a generation's stream. It lets other code end the stream
//! when the engine thread no longer can.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use compact_str::CompactString;

use super::channel::{Channel, Next};
use super::event::GenerationEvent;
use super::parser::ReplyParser;
use super::reply::Reply;
use crate::bus::EventBus;
use crate::engine::admission::Permit;
use crate::engine::signal::Signals;
use crate::error::{EngineError, Error};
use crate::event::Event;
use crate::inference::{GenerationReport, RequestId, SessionId};
use crate::scheduler::Outcome;
use crate::sync::{Mutex, lock};
use crate::telemetry::RequestWatch;

/// The state of one generation's stream.
///
/// The engine thread writes to the channel, and the reader takes from it while it holds `reply`.
#[derive(Debug)]
pub(crate) struct StreamState {
    id: RequestId,
    session: SessionId,
    bus: EventBus,
    /// The parsed part of the reply.
    reply: Mutex<Reply>,
    /// The texts that were written but not read yet, and the end.
    channel: Channel<Live, CompactString, End>,
}

type End = Result<Arc<GenerationReport>, EngineError>;

/// The data of a generation until it ends.
#[derive(Debug)]
struct Live {
    /// Its metrics and spans.
    watch: RequestWatch,
    /// Its permit.
    permit: Permit,
}

impl StreamState {
    /// Creates the state of a generation with a permit. `buffer` is the number of tokens whose
    /// texts are held for a slow reader.
    pub fn new(
        id: RequestId,
        session: SessionId,
        buffer: usize,
        bus: EventBus,
        watch: RequestWatch,
        permit: Permit,
        signals: Arc<Signals>,
    ) -> Self {
        // The last token may yield two texts: its own and the held-back one.
        let limit = buffer.max(1) + 1;
        Self {
            id,
            session,
            bus,
            reply: Mutex::new(Reply::new(None, false, 0)),
            channel: Channel::new(limit, Live { watch, permit }, signals),
        }
    }

    /// Sets the parser of the reply, and keeps the whole text if a finish hook needs it. `dropped`
    /// is the number of messages that did not fit into the prompt.
    pub(super) fn read_with(&self, parser: Option<ReplyParser>, needed: bool, dropped: usize) {
        *lock(&self.reply) = Reply::new(parser, needed, dropped);
        self.channel.need(needed);
    }

    /// Returns the number of messages that did not fit into the prompt.
    pub(super) fn dropped_messages(&self) -> usize {
        lock(&self.reply).dropped_messages()
    }

    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// Returns whether the stream has ended.
    pub(super) fn is_over(&self) -> bool {
        self.channel.is_over()
    }

    /// Returns whether the reader is gone or the stream has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Returns whether the texts of one more token fit; if not, the engine thread is woken once
    /// they do. An aborted stream accepts every text and discards it.
    pub(super) fn has_room(&self) -> bool {
        self.channel.has_room()
    }

    /// Ends the stream of a request that did not become a generation.
    pub fn refuse(&self, error: &Error) {
        if let Some((mut live, _closing)) = self.channel.end() {
            live.watch.refused(error);
        }
    }

    /// Updates the metrics and spans of the generation, if it has not ended.
    pub fn tell(&self, what: impl FnOnce(&mut RequestWatch)) {
        self.channel.with_live(|live| what(&mut live.watch));
    }

    /// Sends text to the reader, if the stream has not ended.
    pub(super) fn send(&self, text: &str) {
        let watched = |live: &mut Live, text: &CompactString| live.watch.text(text);
        self.channel.send(text.into(), watched);
    }

    /// Records that the generation got a slot.
    pub(super) fn started(&self) {
        self.channel.with_live(|live| {
            live.watch.started();
            self.bus.publish(Event::GenerationStarted {
                id: self.id,
                session: self.session.clone(),
            });
        });
    }

    /// Ends the stream, if it has not ended: the observers are notified, the permit is released,
    /// and the reader gets the texts that were sent and then the end.
    pub(super) fn finish(&self, outcome: Outcome) {
        let Some((Live { mut watch, permit }, mut closing)) = self.channel.end() else {
            return;
        };
        let (id, session) = (self.id, self.session.clone());
        match outcome {
            Outcome::Done(report) => {
                watch.done(&report);
                let report = Arc::<GenerationReport>::from(report);
                closing.end = Some(Ok(Arc::clone(&report)));
                self.bus.publish(Event::GenerationFinished(report));
            }
            Outcome::Failed(error) => {
                watch.failed(&error);
                closing.end = Some(Err(error.clone()));
                self.bus.publish(Event::GenerationFailed {
                    id,
                    session,
                    kind: error.kind(),
                    reason: error.to_string(),
                });
            }
            Outcome::Cancelled => {
                watch.cancelled();
                self.bus.publish(Event::GenerationCancelled { id, session });
            }
        }
        // The permit must be free before the end is visible.
        drop(permit);
        drop(closing);
    }

    /// Parses texts until there is an event.
    pub(super) fn poll_event(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<GenerationEvent, EngineError>>> {
        let mut reply = lock(&self.reply);
        loop {
            if let Some(event) = reply.next() {
                return Poll::Ready(Some(event));
            }
            if reply.is_over() {
                return Poll::Ready(None);
            }
            match ready!(self.channel.poll(context)) {
                Next::Text(text) => reply.push(text),
                Next::End(Some(Ok(report))) => {
                    reply.finish();
                    reply.end(Ok(GenerationEvent::Finished(report)));
                }
                Next::End(Some(Err(error))) => reply.end(Err(error)),
                Next::End(None) => reply.end(Err(EngineError::EngineRestarted)),
            }
        }
    }

    /// Parses the texts that the reader has not read, keeps their events for it, and returns the
    /// text of the whole reply. Must be called once, after the last text.
    pub(super) fn read_to_end(&self) -> String {
        let mut reply = lock(&self.reply);
        while let Some(text) = self.channel.take() {
            reply.push(text);
        }
        reply.finish();
        reply.take_text()
    }

    /// Records that the reader is gone.
    pub(super) fn leave(&self) {
        self.channel.leave();
    }
}

/// The streams of the generations that hold a slot.
#[derive(Debug, Default)]
pub(crate) struct RunningStreams {
    running: Mutex<HashMap<RequestId, Arc<StreamState>>>,
}

impl RunningStreams {
    pub(super) fn started(&self, stream: &Arc<StreamState>) {
        lock(&self.running).insert(stream.id, Arc::clone(stream));
    }

    pub(super) fn ended(&self, stream: &StreamState) {
        lock(&self.running).remove(&stream.id);
    }

    /// Ends the running streams for which `goes` is true.
    pub fn end(&self, goes: impl Fn(RequestId) -> bool, outcome: &Outcome) {
        let mut running = lock(&self.running);
        let ended: Vec<_> = running.extract_if(|&id, _| goes(id)).collect();
        drop(running);
        for (_, stream) in ended {
            stream.finish(outcome.clone());
        }
    }
}
