//! Anthropic's API.

pub(crate) mod messages;
mod reply;
mod request;
mod stream;
