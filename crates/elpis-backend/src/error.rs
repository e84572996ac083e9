//! Why a backend could not do what it was asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::wire::{Constant, constant, os_path};
use super::{BackendKind, GgufKind, SequenceId};
use elpis_files::lfs::LfsPointer;
use elpis_files::printable::printable_path;

/// Errors of loading and evaluating a model.
#[derive(
    Debug,
    Clone,
    PartialEq,
    thiserror::Error,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum BackendError {
    /// The build lacks the backend.
    #[error(
        "backend `{backend}` is not part of this build, which has: {built}; {}",
        advice(*backend)
    )]
    NotBuilt {
        /// The backend asked for.
        backend: BackendKind,
        /// The backends that there are, by name.
        built: String,
    },
    /// The build carries no bundled model.
    #[error(
        "no model path is set and this build carries no bundled model; set `model.path` or enable the cargo feature `bundled-model`"
    )]
    NoBundledModel,
    /// The model file cannot be read.
    #[error("cannot read model {}: {reason}", printable_path(path))]
    #[strum(props(
        hint = "check model.path, and who may read the file; a relative path counts from the working directory"
    ))]
    Unreadable {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file is not of the format that the backend reads.
    #[error("model {} is not a {expected} file: {found}", printable_path(path))]
    NotAModel {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The format expected.
        #[serde(deserialize_with = "constant")]
        expected: Constant,
        /// The content found instead.
        found: String,
    },
    /// The file is a Git LFS pointer: the model itself was never fetched.
    #[error("model file {} is {}", printable_path(path), LfsPointer { size: *size })]
    #[strum(props(
        hint = "`git lfs pull` in its repository fetches the file, or download the file itself"
    ))]
    LfsPointer {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The model file's size in bytes, where the pointer tells it.
        size: Option<u64>,
    },
    /// The GGUF file holds no language model.
    #[error("model {} is {kind}, not a whole language model", printable_path(path))]
    OtherKind {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// What it holds.
        kind: GgufKind,
    },
    /// The file's structure is broken: what is left of it cannot be told apart.
    #[error("model {} is damaged: {reason}", printable_path(path))]
    #[strum(props(
        hint = "if a download or copy was cut short, fetch the file again; otherwise whoever made it has to make it anew"
    ))]
    DamagedModel {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The reason, with the place.
        reason: String,
    },
    /// A value in the file is one that the native library cannot load or
    /// compute with.
    #[error("model {}: {item} is {value}, must be {limit}", printable_path(path))]
    InvalidModel {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The metadata key or tensor.
        item: String,
        /// Its value.
        value: String,
        /// The allowed values, in words.
        limit: String,
    },
    /// The model was loaded in a process of its own first, and that process
    /// did not survive it.
    #[error(
        "model {} did not load in a process of its own: {reason}",
        printable_path(path)
    )]
    TrialFailed {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// How the process ended.
        reason: String,
    },
    /// The native library refused the model.
    #[error("cannot load model {}: {reason}", printable_path(path))]
    Load {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The library's own words.
        reason: String,
    },
    /// A file of a model folder lacks something or holds what is not supported.
    #[error("cannot load model: {}: {item} {reason}", printable_path(path))]
    #[strum(props(
        hint = "fetch the whole folder again if a file is missing; docs/backends.md lists the architectures, and a GGUF file of the model runs with model.backend = \"llama-cpp\""
    ))]
    Checkpoint {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The field or tensor.
        item: String,
        /// The reason.
        reason: String,
    },
    /// A value is outside what the model or the backend can do.
    #[error("{field} {value} is outside the limit of {limit}")]
    Limit {
        /// The requested value.
        #[serde(deserialize_with = "constant")]
        field: Constant,
        /// The value given.
        value: String,
        /// The limit, in words.
        limit: String,
    },
    /// The key–value cache has no room for the batch.
    #[error("no room in the key-value cache for {rows} rows")]
    #[strum(props(hint = "ask again with a shorter conversation, or raise model.context_length"))]
    CacheFull {
        /// Rows of the refused batch.
        rows: usize,
    },
    /// A model with sliding windows cannot go on from there, since what the
    /// window holds has left the cache; what was asked for was not done.
    #[error(
        "sequence {sequence} cannot go on after {length} positions: the cache holds it from position {first} on, and its window begins before"
    )]
    PrefixEvicted {
        /// The sequence.
        sequence: SequenceId,
        /// Positions that were to be kept.
        length: u32,
        /// The first position that is held in every layer.
        first: u32,
    },
    /// The evaluation was aborted.
    #[error("evaluation aborted")]
    Aborted,
    /// The tokenizer sees a control token where the text has none.
    #[error("the tokenizer reads the control token {token:?} out of a text that does not hold it")]
    ForeignControlToken {
        /// The token as it is written.
        token: String,
    },
    /// The row has no logits.
    #[error("row {row} of the last batch has no logits")]
    NoLogits {
        /// The row asked for.
        row: usize,
    },
    /// A call into the native library failed.
    #[error("{call} failed: {reason}")]
    #[strum(props(
        hint = "ELPIS_LOG=debug shows what led to it; `elpis doctor` tries the same settings"
    ))]
    Native {
        /// The call.
        #[serde(deserialize_with = "constant")]
        call: Constant,
        /// The reported reason.
        reason: String,
    },
    /// The native library failed an assertion over the model.
    #[error("model {}: {call} failed an assertion: {reason}", printable_path(path))]
    #[strum(props(
        hint = "the file asks for what llama.cpp cannot do, or this is a fault of llama.cpp: another quantisation or conversion of the model may load"
    ))]
    Assertion {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The call.
        #[serde(deserialize_with = "constant")]
        call: Constant,
        /// Where in the library's sources, and which.
        reason: String,
    },
    /// The native library failed halfway; the model must be loaded again.
    #[error("the model's state was lost: {reason}")]
    #[strum(props(
        hint = "what was kept of the conversations is unharmed; ELPIS_LOG=debug shows more, and runtime.isolation = \"process\" keeps a crash from the program"
    ))]
    Broken {
        /// The reason that the library reported.
        reason: String,
    },
    /// The process that the model was to run in could not be started.
    #[error("cannot run the model in {}: {reason}", printable_path(program))]
    WorkerUnusable {
        /// The program that was started, or was to be.
        #[serde(with = "os_path")]
        program: PathBuf,
        /// Why it cannot be used, and what helps.
        reason: String,
    },
    /// The process that the model ran in is gone, and everything in it.
    #[error("the model's process is gone: {reason}")]
    WorkerDied {
        /// The exit code or signal, or why it was ended.
        reason: String,
    },
}

/// How a worker process ended, as far as its reason tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// A signal from the system or a user killed it.
    Killed,
    /// Native code gave up on an assertion.
    Aborted,
    /// Native code crashed.
    Crashed,
    /// The watchdog killed it.
    Silent,
    /// Otherwise.
    Other,
}

/// What the reasons of workers' ends hold, each where it is made.
pub const WORKER_ENDS: [(&str, WorkerEnd); 6] = [
    ("SIGKILL", WorkerEnd::Killed),
    ("SIGABRT", WorkerEnd::Aborted),
    ("SIGSEGV", WorkerEnd::Crashed),
    ("SIGBUS", WorkerEnd::Crashed),
    ("SIGILL", WorkerEnd::Crashed),
    ("gave no answer", WorkerEnd::Silent),
];

fn advice(backend: BackendKind) -> &'static str {
    match backend {
        BackendKind::LlamaCpp => "build with the cargo feature `llama-cpp`",
        BackendKind::Transformers => {
            "run `cargo xtask setup transformers`, then build with the cargo feature `transformers`"
        }
    }
}

impl BackendError {
    /// How the model's process ended; `None` for every other error.
    pub fn worker_end(&self) -> Option<WorkerEnd> {
        let Self::WorkerDied { reason } = self else {
            return None;
        };
        let known = WORKER_ENDS.iter().find(|(words, _)| reason.contains(words));
        Some(known.map_or(WorkerEnd::Other, |(_, end)| *end))
    }

    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether the backend that returned it is of no use any more: whatever it
    /// is asked next will fail too.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::WorkerDied { .. } | Self::Broken { .. })
    }
}
