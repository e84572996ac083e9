//! Hints on the command's own failures.

use std::io::ErrorKind;

use super::{Hint, say};
use crate::error::CliError;

pub(super) fn error(error: &CliError) -> Hint {
    match error {
        CliError::Unreadable { source, .. } => match source.kind() {
            ErrorKind::NotFound => {
                say("check the path; a relative one counts from the working directory")
            }
            ErrorKind::PermissionDenied => say("check who may read it"),
            ErrorKind::IsADirectory => say("name a file in that folder"),
            ErrorKind::InvalidData => say("it must be a text in UTF-8"),
            _ => None,
        },
        CliError::Unwritable { source, .. } => match source.kind() {
            ErrorKind::NotFound => say("make the folder first"),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                say("check who may write there, or choose another place")
            }
            ErrorKind::StorageFull => say("make room, or choose another place"),
            ErrorKind::AlreadyExists => say("name a file that is not there yet"),
            _ => None,
        },
        CliError::LogLine { .. } => {
            say("`elpis emotion replay --help` says what a line of a log holds")
        }
        CliError::ExportedLine { .. } => say(
            "give lines as `elpis store export` writes them, all of a session; sessions before this line were taken",
        ),
        CliError::SessionTaken { .. } => {
            say("import into a new store, or export only the others with --session")
        }
        CliError::Conversation { .. } => say(
            "name a file that `/save` wrote: a JSON array of messages with `role` and `content`",
        ),
        CliError::NoSession { .. } => say("`elpis store list` shows which there are"),
        CliError::DamagedSessions { .. } => {
            say("restore a copy, or save the others with `elpis store export --session ID`")
        }
        CliError::NotForgotten => say("answer `y`, or give --yes"),
        CliError::NothingToChat => {
            say("run it in a terminal, in a container with `-it`; or give a message on each line")
        }
        CliError::Unanswered { .. } | CliError::Uninspected { .. } => {
            say("the reason of each stands above")
        }
        CliError::Soak {
            growth_alone: true, ..
        } => say(
            "caches and allocators settle for minutes: try --seconds 600, and --fault-every 0 beside it",
        ),
        CliError::Soak { .. } => say(
            "--seed repeats the same trial, --fault-every 0 tells whether it takes a fault; ELPIS_LOG=debug shows more",
        ),
        // Its cause may know.
        CliError::At { .. } | CliError::LayersOfItsOwn { .. } | CliError::NotInPack { .. } => None,
    }
}
