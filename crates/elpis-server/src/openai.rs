//! `OpenAI`'s API.

pub(crate) mod chat;
pub(crate) mod elpis_part;
mod message;
pub(crate) mod models;
mod reply;
mod request;
mod stream;
