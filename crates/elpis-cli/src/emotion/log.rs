//! Logs of emotion events, in all supported forms.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use elpis::emotion::{
    EmotionError, EmotionTracker, JournalEntry, JournalRecord, Recording, config_of, parse_step,
    replay_entry,
};

/// The session of lines without one.
const NAMELESS: &str = "log";

/// Maximum number of sessions of a log.
const MAX_SESSIONS: usize = 100_000;

/// A line of a log.
#[derive(Debug)]
pub(super) enum Line {
    /// Settings with the steps of one session.
    Recording(Recording),
    /// Something that happened to a session.
    Entry(Entry),
}

/// Something that happened to a session.
#[derive(Debug)]
pub(super) struct Entry {
    pub session: String,
    pub happened: JournalEntry,
    /// The start of the session, in case the log does not contain it.
    start: JournalEntry,
    /// The line's JSON object.
    pub object: Map<String, Value>,
}

impl Line {
    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, EmotionError> {
        let malformed = |field, reason: String| EmotionError::Malformed { field, reason };
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| malformed("line", error.to_string()))?;
        if object.contains_key("steps") {
            return Recording::parse(text).map(Self::Recording);
        }
        let session = match object.get("session") {
            None => NAMELESS.to_owned(),
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(malformed("session", "not a string".to_owned())),
        };
        let config = match object.get("settings") {
            None => Arc::default(),
            Some(settings) => Arc::new(config_of(settings)?),
        };
        let entry = match object.get("what") {
            Some(what) => JournalEntry {
                at: number(&object, "at")?,
                what: JournalRecord::deserialize(what)
                    .map_err(|error| malformed("what", error.to_string()))?,
            },
            None if object.contains_key("event") => {
                let step = parse_step(&Value::Object(object.clone()))?;
                JournalEntry {
                    at: step.at,
                    what: JournalRecord::Felt(step.event),
                }
            }
            None => {
                let reason = "neither `steps` nor `event` nor `what`".to_owned();
                return Err(malformed("line", reason));
            }
        };
        Ok(Self::Entry(Entry {
            session,
            start: JournalEntry {
                at: entry.at,
                what: JournalRecord::Started(config),
            },
            happened: entry,
            object,
        }))
    }
}

fn number(object: &Map<String, Value>, field: &'static str) -> Result<f64, EmotionError> {
    let found = object.get(field).and_then(Value::as_f64);
    found.ok_or_else(|| EmotionError::Malformed {
        field,
        reason: "missing or not a number".to_owned(),
    })
}

/// The states of a log's sessions during the replay.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Option<EmotionTracker>>);

impl Sessions {
    /// The session's state before its next entry, if it has begun.
    pub fn before(&self, session: &str) -> Option<&EmotionTracker> {
        self.0.get(session)?.as_ref()
    }

    /// Replays an entry for its session. Returns the state after it.
    pub fn go_on(&mut self, entry: &Entry) -> Result<&EmotionTracker, EmotionError> {
        let many = self.0.len() >= MAX_SESSIONS && !self.0.contains_key(&entry.session);
        if many {
            return Err(EmotionError::OutOfRange {
                field: "session",
                value: (MAX_SESSIONS + 1) as f64,
                limit: format!("one of at most {MAX_SESSIONS}").into(),
            });
        }
        let tracker = self.0.entry(entry.session.clone()).or_default();
        let starts = matches!(entry.happened.what, JournalRecord::Started(_));
        // Plain events need no start, but other journal entries do.
        if tracker.is_none() && !starts && entry.object.contains_key("event") {
            replay_entry(tracker, &entry.start)?;
        }
        replay_entry(tracker, &entry.happened)?;
        tracker.as_ref().ok_or_else(|| EmotionError::Malformed {
            field: "journal",
            reason: "the session has not begun".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let Line::Entry(entry) = Line::parse(text).unwrap() else {
            panic!("{text}");
        };
        entry
    }

    #[test]
    fn events_stand_alone_and_entries_of_journals_need_a_start() {
        let mut sessions = Sessions::default();
        let event = entry(r#"{"session": "a", "at": 0, "event": "success"}"#);
        let state = sessions.go_on(&event).unwrap().state_at(0.0);
        assert!((state.valence() - 0.2).abs() < 1e-12);
        // The settings of the first line of a session count.
        let own = entry(r#"{"at": 0, "event": "success", "settings": {"max_delta": 0.1}}"#);
        assert_eq!(own.session, NAMELESS);
        let state = sessions.go_on(&own).unwrap().state_at(0.0);
        assert!((state.valence() - 0.1).abs() < 1e-12);
        let reset = entry(r#"{"session": "b", "at": 1, "what": "reset"}"#);
        assert!(
            sessions
                .go_on(&reset)
                .unwrap_err()
                .to_string()
                .contains("start")
        );
        let start = entry(r#"{"session": "b", "at": 1, "what": {"started": {}}, "valence": 9}"#);
        assert_eq!(sessions.go_on(&start).unwrap().config().dynamics, 1);
        sessions.go_on(&reset).unwrap();
        assert!(
            sessions
                .go_on(&start)
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, words) in [
            ("[]", "line is malformed"),
            ("{}", "neither `steps` nor `event` nor `what`"),
            (r#"{"event": "success"}"#, "at is malformed: missing"),
            (r#"{"at": 1, "event": 5}"#, "event is malformed"),
            (
                r#"{"at": 1, "event": "x", "session": 5}"#,
                "session is malformed",
            ),
            (
                r#"{"at": 1, "event": "x", "source": "moon"}"#,
                "source is malformed",
            ),
            (r#"{"at": 1, "what": "exploded"}"#, "what is malformed"),
            (r#"{"what": "reset"}"#, "at is malformed"),
            (
                r#"{"at": 1, "event": "x", "settings": {"decay": 1}}"#,
                "settings is malformed",
            ),
        ] {
            let told = Line::parse(line).unwrap_err().to_string();
            assert!(told.contains(words), "{line}: {told}");
        }
    }
}
