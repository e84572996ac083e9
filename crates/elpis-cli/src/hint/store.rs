//! Hints on stores.

use super::{Hint, say};
use elpis::store::StoreError;

pub(super) fn store(error: &StoreError) -> Hint {
    match error {
        StoreError::InUse { .. } => say(
            "end what uses it, or name another file; `elpis store check` and `elpis store export` read beside it",
        ),
        StoreError::NotAStore { .. } => say(
            "name another file; where there is none, the runtime and `elpis store import` make one",
        ),
        StoreError::FutureVersion { .. } => say(
            "use the elpis that wrote it, or take sessions over: `elpis store export` there, `elpis store import` here",
        ),
        StoreError::Damaged { file, .. } => Some(format!(
            "copy {file} and {file}-wal before anything else; `elpis store check` tells of the copy that you restore"
        )),
        StoreError::DamagedSession { file, .. } => Some(format!(
            "`elpis store check {file}` names every damaged session, `elpis store export {file} --session ID` saves \
             the others"
        )),
        StoreError::Gone { .. } => say(
            "put the file back and the store goes on; otherwise end the program before it does more that is not kept",
        ),
        StoreError::Full { .. } => say("make room on the disk, or raise store.max_mib"),
        StoreError::ReadOnly { .. } => say("check who may write the file and its folder"),
        StoreError::Behind { .. } => {
            say("repair what the reason names; what waits is written then")
        }
        StoreError::Lost { .. } => say(
            "repair what the reason names before the next start; a store in durability \"sync\" tells at each event",
        ),
        StoreError::Slow { .. } => {
            say("look at the disk, and whether the file lies on a network file system")
        }
        StoreError::NoConversations => {
            say("implement `StateStore::keep_conversation`, or keep conversations elsewhere")
        }
        StoreError::Failed { file, .. } => Some(format!(
            "check that the folder of {file} is there and may be written; `elpis store check {file}` looks for damage"
        )),
        // They name the way out.
        _ => None,
    }
}
