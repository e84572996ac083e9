//! Decodes token bytes to text: UTF-8 across token boundaries, and stop strings.

use encoding_rs::{CoderResult, Decoder, UTF_8};
use thiserror::Error;

/// Maximum number of stop strings of a stream.
pub const MAX_STOPS: usize = 16;

/// Maximum length of a stop string, in bytes of UTF-8.
pub const MAX_STOP_BYTES: usize = 256;

/// Initial capacity of a stream in bytes, larger than any token of known vocabularies.
const ROOM: usize = 256;

/// Why a set of stop strings was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum TextError {
    /// There are more than [`MAX_STOPS`] stop strings.
    #[error("{count} stop strings, at most {MAX_STOPS} are allowed")]
    TooManyStops {
        /// The given number.
        count: usize,
    },
    /// A stop string is empty, which would stop every text immediately.
    #[error("stop string {index} is empty")]
    EmptyStop {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A stop string is longer than [`MAX_STOP_BYTES`].
    #[error("stop string {index} has {bytes} bytes, at most {MAX_STOP_BYTES} are allowed")]
    StopTooLong {
        /// Its place in the list, from 0.
        index: usize,
        /// Its length in bytes.
        bytes: usize,
    },
}

impl TextError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// The result of one step of a [`TextStream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed<'a> {
    /// The text that is now certain, often empty. It never contains a part of the stop string that
    /// ended the stream.
    pub text: &'a str,
    /// The index of the stop string that ended the stream, once one has.
    pub stopped: Option<usize>,
}

/// Turns the bytes of tokens into text, piece by piece.
///
/// A character may span tokens, so bytes go through one decoder that keeps its state; invalid bytes
/// become U+FFFD as the WHATWG encoding standard specifies (the same as [`String::from_utf8_lossy`]
/// on the whole). A stop string may also span tokens, so the end of the text is held back as long
/// as it could still become one.
///
/// The match that starts first wins; of two that start together, the longer; of two equal ones, the
/// first in the list. The joined pieces are the same however the bytes were split.
///
/// At most `MAX_STOP_BYTES - 1` bytes of text are held back. A push allocates only if a
/// piece is longer than any before it and than 256 bytes.
#[derive(Debug)]
pub struct TextStream {
    decoder: Decoder,
    stops: Vec<Box<[u8]>>,
    starts: [bool; 256],
    buffer: String,
    handed_out: usize,
    stopped: Option<usize>,
    finished: bool,
}

/// The beginning of the text that is not yet certain.
enum Verdict {
    /// No stop string can start before this offset, but one may start at it.
    Hold(usize),
    /// A stop string, by index, matches at this offset.
    Match(usize, usize),
}

impl TextStream {
    /// Creates a stream that ends at the first of `stops`, or never when the list is empty.
    ///
    /// # Errors
    /// [`TextError`] when there are more than [`MAX_STOPS`] stop strings, or one is empty or
    /// longer than [`MAX_STOP_BYTES`].
    pub fn new(stops: &[String]) -> Result<Self, TextError> {
        if stops.len() > MAX_STOPS {
            return Err(TextError::TooManyStops { count: stops.len() });
        }
        let mut starts = [false; 256];
        for (index, stop) in stops.iter().enumerate() {
            let Some(&first) = stop.as_bytes().first() else {
                return Err(TextError::EmptyStop { index });
            };
            if stop.len() > MAX_STOP_BYTES {
                return Err(TextError::StopTooLong {
                    index,
                    bytes: stop.len(),
                });
            }
            starts[usize::from(first)] = true;
        }
        Ok(Self {
            decoder: UTF_8.new_decoder_without_bom_handling(),
            stops: stops.iter().map(|stop| stop.as_bytes().into()).collect(),
            starts,
            buffer: String::with_capacity(ROOM),
            handed_out: 0,
            stopped: None,
            finished: false,
        })
    }

    /// Adds the bytes of the next token. Returns the text that is now certain.
    ///
    /// After a stop string or [`finish`](Self::finish), bytes are ignored and the text is empty.
    pub fn push(&mut self, bytes: &[u8]) -> Pushed<'_> {
        self.step(bytes, false)
    }

    /// Ends the stream. Returns the text held back: an unfinished character as U+FFFD, and text
    /// that did not become a stop string.
    pub fn finish(&mut self) -> Pushed<'_> {
        self.step(&[], true)
    }

    /// Ignores stop strings from now on. Text held back is returned with the next piece.
    pub fn ignore_stops(&mut self) {
        self.stops.clear();
    }

    /// Returns the index of the stop string that ended the stream, once one has.
    pub fn stopped(&self) -> Option<usize> {
        self.stopped
    }

    fn step(&mut self, bytes: &[u8], last: bool) -> Pushed<'_> {
        self.buffer.drain(..self.handed_out);
        self.handed_out = 0;
        if self.stopped.is_some() || self.finished {
            self.buffer.clear();
            return Pushed {
                text: "",
                stopped: self.stopped,
            };
        }
        self.finished = last;
        self.decode(bytes, last);
        self.handed_out = match self.judge(last) {
            Verdict::Hold(offset) => offset,
            Verdict::Match(offset, stop) => {
                self.stopped = Some(stop);
                offset
            }
        };
        Pushed {
            text: self.buffer.get(..self.handed_out).unwrap_or_default(),
            stopped: self.stopped,
        }
    }

    fn decode(&mut self, mut bytes: &[u8], last: bool) {
        loop {
            let room = self.decoder.max_utf8_buffer_length(bytes.len());
            self.buffer.reserve(room.unwrap_or(bytes.len()).max(16));
            let (result, read, _) = self.decoder.decode_to_string(bytes, &mut self.buffer, last);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }

    fn judge(&self, last: bool) -> Verdict {
        let text = self.buffer.as_bytes();
        if self.stops.is_empty() {
            return Verdict::Hold(text.len());
        }
        for (offset, &byte) in text.iter().enumerate() {
            if !self.starts[usize::from(byte)] {
                continue;
            }
            let rest = &text[offset..];
            let may_grow = |stop: &[u8]| !last && stop.len() > rest.len() && stop.starts_with(rest);
            if self.stops.iter().any(|stop| may_grow(stop)) {
                return Verdict::Hold(offset);
            }
            let mut best: Option<usize> = None;
            for (index, stop) in self.stops.iter().enumerate() {
                let longer = best.is_none_or(|best| stop.len() > self.stops[best].len());
                if longer && rest.starts_with(stop) {
                    best = Some(index);
                }
            }
            if let Some(index) = best {
                return Verdict::Match(offset, index);
            }
        }
        Verdict::Hold(text.len())
    }
}
