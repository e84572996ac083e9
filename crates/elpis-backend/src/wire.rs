//! The serialised form of errors and model sources between processes.

mod facts;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

pub use facts::FactsDef;
use serde::{Deserialize, Deserializer};

/// A text that is a constant where it arises. By its own name, since serde takes a `&'static str`
/// for one that is borrowed from what is read.
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

/// The constants are few; a worker that sends others than that is broken.
const MAX_CONSTANTS: usize = 512;
const MAX_CONSTANT: usize = 256;

pub(crate) fn constant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    let text = String::deserialize(deserializer)?;
    intern(text).ok_or_else(|| serde::de::Error::custom("not the name of anything"))
}

/// Makes a constant of a text. Each is leaked once, and no more than there is
/// room for.
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
