//! The engine: a thread that owns the model, the queue that feeds it, and the streams that it
//! writes to.
//!
//! Nothing here is an actor. [`crate::actors::engine`] starts the thread, watches it and replaces
//! it when it ends; the queue and the streams outlive both.

mod admission;
mod command;
mod failure;
mod heartbeat;
mod inbox;
mod model;
mod overdue;
mod queue;
mod signal;
mod stop;
mod stream;
mod thread;

pub use admission::Permit;
pub use command::{CacheCommand, CommandId};
pub use failure::EngineFailure;
pub use model::{LoadedModel, chat_template};
pub(crate) use overdue::retire_overdue;
pub use queue::RequestQueue;
pub use stream::{FinishFuture, FinishHook, GenerationEvent, GenerationStream};
pub(crate) use stream::{ReplyParser, StreamSink, StreamState, ThinkingSplitter};
pub use thread::{EngineContext, EngineThread, ThreadEnd};
