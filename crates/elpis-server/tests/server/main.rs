//! The server on the bundled model.

mod access;
mod chat;
mod connections;
mod constraints;
mod failures;
mod feelings;
mod garbage;
mod messages;
mod moods;
mod responses;
mod support;
mod tls;
