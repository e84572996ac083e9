//! The responses that are kept, so that a later request can go on from them.

use std::sync::{Arc, Mutex, PoisonError};

use elpis::ChatMessage;
use hashlink::LruCache;
use serde_json::Value;

use crate::access::Client;
use crate::error::ApiError;

/// Maximum number of responses that are kept in memory.
const MAX_RESPONSES: usize = 4096;

/// Maximum size of the texts of all that are kept, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// A response with the conversation that it ends.
#[derive(Debug)]
pub(crate) struct CachedResponse {
    /// The prefix of the client's sessions: others do not see it.
    pub(crate) prefix: Arc<str>,
    /// The session, as the client names it.
    pub(crate) session: String,
    /// The conversation, with the reply and without instructions.
    pub(crate) messages: Vec<ChatMessage>,
    /// The response as it was sent.
    pub(crate) response: Value,
}

impl CachedResponse {
    fn bytes(&self) -> usize {
        let messages = self
            .messages
            .iter()
            .map(|message| message.content.len() + 256);
        messages.sum::<usize>() + self.response.to_string().len()
    }
}

/// The latest responses by their ids. They end with the process.
#[derive(Debug)]
pub(crate) struct ResponseCache(Mutex<Shelf>);

#[derive(Debug)]
struct Shelf {
    responses: LruCache<String, (Arc<CachedResponse>, usize)>,
    bytes: usize,
}

impl Default for ResponseCache {
    fn default() -> Self {
        Self(Mutex::new(Shelf {
            responses: LruCache::new_unbounded(),
            bytes: 0,
        }))
    }
}

impl ResponseCache {
    pub(crate) fn keep(&self, id: String, kept: CachedResponse) {
        let bytes = kept.bytes();
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += bytes;
        shelf.responses.insert(id, (Arc::new(kept), bytes));
        while shelf.responses.len() > MAX_RESPONSES || shelf.bytes > MAX_BYTES {
            let Some((_, (_, bytes))) = shelf.responses.remove_lru() else {
                break;
            };
            shelf.bytes -= bytes;
        }
    }

    /// A response of this client.
    ///
    /// # Errors
    /// If there is none, or no longer.
    pub(crate) fn find(&self, id: &str, client: &Client) -> Result<Arc<CachedResponse>, ApiError> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf.responses.get(id).map(|(kept, _)| Arc::clone(kept));
        let found = found.filter(|kept| kept.prefix == client.prefix);
        found.ok_or_else(|| {
            ApiError::not_found(format!("there is no response {id:?}, or no longer"))
        })
    }

    pub(crate) fn delete(&self, id: &str) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = shelf.responses.remove(id) {
            shelf.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::settings::Rights;
    use serde_json::json;

    fn client(prefix: &str) -> Client {
        Client {
            rights: Rights::ALL,
            prefix: prefix.into(),
        }
    }

    fn kept(prefix: &str, text: String) -> CachedResponse {
        CachedResponse {
            prefix: prefix.into(),
            session: "s".to_owned(),
            messages: vec![ChatMessage::user(text)],
            response: json!({}),
        }
    }

    #[test]
    fn a_response_is_found_by_its_own_client_until_it_is_deleted() {
        let responses = ResponseCache::default();
        responses.keep("r1".to_owned(), kept("ada/", String::new()));
        assert!(responses.find("r1", &client("ada/")).is_ok());
        assert!(responses.find("r1", &client("bob/")).is_err());
        assert!(responses.find("r2", &client("ada/")).is_err());
        responses.delete("r1");
        assert!(responses.find("r1", &client("ada/")).is_err());
    }

    #[test]
    fn the_oldest_make_room() {
        let responses = ResponseCache::default();
        let large = "x".repeat(MAX_BYTES / 4);
        for id in 0..6 {
            responses.keep(id.to_string(), kept("", large.clone()));
        }
        assert!(responses.find("0", &client("")).is_err());
        assert!(responses.find("5", &client("")).is_ok());
        for id in 0..=MAX_RESPONSES {
            responses.keep(format!("s{id}"), kept("", String::new()));
        }
        assert!(responses.find("s0", &client("")).is_err());
    }
}
