//! Errors of the command itself.

use std::io;
use std::path::Path;

use super::Failure;
use elpis_files::printable::{printable, printable_path};

/// A failure outside the library.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("cannot read {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("cannot write {file}: {source}")]
    Unwritable { file: String, source: io::Error },
    /// A failure with its place, such as a file.
    #[error("{place}: {source}")]
    At { place: String, source: Failure },
    /// A layer for a vector that names its own.
    #[error(
        "{file}: --layer {asked} is for a vector without a layer, this one has rows for {}; \
         layer in vectors.toml selects among them",
        layers.join(", ")
    )]
    LayersOfItsOwn {
        file: String,
        layers: Vec<String>,
        asked: usize,
    },
    /// An emotion that a file of vectors does not hold.
    #[error(
        "{file}: there is no emotion {} in it{}",
        printable(asked),
        if has.is_empty() { ", it is the vector of one emotion".to_owned() } else { format!("; it has {}", has.join(", ")) }
    )]
    NotInPack {
        file: String,
        asked: String,
        has: Vec<String>,
    },
    /// Vectors that are told of already.
    #[error("{bad} of {all} files cannot be used")]
    Uninspected { bad: usize, all: usize },
    /// A line of a log of events.
    #[error("{place}: {reason}")]
    LogLine { place: String, reason: String },
    /// A line of exported sessions, or what should follow it.
    #[error("{place}: {reason}")]
    ExportedLine { place: String, reason: String },
    #[error("{place}: {file} has session {session} already")]
    SessionTaken {
        place: String,
        file: String,
        session: String,
    },
    #[error("{file} has no session {session}")]
    NoSession { file: String, session: String },
    #[error("nothing was forgotten")]
    NotForgotten,
    #[error("{file}: {wrong} of {all} sessions {} damaged", if *.wrong == 1 { "is" } else { "are" })]
    DamagedSessions {
        file: String,
        wrong: usize,
        all: usize,
    },
    /// A file that should hold a conversation.
    #[error("{file} cannot be read as a conversation: {reason}")]
    Conversation { file: String, reason: String },
    /// A conversation without a terminal and without a line.
    #[error("standard input is no terminal, and there is no line in it")]
    NothingToChat,
    #[error("{} not answered", if *.count == 1 { "a message was".to_owned() } else { format!("{count} messages were") })]
    Unanswered { count: usize },
    #[error("{}", findings.join("; "))]
    Soak {
        findings: Vec<String>,
        /// Whether growth of memory is all that was found.
        growth_alone: bool,
    },
}

impl CliError {
    pub(super) fn unreadable(file: &Path) -> impl Fn(io::Error) -> Self {
        let file = printable_path(file);
        move |source| Self::Unreadable {
            file: file.clone(),
            source,
        }
    }

    pub(super) fn unwritable(file: &Path) -> impl Fn(io::Error) -> Self {
        let file = printable_path(file);
        move |source| Self::Unwritable {
            file: file.clone(),
            source,
        }
    }

    pub(super) fn at<E: Into<Failure>>(file: &Path) -> impl Fn(E) -> Self {
        let place = printable_path(file);
        move |source| Self::At {
            place: place.clone(),
            source: source.into(),
        }
    }
}
