//! Errors of backends.

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
    /// The build has no bundled model.
    #[error(
        "no model path is set and this build has no bundled model; set `model.path` or enable the cargo feature `bundled-model`"
    )]
    NoBundledModel,
    /// The model file cannot be read.
    #[error("cannot read model {}: {reason}", printable_path(path))]
    #[strum(props(
        hint = "check model.path and the file's permissions; a relative path starts at the working directory"
    ))]
    Unreadable {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// The file does not have the format that the backend reads.
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
    /// The file is a Git LFS pointer, so the model itself was never downloaded.
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
    /// The file's structure is broken.
    #[error("model {} is damaged: {reason}", printable_path(path))]
    #[strum(props(
        hint = "if a download or copy was cut short, download the file again; otherwise it has to be created again"
    ))]
    DamagedModel {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The reason, with the place.
        reason: String,
    },
    /// The file has a value that the native library cannot load or compute with.
    #[error("model {}: {item} is {value}, must be {limit}", printable_path(path))]
    InvalidModel {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The metadata key or tensor.
        item: String,
        /// Its value.
        value: String,
        /// The allowed values, as text.
        limit: String,
    },
    /// The model was first loaded in a separate process, which did not survive.
    #[error(
        "model {} did not load in a separate process: {reason}",
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
        /// The library's message.
        reason: String,
    },
    /// A file of a model folder is incomplete or has unsupported content.
    #[error("cannot load model: {}: {item} {reason}", printable_path(path))]
    #[strum(props(
        hint = "download the whole folder again if a file is missing; docs/backends.md lists the architectures, and a GGUF file of the model runs with model.backend = \"llama-cpp\""
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
    /// A value exceeds a limit of the model or the backend.
    #[error("{field} {value} is outside the limit of {limit}")]
    Limit {
        /// The requested value.
        #[serde(deserialize_with = "constant")]
        field: Constant,
        /// The value given.
        value: String,
        /// The limit, as text.
        limit: String,
    },
    /// The key–value cache has no room for the batch.
    #[error("no room in the key-value cache for {rows} rows")]
    #[strum(props(hint = "shorten the conversation, or raise model.context_length"))]
    CacheFull {
        /// Rows of the refused batch.
        rows: usize,
    },
    /// A model with sliding windows cannot continue from this position, because positions within
    /// the window have left the cache. The operation was not carried out.
    #[error(
        "sequence {sequence} cannot continue after {length} positions: the cache only holds it from position {first} on, but its window begins earlier"
    )]
    PrefixEvicted {
        /// The sequence.
        sequence: SequenceId,
        /// Number of positions to be kept.
        length: u32,
        /// The first position that every layer holds.
        first: u32,
    },
    /// The evaluation was aborted.
    #[error("evaluation aborted")]
    Aborted,
    /// The tokenizer finds a control token in a text that has none.
    #[error("the tokenizer finds the control token {token:?} in a text that does not contain it")]
    ForeignControlToken {
        /// The text of the token.
        token: String,
    },
    /// The row has no logits.
    #[error("row {row} of the last batch has no logits")]
    NoLogits {
        /// The requested row.
        row: usize,
    },
    /// A call into the native library failed.
    #[error("{call} failed: {reason}")]
    #[strum(props(
        hint = "ELPIS_LOG=debug shows the cause; `elpis doctor` tries the same settings"
    ))]
    Native {
        /// The call.
        #[serde(deserialize_with = "constant")]
        call: Constant,
        /// The reported reason.
        reason: String,
    },
    /// An assertion of the native library failed for the model.
    #[error("model {}: {call} failed an assertion: {reason}", printable_path(path))]
    #[strum(props(
        hint = "llama.cpp does not support the file, or has a bug: another quantisation or conversion of the model may load"
    ))]
    Assertion {
        /// The file.
        #[serde(with = "os_path")]
        path: PathBuf,
        /// The call.
        #[serde(deserialize_with = "constant")]
        call: Constant,
        /// The assertion and its place in the library's source.
        reason: String,
    },
    /// The native library failed halfway, so the model must be loaded again.
    #[error("the model's state was lost: {reason}")]
    #[strum(props(
        hint = "stored conversations are unharmed; ELPIS_LOG=debug shows more, and runtime.isolation = \"process\" protects the program from crashes"
    ))]
    Broken {
        /// The reason that the library reported.
        reason: String,
    },
    /// The worker process of the model could not be started.
    #[error("cannot run the model in {}: {reason}", printable_path(program))]
    WorkerUnusable {
        /// The worker program.
        #[serde(with = "os_path")]
        program: PathBuf,
        /// The reason, with a remedy.
        reason: String,
    },
    /// The worker process of the model is gone, and its state is lost.
    #[error("the model's process is gone: {reason}")]
    WorkerDied {
        /// The exit code or signal, or why the process was killed.
        reason: String,
    },
}

/// How a worker process ended, according to its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// A signal from the system or a user killed it.
    Killed,
    /// Native code aborted on an assertion.
    Aborted,
    /// Native code crashed.
    Crashed,
    /// The watchdog killed it.
    Silent,
    /// Another reason.
    Other,
}

/// Texts in the reasons of workers' ends, by which their kind is recognised.
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

    /// Whether the backend is unusable after this error: every further call will fail too.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::WorkerDied { .. } | Self::Broken { .. })
    }
}
