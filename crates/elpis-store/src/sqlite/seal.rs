//! Hashes over the stored data, which detect any flipped bit.
//!
//! The *chain* of a session is a running hash over its journal: each entry is hashed with the chain
//! before it. Its *seal* is a hash over the chain and the other columns of the session's row. A
//! conversation has its own seal. All hashes are BLAKE3. They detect damage but not deliberate
//! forgery.

/// A hash.
pub(super) type Hash = [u8; 32];

const CHAIN: &str = "elpis 1 journal of a session";
const SEAL: &str = "elpis 1 state of a session";
const CONVERSATION: &str = "elpis 1 conversation of a session";

/// The chain of a journal, entry by entry.
#[derive(Debug, Clone)]
pub(super) struct Chain(Hash);

impl Chain {
    /// The chain of a journal without entries.
    pub(super) fn new(session: &str) -> Self {
        Self(blake3::derive_key(CHAIN, session.as_bytes()))
    }

    /// Continues a stored chain; `None` if it is not one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Adds an entry: its time in seconds, and its stored text.
    pub(super) fn add(&mut self, at: f64, what: &str) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        // SQLite does not keep the sign of zero.
        hasher.update(&(at + 0.0).to_bits().to_le_bytes());
        hasher.update(what.as_bytes());
        self.0 = hasher.finalize().into();
    }

    pub(super) fn as_bytes(&self) -> &Hash {
        &self.0
    }
}

/// The seal of a session's row. `state` and `config` are the stored texts.
pub(super) fn seal(session: &str, entries: u64, chain: &Hash, state: &str, config: &str) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(SEAL);
    hasher.update(&(session.len() as u64).to_le_bytes());
    hasher.update(session.as_bytes());
    hasher.update(&entries.to_le_bytes());
    hasher.update(chain);
    hasher.update(&(state.len() as u64).to_le_bytes());
    hasher.update(state.as_bytes());
    hasher.update(config.as_bytes());
    hasher.finalize().into()
}

/// The seal of a session's conversation. `messages` is the stored text.
pub(super) fn conversation_seal(session: &str, messages: &str) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(CONVERSATION);
    hasher.update(&(session.len() as u64).to_le_bytes());
    hasher.update(session.as_bytes());
    hasher.update(messages.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_their_order_count() {
        let chain = |name: &str, entries: &[(f64, &str)]| {
            let mut chain = Chain::new(name);
            for (at, what) in entries {
                chain.add(*at, what);
            }
            *chain.as_bytes()
        };
        let base = chain("ada", &[(1.0, "a"), (2.0, "b")]);
        for other in [
            chain("adb", &[(1.0, "a"), (2.0, "b")]),
            chain("ada", &[(2.0, "b"), (1.0, "a")]),
            chain("ada", &[(1.0, "a"), (2.0, "c")]),
            chain("ada", &[(1.0, "a"), (2.0f64.next_up(), "b")]),
            chain("ada", &[(1.0, "a")]),
            chain("ada", &[(1.0, "ab"), (2.0, "")]),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(chain("ada", &[(-0.0, "a")]), chain("ada", &[(0.0, "a")]));
        let sealed = seal("ada", 2, &base, "{}", "[]");
        for other in [
            seal("adb", 2, &base, "{}", "[]"),
            seal("ada", 3, &base, "{}", "[]"),
            seal("ada", 2, &chain("ada", &[]), "{}", "[]"),
            seal("ada", 2, &base, "{} ", "[]"),
            seal("ada", 2, &base, "{}[", "]"),
        ] {
            assert_ne!(sealed, other);
        }
        assert!(Chain::from_bytes(&base[1..]).is_none());
    }
}
