//! The way of a reply from the engine thread to its reader, and its end, which happens once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::engine::signal::Signals;
use crate::sync::{Mutex, lock};

/// Most texts that get their room in advance; more of it is taken once a reader lags so far.
const MAX_RESERVED: usize = 1024;

/// Texts `T` on their way to a reader, and then the end `E`. What only a generation that has not
/// ended owns is `L`.
///
/// `live` is locked before `texts`.
#[derive(Debug)]
pub(crate) struct Channel<L, T, E> {
    live: Mutex<Option<L>>,
    texts: Mutex<Texts<T, E>>,
    signals: Arc<Signals>,
}

#[derive(Debug)]
struct Texts<T, E> {
    waiting: VecDeque<T>,
    /// Most texts that wait.
    limit: usize,
    /// Wakes the reader.
    reader: Option<Waker>,
    reader_gone: bool,
    /// Whether the whole reply is needed, reader or not.
    needed: bool,
    /// Whether the engine thread found no room since the reader last made some.
    stalled: bool,
    /// Whether no more comes.
    closed: bool,
    /// How it ended; `None` if whoever ended it broke.
    end: Option<E>,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T, E> {
    Text(T),
    /// Nothing follows; `None`: whoever ended it broke.
    End(Option<E>),
}

impl<L, T, E: Clone> Channel<L, T, E> {
    /// Makes the channel of a generation; at most `limit` texts wait for the reader.
    pub fn new(limit: usize, live: L, signals: Arc<Signals>) -> Self {
        Self {
            live: Mutex::new(Some(live)),
            texts: Mutex::new(Texts {
                waiting: VecDeque::with_capacity(limit.min(MAX_RESERVED)),
                limit,
                reader: None,
                reader_gone: false,
                needed: false,
                stalled: false,
                closed: false,
                end: None,
            }),
            signals,
        }
    }

    /// Says whether the whole reply is needed, reader or not.
    pub fn need(&self, needed: bool) {
        lock(&self.texts).needed = needed;
    }

    /// Whether the generation has ended; its reader may not know yet.
    pub fn is_over(&self) -> bool {
        lock(&self.live).is_none()
    }

    /// Whether nobody reads any more, or nothing more comes.
    pub fn is_closed(&self) -> bool {
        let texts = lock(&self.texts);
        texts.closed || texts.reader_gone
    }

    /// Whether the texts of one more token fit, which may be two. If not, the engine thread is
    /// woken once they do. A channel that is closed takes everything and keeps nothing.
    pub fn has_room(&self) -> bool {
        let mut texts = lock(&self.texts);
        texts.stalled = !texts.has_room();
        !texts.stalled
    }

    /// Does something with what the generation owns, unless it has ended.
    pub fn with_live(&self, work: impl FnOnce(&mut L)) {
        if let Some(live) = &mut *lock(&self.live) {
            work(live);
        }
    }

    /// Hands a text to the reader, unless the generation has ended; `told` comes before it.
    pub fn send(&self, text: T, told: impl FnOnce(&mut L, &T)) {
        let mut live = lock(&self.live);
        if let Some(live) = &mut *live {
            told(live, &text);
            // A reader that is gone is noticed at the next token boundary.
            let reader = lock(&self.texts).push(text);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends the generation: whoever calls this first gets what it owned. The reader learns of the
    /// end when the [`Closing`] is dropped, which should be the last of all.
    pub fn end(&self) -> Option<(L, Closing<'_, L, T, E>)> {
        let live = lock(&self.live).take()?;
        let closing = Closing {
            channel: self,
            end: None,
        };
        Some((live, closing))
    }

    /// Takes what comes next; the reader is woken when there is something.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Next<T, E>> {
        let mut texts = lock(&self.texts);
        if let Some(text) = texts.waiting.pop_front() {
            let resumes = texts.stalled && texts.has_room();
            texts.stalled &= !resumes;
            drop(texts);
            if resumes {
                self.signals.engine.raise();
            }
            return Poll::Ready(Next::Text(text));
        }
        if texts.closed {
            return Poll::Ready(Next::End(texts.end.clone()));
        }
        match &mut texts.reader {
            Some(reader) => reader.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes a text that waits, for who reads in place of the reader when all was written.
    pub fn take(&self) -> Option<T> {
        lock(&self.texts).waiting.pop_front()
    }

    /// Notes that the reader is gone; who runs or keeps the generation is told to look.
    pub fn leave(&self) {
        let mut texts = lock(&self.texts);
        texts.reader_gone = true;
        texts.reader = None;
        if !texts.needed {
            texts.waiting.clear();
        }
        let closed = texts.closed;
        drop(texts);
        if !closed {
            self.signals.engine.raise();
            self.signals.overdue.raise();
        }
    }
}

impl<T, E> Texts<T, E> {
    fn has_room(&self) -> bool {
        self.closed || self.reader_gone || self.waiting.len() + 2 <= self.limit
    }

    /// Adds a text; returns who is to be woken, without the lock.
    fn push(&mut self, text: T) -> Option<Waker> {
        if self.reader_gone && !self.needed {
            return None;
        }
        self.waiting.push_back(text);
        self.reader.take()
    }
}

/// Closes the way to the reader when it is dropped, so that none waits for ever.
#[derive(Debug)]
pub(crate) struct Closing<'a, L, T, E> {
    channel: &'a Channel<L, T, E>,
    /// How the generation ended.
    pub end: Option<E>,
}

impl<L, T, E> Drop for Closing<'_, L, T, E> {
    fn drop(&mut self) {
        let mut texts = lock(&self.channel.texts);
        texts.end = self.end.take();
        texts.closed = true;
        let reader = texts.reader.take();
        drop(texts);
        reader.into_iter().for_each(Waker::wake);
    }
}
