//! `OpenAI`'s API.

pub(crate) mod chat;
mod message;
pub(crate) mod models;
mod reply;
mod request;
mod stream;

pub(crate) use request::{read_response_format, read_tool_choice};
