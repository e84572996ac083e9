//! Errors of the command itself.

use std::io;
use std::path::Path;

use super::Failure;
use elpis_files::printable::{printable, printable_path};

/// A failure of the command itself.
#[derive(Debug, thiserror::Error, strum::EnumProperty)]
pub(super) enum CliError {
    #[error("cannot read {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("cannot write {file}: {source}")]
    Unwritable { file: String, source: io::Error },
    /// A failure with its place, such as a file.
    #[error("{place}: {source}")]
    At { place: String, source: Failure },
    /// A layer is given for a vector that names its own.
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
    /// A file of vectors does not have the requested emotion.
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
    /// Invalid vectors that were already reported.
    #[error("{bad} of {all} files cannot be used")]
    #[strum(props(hint = "the reasons are listed above"))]
    Uninspected { bad: usize, all: usize },
    /// A line of a log of events.
    #[error("{place}: {reason}")]
    #[strum(props(hint = "`elpis emotion replay --help` describes the lines of a log"))]
    LogLine { place: String, reason: String },
    /// An invalid or missing line of exported sessions.
    #[error("{place}: {reason}")]
    #[strum(props(
        hint = "provide complete sessions as written by `elpis store export`; sessions before this line were imported"
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
    #[strum(props(hint = "`elpis store list` lists the sessions"))]
    NoSession { file: String, session: String },
    #[error("nothing was forgotten")]
    #[strum(props(hint = "answer `y`, or use --yes"))]
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
    /// A file that cannot be read as a conversation.
    #[error("{file} cannot be read as a conversation: {reason}")]
    #[strum(props(
        hint = "use a file written by `/save`: a JSON array of messages with `role` and `content`"
    ))]
    Conversation { file: String, reason: String },
    /// Standard input is neither a terminal nor has a line.
    #[error("standard input is not a terminal and has no lines")]
    #[strum(props(
        hint = "run it in a terminal, in a container with `-it`, or provide a message on each line"
    ))]
    NothingToChat,
    #[error("{} not answered", if *.count == 1 { "a message was".to_owned() } else { format!("{count} messages were") })]
    #[strum(props(hint = "the reasons are listed above"))]
    Unanswered { count: usize },
    #[error("{}", findings.join("; "))]
    #[strum(props(
        hint = "--seed repeats the same trial, --fault-every 0 shows whether it also happens without faults; ELPIS_LOG=debug shows more"
    ))]
    Soak {
        findings: Vec<String>,
        /// Whether memory growth is the only finding.
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
