//! The channel of a reply from the engine thread to its reader, which ends exactly once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::engine::signal::Signals;
use crate::sync::{Mutex, lock};

/// Maximum number of texts with preallocated space; a slower reader makes the buffer grow.
const MAX_RESERVED: usize = 1024;

/// Carries texts `T` to a reader, and then the end `E`. `L` is the data that the generation owns
/// until it ends.
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
    /// Maximum number of waiting texts.
    limit: usize,
    /// Wakes the reader.
    reader: Option<Waker>,
    reader_gone: bool,
    /// Whether the whole reply is needed, even without a reader.
    needed: bool,
    /// Whether the engine thread found no room since the reader last made some.
    stalled: bool,
    /// Whether no more texts follow.
    closed: bool,
    /// How the generation ended; `None` if the code that ended it panicked.
    end: Option<E>,
}

/// The next item for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T, E> {
    Text(T),
    /// The end; `None` if the code that ended the generation panicked.
    End(Option<E>),
}

impl<L, T, E: Clone> Channel<L, T, E> {
    /// Creates the channel of a generation. At most `limit` texts wait for the reader.
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

    /// Sets whether the whole reply is needed, even without a reader.
    pub fn need(&self, needed: bool) {
        lock(&self.texts).needed = needed;
    }

    /// Returns whether the generation has ended. Its reader may not know yet.
    pub fn is_over(&self) -> bool {
        lock(&self.live).is_none()
    }

    /// Returns whether the reader is gone or no more texts follow.
    pub fn is_closed(&self) -> bool {
        let texts = lock(&self.texts);
        texts.closed || texts.reader_gone
    }

    /// Returns whether the texts of one more token fit, which may be two. If not, the engine thread
    /// is woken once they do. A closed channel accepts every text and discards it.
    pub fn has_room(&self) -> bool {
        let mut texts = lock(&self.texts);
        texts.stalled = !texts.has_room();
        !texts.stalled
    }

    /// Accesses the generation's data, unless it has ended.
    pub fn with_live(&self, work: impl FnOnce(&mut L)) {
        if let Some(live) = &mut *lock(&self.live) {
            work(live);
        }
    }

    /// Sends a text to the reader, unless the generation has ended. `told` is called first.
    pub fn send(&self, text: T, told: impl FnOnce(&mut L, &T)) {
        let mut live = lock(&self.live);
        if let Some(live) = &mut *live {
            told(live, &text);
            // A missing reader is noticed at the next token boundary.
            let reader = lock(&self.texts).push(text);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends the generation. The first caller gets the generation's data. The reader is notified of
    /// the end when the [`Closing`] is dropped, which should be the last step.
    pub fn end(&self) -> Option<(L, Closing<'_, L, T, E>)> {
        let live = lock(&self.live).take()?;
        let closing = Closing {
            channel: self,
            end: None,
        };
        Some((live, closing))
    }

    /// Takes the next item. The reader is woken when there is one.
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

    /// Takes a waiting text, for the code that reads in place of the reader after the end.
    pub fn take(&self) -> Option<T> {
        lock(&self.texts).waiting.pop_front()
    }

    /// Records that the reader is gone, and notifies the threads that run or keep the generation.
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

    /// Adds a text. Returns the waker, which the caller must call without the lock.
    fn push(&mut self, text: T) -> Option<Waker> {
        if self.reader_gone && !self.needed {
            return None;
        }
        self.waiting.push_back(text);
        self.reader.take()
    }
}

/// Closes the channel when it is dropped, so that no reader waits for ever.
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
