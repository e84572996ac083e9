//! A call that a model requests.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Maximum number of calls in one reply.
pub const MAX_PARALLEL_CALLS: usize = 16;

/// Number of letters and digits of an id.
pub(super) const CALL_ID_LENGTH: usize = 9;

/// A tool call that the model requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Identifies the call in its answer: nine letters and digits, which even the strictest chat
    /// templates (Mistral's) accept.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, valid under the tool's schema.
    pub arguments: Value,
}

impl FunctionCall {
    /// The call in the form that chat templates read: `{"type": "function", "id": …, "function":
    /// {"name": …, "arguments": {…}}}`.
    pub fn to_message_json(&self) -> Value {
        json!({
            "type": "function",
            "id": self.id,
            "function": {"name": self.name, "arguments": self.arguments},
        })
    }
}

/// The id of the call with this number, derived deterministically from a seed.
pub(super) fn call_id(seed: u64, number: u64) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    let hash = blake3::hash(&key);
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    hash.as_bytes()
        .iter()
        .take(CALL_ID_LENGTH)
        .map(letter)
        .collect()
}
