//! What the two ends of a generation's stream share, so that a third party can end it when the
//! engine thread no longer can.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use compact_str::CompactString;

use super::event::GenerationEvent;
use super::parser::ReplyParser;
use super::reply::Reply;
use crate::bus::EventBus;
use crate::engine::admission::Permit;
use crate::error::{EngineError, Error};
use crate::event::Event;
use crate::inference::{GenerationReport, RequestId, SessionId};
use crate::scheduler::Outcome;
use crate::telemetry::RequestWatch;

/// Most texts that get their room in advance; more of it is taken once a reader lags so far.
const MAX_RESERVED: usize = 1024;

/// The state of one generation's stream.
///
/// The engine thread takes `live` and `texts`, for as long as it takes to push a text; the reader
/// takes `reply` and `texts`. `live` is taken before `texts` and `reply` before `texts`, never
/// `live` and `reply` together.
#[derive(Debug)]
pub(crate) struct StreamState {
    id: RequestId,
    session: SessionId,
    bus: EventBus,
    /// What was read of the reply.
    reply: Mutex<Reply>,
    /// What was written and not read yet.
    texts: Mutex<Texts>,
    /// What the generation has until it ends.
    live: Mutex<Option<Live>>,
    /// How it ended.
    end: OnceLock<Result<Arc<GenerationReport>, EngineError>>,
}

/// What a generation has until it ends.
#[derive(Debug)]
struct Live {
    /// What is told of it.
    watch: RequestWatch,
    /// Its right to run.
    permit: Permit,
}

/// Texts on their way from the engine thread to the reader.
#[derive(Debug)]
struct Texts {
    waiting: VecDeque<CompactString>,
    /// Most texts that wait.
    limit: usize,
    /// Wakes the reader.
    reader: Option<Waker>,
    reader_gone: bool,
    /// Whether the whole reply is needed, reader or not.
    needed: bool,
    /// Whether no more comes.
    closed: bool,
}

impl StreamState {
    /// Makes the state of a generation that has a permit. `buffer` is how many tokens'
    /// texts are held for a slow reader.
    pub fn new(
        id: RequestId,
        session: SessionId,
        buffer: usize,
        bus: EventBus,
        watch: RequestWatch,
        permit: Permit,
    ) -> Self {
        // The last token may bring text twice: its own and what was held back.
        let limit = buffer.max(1) + 1;
        Self {
            id,
            session,
            bus,
            reply: Mutex::new(Reply::new(None, false, 0)),
            texts: Mutex::new(Texts {
                waiting: VecDeque::with_capacity(limit.min(MAX_RESERVED)),
                limit,
                reader: None,
                reader_gone: false,
                needed: false,
                closed: false,
            }),
            live: Mutex::new(Some(Live { watch, permit })),
            end: OnceLock::new(),
        }
    }

    /// Has the reply read by a parser, and kept whole if a finish hook needs it. `dropped` messages
    /// did not fit into the prompt.
    pub(super) fn read_with(&self, parser: Option<ReplyParser>, needed: bool, dropped: usize) {
        *lock(&self.reply) = Reply::new(parser, needed, dropped);
        lock(&self.texts).needed = needed;
    }

    /// Messages that did not fit into the prompt.
    pub(super) fn dropped_messages(&self) -> usize {
        lock(&self.reply).dropped_messages()
    }

    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// Whether the stream has ended.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.live).is_none()
    }

    /// Whether nobody reads the stream any more, or it has ended.
    pub(super) fn is_closed(&self) -> bool {
        let texts = lock(&self.texts);
        texts.closed || texts.reader_gone
    }

    /// Whether the texts of one more token fit. A stream that was cut takes everything and keeps
    /// nothing.
    pub(super) fn has_room(&self) -> bool {
        let texts = lock(&self.texts);
        texts.closed || texts.reader_gone || texts.waiting.len() + 2 <= texts.limit
    }

    /// Ends the stream of a request that did not become a generation.
    pub fn refuse(&self, error: &Error) {
        let live = lock(&self.live).take();
        if let Some(mut live) = live {
            live.watch.refused(error);
        }
    }

    /// Tells those that watch the generation of something, if it has not ended.
    pub fn tell(&self, what: impl FnOnce(&mut RequestWatch)) {
        if let Some(live) = &mut *lock(&self.live) {
            what(&mut live.watch);
        }
    }

    /// Hands text to the reader, if the stream has not ended.
    pub(super) fn send(&self, text: &str) {
        if let Some(live) = &mut *lock(&self.live) {
            live.watch.text(text);
            // A reader that is gone is noticed at the next token boundary.
            let reader = lock(&self.texts).push(text);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Tells that the generation got a slot.
    pub(super) fn started(&self) {
        if let Some(live) = &mut *lock(&self.live) {
            live.watch.started();
            self.bus.publish(Event::GenerationStarted {
                id: self.id,
                session: self.session.clone(),
            });
        }
    }

    /// Ends the stream, if it has not ended: the observers are told, the reader gets what was sent
    /// and then the end, and the permit is free.
    pub(super) fn finish(&self, outcome: Outcome) {
        let Some(Live { mut watch, permit }) = lock(&self.live).take() else {
            return;
        };
        // However this ends, the reader does not wait for ever.
        let closing = Closing(&self.texts);
        let (id, session) = (self.id, self.session.clone());
        match outcome {
            Outcome::Done(report) => {
                watch.done(&report);
                let report = Arc::<GenerationReport>::from(report);
                let _ = self.end.set(Ok(Arc::clone(&report)));
                self.bus.publish(Event::GenerationFinished(report));
            }
            Outcome::Failed(error) => {
                watch.failed(&error);
                let _ = self.end.set(Err(error.clone()));
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
        // Who sees the end may use the place at once.
        drop(permit);
        drop(closing);
    }

    /// Reads on until there is an event.
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
            let text = ready!(lock(&self.texts).poll(context));
            if let Some(text) = text {
                reply.push(text);
                continue;
            }
            match self.end.get() {
                Some(Ok(report)) => {
                    reply.finish();
                    reply.end(Ok(GenerationEvent::Finished(Arc::clone(report))));
                }
                Some(Err(error)) => reply.end(Err(error.clone())),
                None => reply.end(Err(EngineError::EngineRestarted)),
            }
        }
    }

    /// Reads what the reader has not, whose events wait for it, and returns the text of the whole
    /// reply. To be called once, when all was written.
    pub(super) fn read_to_end(&self) -> String {
        let mut reply = lock(&self.reply);
        loop {
            let Some(text) = lock(&self.texts).waiting.pop_front() else {
                break;
            };
            reply.push(text);
        }
        reply.finish();
        reply.take_text()
    }

    /// Notes that the reader is gone.
    pub(super) fn leave(&self) {
        let mut texts = lock(&self.texts);
        texts.reader_gone = true;
        texts.reader = None;
        if !texts.needed {
            texts.waiting.clear();
        }
    }
}

impl Texts {
    /// Adds a text; returns who is to be woken, without the lock.
    fn push(&mut self, text: &str) -> Option<Waker> {
        if self.reader_gone && !self.needed {
            return None;
        }
        self.waiting.push_back(text.into());
        self.reader.take()
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<CompactString>> {
        if let Some(text) = self.waiting.pop_front() {
            return Poll::Ready(Some(text));
        }
        if self.closed {
            return Poll::Ready(None);
        }
        match &mut self.reader {
            Some(reader) => reader.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Closes the way to the reader when it is dropped.
struct Closing<'a>(&'a Mutex<Texts>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut texts = lock(self.0);
        texts.closed = true;
        let reader = texts.reader.take();
        drop(texts);
        reader.into_iter().for_each(Waker::wake);
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

    /// Ends the running streams that `goes` names.
    pub fn end(&self, goes: impl Fn(RequestId) -> bool, outcome: &Outcome) {
        let mut running = lock(&self.running);
        let ended: Vec<_> = running.extract_if(|&id, _| goes(id)).collect();
        drop(running);
        for (_, stream) in ended {
            stream.finish(outcome.clone());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single one, so what a panicking holder left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
