//! `OpenAI`'s Responses API, as the Open Responses specification has it.

pub(crate) mod api;
mod input;
mod reply;
mod request;
mod stream;
