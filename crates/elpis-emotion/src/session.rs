//! Names of sessions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a valid session name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("session name {value:?} is refused: {reason}")]
#[non_exhaustive]
pub struct SessionIdError {
    /// The given name, shortened to 64 characters.
    pub value: String,
    /// The reason.
    pub reason: &'static str,
}

/// Maximum length of a session name, in bytes.
pub const SESSION_ID_LIMIT: usize = 256;

/// The name of a session. Each session has its own emotional state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(std::sync::Arc<str>);

impl SessionId {
    /// Creates a session name.
    ///
    /// # Errors
    /// [`SessionIdError`] if it is empty, longer than [`SESSION_ID_LIMIT`] bytes or contains
    /// control characters.
    pub fn new(id: impl AsRef<str>) -> Result<Self, SessionIdError> {
        let id = id.as_ref();
        let reason = if id.is_empty() {
            "it is empty"
        } else if id.len() > SESSION_ID_LIMIT {
            "it is longer than 256 bytes"
        } else if id.chars().any(char::is_control) {
            "it contains control characters"
        } else {
            return Ok(Self(id.into()));
        };
        Err(SessionIdError {
            value: id.chars().take(64).collect(),
            reason,
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(id: &str) -> Result<Self, SessionIdError> {
        Self::new(id)
    }
}

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;

    fn try_from(id: String) -> Result<Self, SessionIdError> {
        Self::new(id)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0.as_ref().to_owned()
    }
}
