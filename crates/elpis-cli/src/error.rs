//! Errors of the command itself.

use std::io;
use std::path::Path;

use super::Failure;
use elpis_files::printable::{printable, printable_path};

/// A failure outside the library.
#[derive(Debug, thiserror::Error, strum::EnumProperty)]
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
    #[strum(props(hint = "the reason of each stands above"))]
    Uninspected { bad: usize, all: usize },
    /// A line of a log of events.
    #[error("{place}: {reason}")]
    #[strum(props(hint = "`elpis emotion replay --help` says what a line of a log holds"))]
    LogLine { place: String, reason: String },
    /// A line of exported sessions, or what should follow it.
    #[error("{place}: {reason}")]
    #[strum(props(
        hint = "give lines as `elpis store export` writes them, all of a session; sessions before this line were taken"
    ))]
    ExportedLine { place: String, reason: String },
    #[error("{place}: {file} has session {session} already")]
    #[strum(props(hint = "import into a new store, or export only the others with --session"))]
    SessionTaken {
        place: String,
        file: String,
        session: String,
    },
    #[error("{file} has no session {session}")]
    #[strum(props(hint = "`elpis store list` shows which there are"))]
    NoSession { file: String, session: String },
    #[error("nothing was forgotten")]
    #[strum(props(hint = "answer `y`, or give --yes"))]
    NotForgotten,
    #[error("{file}: {wrong} of {all} sessions {} damaged", if *.wrong == 1 { "is" } else { "are" })]
    #[strum(props(
        hint = "restore a copy, or save the others with `elpis store export --session ID`"
    ))]
    DamagedSessions {
        file: String,
        wrong: usize,
        all: usize,
    },
    /// A file that should hold a conversation.
    #[error("{file} cannot be read as a conversation: {reason}")]
    #[strum(props(
        hint = "name a file that `/save` wrote: a JSON array of messages with `role` and `content`"
    ))]
    Conversation { file: String, reason: String },
    /// A conversation without a terminal and without a line.
    #[error("standard input is no terminal, and there is no line in it")]
    #[strum(props(
        hint = "run it in a terminal, in a container with `-it`; or give a message on each line"
    ))]
    NothingToChat,
    #[error("{} not answered", if *.count == 1 { "a message was".to_owned() } else { format!("{count} messages were") })]
    #[strum(props(hint = "the reason of each stands above"))]
    Unanswered { count: usize },
    #[error("{}", findings.join("; "))]
    #[strum(props(
        hint = "--seed repeats the same trial, --fault-every 0 tells whether it takes a fault; ELPIS_LOG=debug shows more"
    ))]
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
