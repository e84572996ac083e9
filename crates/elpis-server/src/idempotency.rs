//! Remembers what sessions were asked, so that a repeated request does not move the mood again.

use std::sync::{Mutex, PoisonError};

use elpis::{ChatMessage, EmotionEvent};
use hashlink::LruCache;
use sha2::{Digest, Sha256};

/// Maximum number of requests that are remembered. An entry takes about 100 bytes.
const MAX_SEEN: usize = 16_384;

/// A digest of a request.
pub(crate) type RequestDigest = [u8; 32];

/// The requests of the recent past.
#[derive(Debug)]
pub(crate) struct SeenRequests(Mutex<LruCache<RequestDigest, ()>>);

impl Default for SeenRequests {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_SEEN)))
    }
}

impl SeenRequests {
    /// Remembers a request, and returns whether it is new. Of two equal requests at once, one is.
    pub(crate) fn claim(&self, digest: RequestDigest) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(digest, ()).is_none()
    }

    /// Forgets a request that failed before anything was felt.
    pub(crate) fn release(&self, digest: &RequestDigest) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(digest);
    }
}

/// The digest of a request: of its idempotency key if it has one, otherwise of its messages and events.
/// A retry and another reply to the same message ("swipe") have the digest of the first request.
pub(crate) fn digest(
    session: &str,
    idempotency_key: Option<&str>,
    messages: &[ChatMessage],
    events: &[EmotionEvent],
) -> RequestDigest {
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
        for event in events {
            let (valence, arousal) = event.shift();
            part(event.name().as_bytes());
            for number in [event.intensity(), valence, arousal] {
                part(&number.to_le_bytes());
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_in_session_key_messages_and_events() {
        let (hi, ho) = ([ChatMessage::user("hi")], [ChatMessage::user("ho")]);
        let event = |name: &str| [EmotionEvent::named(name).unwrap()];
        let two = [ChatMessage::user("hi"), ChatMessage::user("")];
        let all = [
            digest("ada", None, &hi, &[]),
            digest("bob", None, &hi, &[]),
            digest("ada", None, &ho, &[]),
            digest("ada", None, &[ChatMessage::system("hi")], &[]),
            digest("ada", None, &two, &[]),
            digest("ada", None, &hi, &event("success")),
            digest("ada", None, &hi, &event("failure")),
            digest("ada", Some("1"), &hi, &[]),
            digest("ada", Some("2"), &hi, &[]),
        ];
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        let again = digest("ada", Some("1"), &ho, &event("success"));
        assert_eq!(digest("ada", Some("1"), &hi, &[]), again);
    }

    #[test]
    fn a_request_is_new_once_unless_it_is_released() {
        let felt = SeenRequests::default();
        let digest = digest("ada", None, &[ChatMessage::user("hi")], &[]);
        assert!(felt.claim(digest));
        assert!(!felt.claim(digest));
        felt.release(&digest);
        assert!(felt.claim(digest));
    }
}
