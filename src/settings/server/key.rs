//! Keys of the server's clients.

use std::fmt;
use std::str::FromStr;

use crate::settings::value::{Raw, SettingValue, ValueError};

/// The rights of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rights {
    /// May generate replies.
    pub chat: bool,
    /// May send events to sessions and read their states.
    pub feel: bool,
    /// May change, list and delete sessions, reload vectors and read metrics.
    pub admin: bool,
}

impl Rights {
    /// Every right.
    pub const ALL: Self = Self {
        chat: true,
        feel: true,
        admin: true,
    };
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.chat, "chat"),
            (self.feel, "feel"),
            (self.admin, "admin"),
        ];
        let names = names.into_iter().filter(|(has, _)| *has);
        let names: Vec<_> = names.map(|(_, name)| name).collect();
        f.write_str(&names.join("+"))
    }
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// A part is missing.
    #[error("its form is `NAME HASH RIGHTS [prefix=PREFIX] [rate=N]`")]
    Form,
    /// The hash is not a SHA-256.
    #[error(
        "the hash of key {name:?} must have 64 hexadecimal digits, but has {length} characters"
    )]
    Hash {
        /// The name of the key.
        name: String,
        /// The length of the given hash.
        length: usize,
    },
    /// A right is unknown.
    #[error("key {name:?} has the unknown right {right:?}; rights are chat, feel, admin")]
    Right {
        /// The name of the key.
        name: String,
        /// The given right.
        right: String,
    },
    /// An option is unknown or its value is invalid.
    #[error(
        "key {name:?} has the option {option:?}, but must have prefix=TEXT or rate=NUMBER above 0"
    )]
    Option {
        /// The name of the key.
        name: String,
        /// The given option.
        option: String,
    },
}

/// The key of a client: its hash, its rights and its limits.
///
/// Keys are random and long, so a fast hash protects them. It serialises as the text
/// `NAME HASH RIGHTS [prefix=PREFIX] [rate=N]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// A name for logs.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The rights of its owner.
    pub rights: Rights,
    /// The beginning of the names of its sessions. Clients do not write or see it.
    pub prefix: String,
    /// Requests per minute; `None` is no limit.
    pub rate: Option<u32>,
}

impl ApiKey {
    /// Creates a key without a prefix and a rate limit from its SHA-256.
    ///
    /// # Errors
    /// [`ApiKeyError::Form`] if the name is empty or has white space.
    pub fn new(
        name: impl Into<String>,
        hash: [u8; 32],
        rights: Rights,
    ) -> Result<Self, ApiKeyError> {
        let name = name.into();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(ApiKeyError::Form);
        }
        Ok(Self {
            name,
            hash,
            rights,
            prefix: String::new(),
            rate: None,
        })
    }
}

impl FromStr for Rights {
    type Err = String;

    /// Reads rights that are joined by `+`; an unknown one is the error.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rights = Self::default();
        for right in text.split('+') {
            match right {
                "chat" => rights.chat = true,
                "feel" => rights.feel = true,
                "admin" => rights.admin = true,
                other => return Err(other.to_owned()),
            }
        }
        Ok(rights)
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let mut parts = text.split_whitespace();
        let (Some(name), Some(hash), Some(rights)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ApiKeyError::Form);
        };
        let refused = || name.to_owned();
        let hash = digest(hash).ok_or_else(|| ApiKeyError::Hash {
            name: refused(),
            length: hash.chars().count(),
        })?;
        let rights = rights.parse().map_err(|right| ApiKeyError::Right {
            name: refused(),
            right,
        })?;
        let mut key = Self::new(name, hash, rights)?;
        for option in parts {
            match option.split_once('=') {
                Some(("prefix", prefix)) => prefix.clone_into(&mut key.prefix),
                Some(("rate", rate)) if rate.parse().is_ok_and(|rate: u32| rate > 0) => {
                    key.rate = rate.parse().ok();
                }
                _ => {
                    return Err(ApiKeyError::Option {
                        name: key.name,
                        option: option.to_owned(),
                    });
                }
            }
        }
        Ok(key)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        for byte in self.hash {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " {}", self.rights)?;
        if !self.prefix.is_empty() {
            write!(f, " prefix={}", self.prefix)?;
        }
        if let Some(rate) = self.rate {
            write!(f, " rate={rate}")?;
        }
        Ok(())
    }
}

/// Reads 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| Some(c.to_digit(16)? as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

impl SettingValue for ApiKey {
    fn type_name() -> String {
        "key".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, ValueError> {
        let text = String::read(raw)?;
        // The error must not repeat the text: it may be a key that somebody forgot to hash.
        text.parse().map_err(|error: ApiKeyError| ValueError::Type {
            found: error.to_string(),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let hash = "0123456789abcdef".repeat(4);
        for text in [
            format!("ada {hash} chat"),
            format!("bot {hash} chat+feel prefix=bot/ rate=60"),
            format!("root {hash} chat+feel+admin"),
        ] {
            let key: ApiKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(key.hash[..2], [0x01, 0x23]);
        }
    }

    #[test]
    fn a_wrong_key_is_refused_without_being_repeated() {
        let hash = "0123456789abcdef".repeat(4);
        let error = |text: &str| text.parse::<ApiKey>().unwrap_err().to_string();
        assert!(error("").contains("NAME HASH RIGHTS"));
        assert!(error(&format!("ada {hash}")).contains("NAME HASH RIGHTS"));
        let secret = error("ada sk-secret chat");
        assert!(
            secret.contains("64") && !secret.contains("sk-secret"),
            "{secret}"
        );
        assert!(error(&format!("ada {}é chat", &hash[2..])).contains("63"));
        assert!(error(&format!("ada {hash} chat,feel")).contains("chat,feel"));
        assert!(error(&format!("ada {hash} chat rate=0")).contains("rate=0"));
        assert!(error(&format!("ada {hash} chat colour=blue")).contains("colour=blue"));
    }
}
