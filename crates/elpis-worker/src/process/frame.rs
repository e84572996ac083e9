//! Messages on a stream of bytes.
//!
//! A frame is the length of its header (`u32`), the length of its blob (`u64`), both little-endian,
//! the header and the blob. The header is a message in postcard format. Large data (keys and
//! values, texts, vectors) is the blob, which is passed on unchanged.

use std::io::{self, BufReader, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

const PREFIX: usize = 12;
/// Maximum header size, many times what the largest vocabularies need for the lengths of their
/// pieces.
const HEADER_LIMIT: usize = 64 << 20;
/// Maximum blob size. Keys and values of a sequence can be as large as a cache.
const BLOB_LIMIT: u64 = 1 << 40;
/// Maximum size that is allocated before the announced bytes have arrived.
const AT_ONCE: usize = 1 << 20;
/// Blobs up to this size are sent in one write with their header.
const SMALL_BLOB: usize = 64 << 10;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Channel<S> {
    stream: BufReader<S>,
    sent: Vec<u8>,
    header: Vec<u8>,
    blob: Vec<u8>,
}

impl<S> Channel<S> {
    /// Creates a channel over a stream.
    pub(super) fn new(stream: S) -> Self
    where
        S: Read,
    {
        Self {
            stream: BufReader::with_capacity(SMALL_BLOB, stream),
            sent: Vec::new(),
            header: Vec::new(),
            blob: Vec::new(),
        }
    }

    /// The stream underneath.
    pub(super) fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// The blob of the last message that was received.
    pub(super) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Takes the blob of the last message.
    pub(super) fn take_blob(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.blob)
    }
}

impl<S: Write> Channel<S> {
    /// Sends a message with its blob.
    pub(super) fn send<M: Serialize>(&mut self, message: &M, blob: &[u8]) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.sent);
        frame.clear();
        frame.resize(PREFIX, 0);
        let mut frame = postcard::to_extend(message, frame).map_err(invalid)?;
        let header = frame.len() - PREFIX;
        if header > HEADER_LIMIT {
            return Err(invalid("a message is longer than its limit"));
        }
        frame[..4].copy_from_slice(&(header as u32).to_le_bytes());
        frame[4..PREFIX].copy_from_slice(&(blob.len() as u64).to_le_bytes());
        let stream = self.stream.get_mut();
        if blob.len() <= SMALL_BLOB {
            frame.extend_from_slice(blob);
            stream.write_all(&frame)?;
        } else {
            stream.write_all(&frame)?;
            stream.write_all(blob)?;
        }
        stream.flush()?;
        self.sent = frame;
        Ok(())
    }
}

impl<S: Read> Channel<S> {
    /// Waits for a message. Its blob is available until the next one.
    pub(super) fn receive<M: DeserializeOwned>(&mut self) -> io::Result<M> {
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix)?;
        let [a, b, c, d, blob @ ..] = prefix;
        let header = u32::from_le_bytes([a, b, c, d]) as usize;
        let blob = u64::from_le_bytes(blob);
        if header > HEADER_LIMIT || blob > BLOB_LIMIT {
            return Err(invalid("a frame is longer than its limit"));
        }
        fill(&mut self.stream, header as u64, &mut self.header)?;
        fill(&mut self.stream, blob, &mut self.blob)?;
        let (message, rest) = postcard::take_from_bytes(&self.header).map_err(invalid)?;
        if rest.is_empty() {
            Ok(message)
        } else {
            Err(invalid("a message has bytes left over"))
        }
    }
}

fn fill(stream: impl Read, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    // Release the memory of an unusually large message.
    into.shrink_to(AT_ONCE);
    into.reserve(usize::try_from(length).map_or(AT_ONCE, |length| length.min(AT_ONCE)));
    let read = stream.take(length).read_to_end(into)?;
    if read as u64 == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The error for a peer that violates the protocol.
pub(super) fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
