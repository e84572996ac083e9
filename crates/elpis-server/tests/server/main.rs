//! The server on the bundled model.

mod access;
mod chat;
mod connections;
mod feelings;
mod garbage;
mod messages;
mod moods;
mod responses;
mod support;
