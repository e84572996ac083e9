//! Remembers what sessions were asked, so that a repeated request does not move the mood again.

use std::sync::{Mutex, PoisonError};

use elpis::ChatMessage;
use hashlink::LruCache;
use sha2::{Digest, Sha256};

/// Maximum number of requests that are remembered. An entry takes about 100 bytes.
const MAX_REMEMBERED: usize = 16_384;

/// A digest of a request.
type Mark = [u8; 32];

/// The requests of the recent past.
#[derive(Debug)]
pub(crate) struct FeltOnce(Mutex<LruCache<Mark, ()>>);

impl Default for FeltOnce {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_REMEMBERED)))
    }
}

impl FeltOnce {
    /// Whether a request is new.
    pub(crate) fn is_new(&self, mark: &Mark) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(mark).is_none()
    }

    /// Remembers a request that was felt.
    pub(crate) fn remember(&self, mark: Mark) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(mark, ());
    }
}

/// The mark of a request: of its idempotency key if it has one, else of its messages. A retry and
/// another reply to the same message ("swipe") have the mark of the first request.
pub(crate) fn mark(session: &str, idempotency_key: Option<&str>, messages: &[ChatMessage]) -> Mark {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(session.as_bytes());
    if let Some(key) = idempotency_key {
        part(b"key");
        part(key.as_bytes());
    } else {
        part(b"messages");
        for message in messages {
            part(message.role.as_str().as_bytes());
            part(message.content.as_bytes());
            let calls = message.tool_calls.as_ref().map(ToString::to_string);
            part(calls.unwrap_or_default().as_bytes());
            part(
                message
                    .tool_call_id
                    .as_deref()
                    .unwrap_or_default()
                    .as_bytes(),
            );
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_in_session_key_and_messages() {
        let (hi, ho) = ([ChatMessage::user("hi")], [ChatMessage::user("ho")]);
        let all = [
            mark("ada", None, &hi),
            mark("bob", None, &hi),
            mark("ada", None, &ho),
            mark("ada", None, &[ChatMessage::system("hi")]),
            mark(
                "ada",
                None,
                &[ChatMessage::user("hi"), ChatMessage::user("")],
            ),
            mark("ada", Some("1"), &hi),
            mark("ada", Some("2"), &hi),
        ];
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert_eq!(mark("ada", Some("1"), &hi), mark("ada", Some("1"), &ho));
    }

    #[test]
    fn a_request_is_new_until_it_is_remembered() {
        let felt = FeltOnce::default();
        let mark = mark("ada", None, &[ChatMessage::user("hi")]);
        assert!(felt.is_new(&mark) && felt.is_new(&mark));
        felt.remember(mark);
        assert!(!felt.is_new(&mark));
    }
}
