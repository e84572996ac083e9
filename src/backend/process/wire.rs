//! How the backend's own types look on the wire. The definitions repeat the
//! fields, and do not compile when one is missing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::{BackendError, BackendKind, GgufKind, ModelFacts, SequenceId};
use crate::settings::ModelSource;

/// Texts of errors that are constants where they arise.
type Constant = &'static str;

#[derive(Serialize, Deserialize)]
#[serde(remote = "BackendError")]
pub(super) enum ErrorDef {
    NotBuilt {
        backend: BackendKind,
    },
    NoBundledModel,
    Unreadable {
        #[serde(with = "os_path")]
        path: PathBuf,
        reason: String,
    },
    NotAModel {
        #[serde(with = "os_path")]
        path: PathBuf,
        #[serde(deserialize_with = "constant")]
        expected: Constant,
        found: String,
    },
    LfsPointer {
        #[serde(with = "os_path")]
        path: PathBuf,
        size: Option<u64>,
    },
    OtherKind {
        #[serde(with = "os_path")]
        path: PathBuf,
        kind: GgufKind,
    },
    DamagedModel {
        #[serde(with = "os_path")]
        path: PathBuf,
        reason: String,
    },
    InvalidModel {
        #[serde(with = "os_path")]
        path: PathBuf,
        item: String,
        value: String,
        limit: String,
    },
    TrialFailed {
        #[serde(with = "os_path")]
        path: PathBuf,
        reason: String,
    },
    Load {
        #[serde(with = "os_path")]
        path: PathBuf,
        reason: String,
    },
    Checkpoint {
        #[serde(with = "os_path")]
        path: PathBuf,
        item: String,
        reason: String,
    },
    Limit {
        #[serde(deserialize_with = "constant")]
        field: Constant,
        value: String,
        limit: String,
    },
    CacheFull {
        rows: usize,
    },
    PastGone {
        sequence: SequenceId,
        length: u32,
        first: u32,
    },
    Aborted,
    ForeignControlToken {
        token: String,
    },
    NoLogits {
        row: usize,
    },
    Native {
        #[serde(deserialize_with = "constant")]
        call: Constant,
        reason: String,
    },
    Assertion {
        #[serde(with = "os_path")]
        path: PathBuf,
        #[serde(deserialize_with = "constant")]
        call: Constant,
        reason: String,
    },
    Broken {
        reason: String,
    },
    WorkerUnusable {
        #[serde(with = "os_path")]
        program: PathBuf,
        reason: String,
    },
    WorkerDied {
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ModelFacts")]
pub(super) struct FactsDef {
    name: String,
    backend: BackendKind,
    architecture: String,
    description: String,
    n_layers: usize,
    n_embd: usize,
    n_vocab: usize,
    n_params: u64,
    size_bytes: u64,
    weights_digest: String,
    context_trained: u32,
    context_length: u32,
    n_sequences: u32,
    cache_cells: u32,
    rewinds: bool,
    batch_size: usize,
    chat_template: Option<String>,
    bos_token: String,
    eos_token: String,
    residual_norms: Vec<f32>,
    unsteerable: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ModelSource")]
pub(super) enum SourceDef {
    Bundled,
    File(#[serde(with = "os_path")] PathBuf),
    Folder(#[serde(with = "os_path")] PathBuf),
    Hub { repo: String, file: Option<String> },
}

/// Paths that need not be UTF-8.
mod os_path {
    use super::{Deserialize, Deserializer, OsString, Path, PathBuf, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}

/// The constants are few; a worker that sends others than that is broken.
const MOST_CONSTANTS: usize = 512;
const LONGEST_CONSTANT: usize = 256;

fn constant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Constant, D::Error> {
    let text = String::deserialize(deserializer)?;
    intern(text).ok_or_else(|| serde::de::Error::custom("not the name of anything"))
}

/// Makes a constant of a text. Each is leaked once, and no more than there is
/// room for.
fn intern(text: String) -> Option<Constant> {
    static KNOWN: Mutex<BTreeSet<Constant>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(text.as_str()) {
        return Some(known);
    }
    if known.len() == MOST_CONSTANTS || text.len() > LONGEST_CONSTANT {
        return None;
    }
    let constant: Constant = text.leak();
    known.insert(constant);
    Some(constant)
}
