//! Errors, each with a word of its hint.

use elpis::MetricsErrorKind;
use elpis::backend::GgufKind;
use elpis::hub::HubError;
use elpis::inference::{ConstraintError, FinishReason};
use elpis::settings::{BackendKind, parse_model_source};

use super::{text, wrong_settings};
use crate::Failure;
use crate::hint::*;

fn io(kind: std::io::ErrorKind) -> std::io::Error {
    kind.into()
}

fn metrics(kind: MetricsErrorKind) -> Error {
    Error::Metrics {
        listen: "127.0.0.1:9464".to_owned(),
        kind,
        source: "because".into(),
    }
}

/// Errors with a word of their hint; without one they say enough themselves.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<(Failure, Option<&'static str>)> {
    let file = || text("moods.db");
    let reason = || text("because");
    vec![
        (
            wrong_settings(&[("ELPIS_MODEL_TEMPRATURE", "1")]).into(),
            Some("docs/settings.md"),
        ),
        (
            Error::from(wrong_settings(&[("ELPIS_MODEL_TEMPERATURE", "9")])).into(),
            Some("the default of model.temperature is 0.7"),
        ),
        (
            wrong_settings(&[("ELPIS_MODEL_BACKEND", "lama")]).into(),
            Some("model.backend"),
        ),
        (
            parse_model_source("./no-such-model.gguf")
                .unwrap_err()
                .into(),
            Some("the bundled model"),
        ),
        (
            parse_model_source("model").unwrap_err().into(),
            Some("`org/name`"),
        ),
        (
            BackendError::NotBuilt {
                backend: BackendKind::Transformers,
                built: "llama-cpp".to_owned(),
            }
            .into(),
            Some("elpis-cli --features transformers"),
        ),
        (BackendError::NoBundledModel.into(), None),
        (
            BackendError::LfsPointer {
                path: "m.gguf".into(),
                size: None,
            }
            .into(),
            Some("git lfs pull"),
        ),
        (
            BackendError::OtherKind {
                path: "m.gguf".into(),
                kind: GgufKind::ControlVector,
            }
            .into(),
            Some("model.emotion_vectors_dir"),
        ),
        (
            BackendError::OtherKind {
                path: "m.gguf".into(),
                kind: GgufKind::Part {
                    number: 2,
                    count: 3,
                },
            }
            .into(),
            Some("the first part"),
        ),
        (
            BackendError::DamagedModel {
                path: "m.gguf".into(),
                reason: reason(),
            }
            .into(),
            Some("download the file again"),
        ),
        (
            BackendError::InvalidModel {
                path: "m.gguf".into(),
                item: text("general.architecture"),
                value: text("x"),
                limit: text("y"),
            }
            .into(),
            Some("newer version"),
        ),
        (
            BackendError::InvalidModel {
                path: "m.gguf".into(),
                item: text("llama.block_count"),
                value: text("0"),
                limit: text("from 1 to 512"),
            }
            .into(),
            Some("another conversion"),
        ),
        (
            BackendError::TrialFailed {
                path: "m.gguf".into(),
                reason: reason(),
            }
            .into(),
            Some("model.trust"),
        ),
        (
            BackendError::Assertion {
                path: "m.gguf".into(),
                call: "llama_init_from_model",
                reason: reason(),
            }
            .into(),
            Some("another quantisation"),
        ),
        (
            BackendError::Broken { reason: reason() }.into(),
            Some("runtime.isolation"),
        ),
        (
            Error::Backend(BackendError::Load {
                path: "m.gguf".into(),
                reason: reason(),
            })
            .into(),
            Some("fetch it again"),
        ),
        (
            BackendError::Native {
                call: "llama_init_from_model",
                reason: reason(),
            }
            .into(),
            Some("runtime.n_parallel"),
        ),
        (
            BackendError::Native {
                call: "llama_decode",
                reason: reason(),
            }
            .into(),
            Some("elpis doctor"),
        ),
        (
            BackendError::WorkerDied {
                reason: text("it was ended by signal 9 (SIGKILL, as when memory runs out)"),
            }
            .into(),
            Some("if memory ran out"),
        ),
        (
            BackendError::WorkerDied {
                reason: text("it was ended by signal 6 (SIGABRT)"),
            }
            .into(),
            Some("gave up"),
        ),
        (
            BackendError::WorkerDied {
                reason: text("it was ended by signal 11 (SIGSEGV)"),
            }
            .into(),
            Some("crashed"),
        ),
        (
            BackendError::WorkerDied {
                reason: text("it gave no answer for 2 s and was killed"),
            }
            .into(),
            Some("runtime.watchdog_seconds"),
        ),
        (
            BackendError::Limit {
                field: "context_length",
                value: text("9"),
                limit: text("8"),
            }
            .into(),
            Some("model.context_length"),
        ),
        (
            Error::Hardware {
                asked: text("cuda"),
                available: text("cpu"),
            }
            .into(),
            Some("elpis-cli --features cuda"),
        ),
        (
            HubError::Offline {
                wanted: text("org/name"),
            }
            .into(),
            Some("HF_HUB_OFFLINE"),
        ),
        (
            HubError::Unreachable {
                endpoint: text("http://hub"),
                repo: text("org/name"),
                message: reason(),
            }
            .into(),
            Some("HF_ENDPOINT"),
        ),
        (
            HubError::Refused {
                repo: text("org/name"),
            }
            .into(),
            None,
        ),
        (
            HubError::RepoNotFound {
                repo: text("org/name"),
            }
            .into(),
            Some("model.path"),
        ),
        (
            HubError::FileNotFound {
                repo: text("org/name"),
                file: text("m.gguf"),
                choices: Vec::new(),
            }
            .into(),
            Some("org/name:FILE"),
        ),
        (
            metrics(MetricsErrorKind::InUse).into(),
            Some("another port"),
        ),
        (metrics(MetricsErrorKind::Forbidden).into(), Some("1024")),
        (metrics(MetricsErrorKind::NotBuilt).into(), None),
        (
            StoreError::InUse { file: file() }.into(),
            Some("elpis store export"),
        ),
        (
            StoreError::FutureVersion {
                file: file(),
                found: 2,
                known: 1,
            }
            .into(),
            Some("elpis store import"),
        ),
        (
            Error::Store(StoreError::Damaged {
                file: file(),
                reason: reason(),
            })
            .into(),
            Some("elpis store check"),
        ),
        (
            StoreError::DamagedSession {
                file: file(),
                session: text("ada"),
                reason: reason(),
            }
            .into(),
            Some("elpis store check moods.db"),
        ),
        (
            SteeringError::FolderMissing {
                folder: text("vectors"),
            }
            .into(),
            Some("elpis vectors train --output vectors"),
        ),
        (
            SteeringError::Library(LibraryError::Width {
                file: text("calm.pt"),
                width: 3,
                n_embd: 4,
            })
            .into(),
            Some("elpis vectors inspect"),
        ),
        (
            LibraryError::DuplicateFile {
                file: text("calm.pt"),
            }
            .into(),
            None,
        ),
        (
            CliError::At {
                place: text("calm.pt"),
                source: FormatError::RefusedGlobal {
                    global: text("os.system"),
                }
                .into(),
            }
            .into(),
            Some("torch.save"),
        ),
        (
            CliError::At {
                place: text("calm.safetensors"),
                source: FormatError::LimitExceeded {
                    what: "the safetensors header's length",
                    value: 1 << 40,
                    limit: 1 << 19,
                }
                .into(),
            }
            .into(),
            Some("damaged"),
        ),
        (TrainingError::NoVectors.into(), Some("elpis vectors train")),
        (TrainingError::Interrupted.into(), None),
        (PairsError::Empty.into(), Some("--pairs")),
        (
            EngineError::EngineRestarted.into(),
            Some("runtime.resume_generations"),
        ),
        (
            EngineError::Overloaded { limit: 1 }.into(),
            Some("runtime.queue_limit"),
        ),
        (
            Error::Engine(
                RequestError::PromptTooLong {
                    prompt: 9,
                    context: 8,
                }
                .into(),
            )
            .into(),
            Some("model.context_overflow"),
        ),
        (
            EngineError::from(ConstraintError::Unfinished {
                finish_reason: FinishReason::Length,
                tokens: 8,
            })
            .into(),
            Some("--max-tokens"),
        ),
        (
            EngineFailure::Hung { seconds: 9.0 }.into(),
            Some("runtime.watchdog_seconds"),
        ),
        (
            CliError::Unreadable {
                file: text("pairs.toml"),
                source: io(std::io::ErrorKind::NotFound),
            }
            .into(),
            Some("working directory"),
        ),
        (
            CliError::Unwritable {
                file: text("mood.svg"),
                source: io(std::io::ErrorKind::PermissionDenied),
            }
            .into(),
            Some("another place"),
        ),
        (CliError::NothingToChat.into(), Some("-it")),
        (CliError::Unanswered { count: 2 }.into(), Some("above")),
        (
            CliError::Soak {
                findings: vec![reason()],
                growth_alone: true,
            }
            .into(),
            Some("--seconds"),
        ),
        (
            CliError::Soak {
                findings: vec![reason()],
                growth_alone: false,
            }
            .into(),
            Some("--seed"),
        ),
        ("something else".into(), None),
        (io(std::io::ErrorKind::Other).into(), None),
    ]
}
