//! The serialised form of errors and model sources between processes.

mod facts;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

pub use facts::FactsDef;
use serde::{Deserialize, Deserializer};

/// A text that is a constant where it is created. It needs a type alias because serde treats a
/// plain `&'static str` as borrowed from the input.
pub(crate) type Constant = &'static str;

/// Paths that need not be UTF-8.
pub(crate) mod os_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}

/// Maximum number of constants. There are few; a worker that sends more is broken.
const MAX_CONSTANTS: usize = 512;
const MAX_CONSTANT: usize = 256;

pub(crate) fn constant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    let text = String::deserialize(deserializer)?;
    intern(text).ok_or_else(|| serde::de::Error::custom("unknown constant"))
}

/// Turns a text into a constant. Each is leaked once, up to the maximum.
fn intern(text: String) -> Option<&'static str> {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(text.as_str()) {
        return Some(known);
    }
    if known.len() == MAX_CONSTANTS || text.len() > MAX_CONSTANT {
        return None;
    }
    let constant: &'static str = text.leak();
    known.insert(constant);
    Some(constant)
}
