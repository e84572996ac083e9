//! The stream of a generation: the engine thread's end, the reader's end, and their shared state.

mod channel;
mod event;
mod parser;
mod reader;
mod reply;
mod shared;
mod sink;

pub use event::GenerationEvent;
pub(crate) use parser::{ReplyParser, ThinkingSplitter};
pub use reader::GenerationStream;
pub(crate) use shared::{RunningStreams, StreamState};
pub(crate) use sink::StreamSink;
pub use sink::{FinishFuture, FinishHook};
