//! Sessions as lines of text, to transfer them from one store to another.

use serde::{Deserialize, Serialize};

use super::SessionChange;
use elpis_emotion::SessionId;
use elpis_emotion::{EmotionTracker, JournalEntry, JournalRecord, replay_entry};
use elpis_inference::Conversation;

/// A line of an export: an entry of a session's journal, the state after all of them, or its
/// conversation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ExportedLine {
    /// An entry.
    Entry {
        /// The session.
        session: SessionId,
        /// Time in seconds since the Unix epoch.
        at: f64,
        /// The record.
        what: JournalRecord,
    },
    /// The state, the last line of a session.
    State {
        /// The session.
        session: SessionId,
        /// The state that the entries must lead to.
        state: Box<EmotionTracker>,
    },
    /// A conversation, on a line between sessions.
    Conversation {
        /// The session.
        session: SessionId,
        /// Its messages.
        conversation: Conversation,
    },
}

/// The session that a line completes.
#[derive(Debug, PartialEq)]
pub enum Imported {
    /// A session, new to a store.
    Session(SessionChange),
    /// A conversation of a session.
    Conversation(SessionId, Conversation),
}

/// Imports exported lines one by one without trusting them: each session's journal is replayed and
/// must lead to the state on the session's last line.
#[derive(Debug, Default)]
pub struct Import {
    session: Option<SessionId>,
    entries: Vec<JournalEntry>,
    tracker: Option<EmotionTracker>,
}

/// Why a line cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not an exported line.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// An entry of the journal cannot be replayed.
    #[error(transparent)]
    Impossible(#[from] elpis_emotion::EmotionError),
    /// The previous session has no state.
    #[error("another session begins before the state of {session}")]
    Unfinished {
        /// The previous session.
        session: SessionId,
    },
    /// The journal leads to a different state.
    #[error("the journal leads to a different state")]
    OtherState,
}

impl Import {
    /// Imports a line. Returns the session or conversation that it completes.
    ///
    /// # Errors
    /// [`ImportError`]. The session is then discarded.
    pub fn take(&mut self, line: &str) -> Result<Option<Imported>, ImportError> {
        let line: ExportedLine = serde_json::from_str(line)?;
        let (ExportedLine::Entry { session, .. }
        | ExportedLine::State { session, .. }
        | ExportedLine::Conversation { session, .. }) = &line;
        if let Some(open) = &self.session
            && open != session
        {
            let session = open.clone();
            return Err(ImportError::Unfinished { session });
        }
        match line {
            ExportedLine::Entry { session, at, what } => {
                let entry = JournalEntry { at, what };
                replay_entry(&mut self.tracker, &entry)?;
                self.entries.push(entry);
                self.session = Some(session);
                Ok(None)
            }
            ExportedLine::State { session, state } => {
                if self.tracker.as_ref() != Some(state.as_ref()) {
                    return Err(ImportError::OtherState);
                }
                let Self {
                    entries, tracker, ..
                } = std::mem::take(self);
                Ok(Some(Imported::Session(SessionChange {
                    session,
                    forgotten: false,
                    first: 0,
                    entries,
                    after: tracker,
                })))
            }
            ExportedLine::Conversation { session, .. } if self.session.is_some() => {
                Err(ImportError::Unfinished { session })
            }
            ExportedLine::Conversation {
                session,
                conversation,
            } => Ok(Some(Imported::Conversation(session, conversation))),
        }
    }

    /// The session whose state is still missing.
    pub fn unfinished(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use elpis_emotion::{EmotionConfig, EmotionEvent};

    fn lines(session: &str) -> Vec<String> {
        let session = SessionId::new(session).unwrap();
        let mut tracker = None;
        let happened = [
            JournalRecord::Started(Arc::new(EmotionConfig::default())),
            JournalRecord::Felt(EmotionEvent::named("success").unwrap()),
        ];
        let mut lines = Vec::new();
        for (number, what) in happened.into_iter().enumerate() {
            let at = number as f64;
            let entry = JournalEntry {
                at,
                what: what.clone(),
            };
            replay_entry(&mut tracker, &entry).unwrap();
            let session = session.clone();
            lines.push(ExportedLine::Entry { session, at, what });
        }
        let state = Box::new(tracker.unwrap());
        lines.push(ExportedLine::State { session, state });
        let text = |line| serde_json::to_string(line).unwrap();
        lines.iter().map(text).collect()
    }

    #[test]
    fn a_session_is_whole_with_its_state() {
        let mut import = Import::default();
        for name in ["ada", "bob"] {
            let lines = lines(name);
            assert!(import.take(&lines[0]).unwrap().is_none());
            assert!(import.take(&lines[1]).unwrap().is_none());
            assert_eq!(import.unfinished().unwrap().as_str(), name);
            let Some(Imported::Session(change)) = import.take(&lines[2]).unwrap() else {
                panic!("a session");
            };
            assert_eq!((change.session.as_str(), change.entries.len()), (name, 2));
            assert!(import.unfinished().is_none());
        }
    }

    #[test]
    fn a_conversation_stands_between_sessions() {
        let session = SessionId::new("ada").unwrap();
        let conversation = Conversation::with_system("be kind");
        let line = serde_json::to_string(&ExportedLine::Conversation {
            session: session.clone(),
            conversation: conversation.clone(),
        });
        let line = line.unwrap();
        let mut import = Import::default();
        let taken = import.take(&line).unwrap();
        assert_eq!(taken, Some(Imported::Conversation(session, conversation)));
        import.take(&lines("ada")[0]).unwrap();
        let error = import.take(&line).unwrap_err().to_string();
        assert!(error.contains("before the state of ada"), "{error}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (ada, bob) = (lines("ada"), lines("bob"));
        let refused = |lines: &[&String]| {
            let mut import = Import::default();
            let outcomes = lines.iter().map(|line| import.take(line));
            outcomes.last().unwrap().unwrap_err().to_string()
        };
        assert!(refused(&[&ada[0], &bob[0]]).contains("before the state of ada"));
        assert!(refused(&[&ada[0], &ada[2]]).contains("a different state"));
        assert!(refused(&[&ada[2]]).contains("a different state"));
        assert!(refused(&[&ada[1]]).contains("start"));
        assert!(refused(&[&ada[0], &ada[0]]).contains("starts twice"));
        assert!(!refused(&[&"{}".to_owned()]).is_empty());
        let extra = ada[1].replace("\"at\"", "\"more\":1,\"at\"");
        assert!(!refused(&[&ada[0], &extra]).is_empty());
    }
}
