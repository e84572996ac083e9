//! Hints on models: backends, files and the Hub.

use std::path::Path;

use super::{Hint, Hinted, say};
use elpis::backend::memory::SystemMemory;
use elpis::backend::{BackendError, BackendKind, GgufKind, WorkerEnd, available_backends};
use elpis::hub::HubError;

const LESS_MEMORY: &str = "if memory ran out, a smaller model.context_length, fewer runtime.n_parallel or a \
                           smaller quantisation need less";

/// Native calls that fail if memory runs out.
const TAKES_MEMORY: [&str; 4] = [
    "llama_init_from_model",
    "allocating the key-value cache",
    "loading weights",
    "shared memory",
];

impl Hinted for BackendError {
    fn computed(&self) -> Hint {
        match self {
            Self::NotBuilt { backend, .. } => Some(not_built(*backend)),
            Self::NotAModel { path, .. } => not_a_model(path),
            Self::OtherKind { kind, .. } => Some(other_kind(*kind)),
            Self::InvalidModel { item, .. } => Some(invalid_model(item)),
            Self::TrialFailed { .. } => Some(format!(
                "the file may be made to crash its reader: take one of a source that you trust; {LESS_MEMORY}; \
                 model.trust = \"check\" loads it without a trial"
            )),
            Self::Load { path, .. } => Some(load(path)),
            Self::Limit { field, .. } => match *field {
                "context_length" => say("lower model.context_length, or unset it"),
                "tensor_split" => {
                    say("shorten model.tensor_split, or unset it to split by free memory")
                }
                _ => None,
            },
            Self::Native { call, .. } if TAKES_MEMORY.contains(call) => {
                Some(format!("{LESS_MEMORY}; ELPIS_LOG=debug shows more"))
            }
            Self::WorkerDied { .. } => Some(match self.worker_end() {
                Some(WorkerEnd::Killed) => {
                    format!("{LESS_MEMORY}; the system's log says whether it ended the process")
                }
                Some(WorkerEnd::Aborted) => {
                    "the native library gave up, and its last words stand above: fetch the model again if its file \
                     may be damaged; what is no fault of the file is worth a report"
                        .to_owned()
                }
                Some(WorkerEnd::Crashed) => {
                    "the native library crashed: fetch the model again if its file may be damaged; what is no fault \
                     of the file is worth a report"
                        .to_owned()
                }
                Some(WorkerEnd::Silent) => {
                    "raise runtime.watchdog_seconds above the longest step of this machine".to_owned()
                }
                Some(WorkerEnd::Other) | None => "ELPIS_LOG=debug shows the cause".to_owned(),
            }),
            _ => None,
        }
    }
}

/// Possible causes for a file that the library refuses.
fn load(path: &Path) -> String {
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    let fits = SystemMemory::look().is_none_or(|memory| memory.available > size);
    if fits {
        "the file may be damaged, or its download was cut short: fetch it again; ELPIS_LOG=debug shows more".to_owned()
    } else {
        format!("{LESS_MEMORY}; ELPIS_LOG=debug shows more")
    }
}

fn not_built(backend: BackendKind) -> String {
    let others: Vec<_> = available_backends()
        .iter()
        .map(|other| format!("{:?}", other.as_str()))
        .collect();
    let install =
        format!("`cargo install elpis-cli --features {backend}` builds a command with it");
    if others.is_empty() {
        return install;
    }
    format!("{install}; or set model.backend = {}", others.join(" or "))
}

/// What the file can be used for, or which file to use instead.
fn other_kind(kind: GgufKind) -> String {
    match kind {
        GgufKind::ControlVector => {
            "put it in a folder with a vectors.toml and set model.emotion_vectors_dir to that; model.path names the \
             model that the vectors were made for"
        }
        GgufKind::Adapter => "merge it into its model first, with llama.cpp's llama-export-lora",
        GgufKind::Projector => {
            "name the model itself, which is next to it; images and audio are not supported"
        }
        GgufKind::ImportanceMatrix | GgufKind::Vocabulary => {
            "name the model itself; this file is only used for quantising one"
        }
        GgufKind::NoVocabulary => "convert the model again, together with its tokenizer",
        GgufKind::Part { .. } => {
            "name the first part, whose name ends in -00001-of-…; the others must be next to it"
        }
        // Embedders, encoder-decoders, diffusers and the like.
        _ => "name a model that continues a text token by token",
    }
    .to_owned()
}

fn invalid_model(item: &str) -> String {
    if item == "general.architecture" || item == "tokenizer.ggml.pre" {
        return "a newer version of elpis may know it; docs/backends.md tells which llama.cpp this one carries"
            .to_owned();
    }
    "the file was made wrongly, or changed since: fetch another conversion of the model; model.trust = \"trust\" \
     loads it unchecked, and may end the program"
        .to_owned()
}

fn not_a_model(path: &Path) -> Hint {
    let is_checkpoint = path.join("config.json").is_file();
    let is_gguf = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let damaged = "the file may be damaged or still be on its way: fetch it again";
    if is_checkpoint {
        say("a Hugging Face folder runs with model.backend = \"transformers\"")
    } else if path.is_dir() {
        say(
            "name the .gguf file itself, or a folder with config.json, tokenizer.json and safetensors",
        )
    } else if is_gguf && begins_as_gguf(path) {
        say("a GGUF file runs with model.backend = \"llama-cpp\"")
    } else if is_gguf {
        say(damaged)
    } else {
        say("name a .gguf file, or a Hugging Face folder with model.backend = \"transformers\"")
    }
}

fn begins_as_gguf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"GGUF"
}

impl Hinted for HubError {
    fn computed(&self) -> Hint {
        match self {
            Self::FileNotFound { repo, .. } => Some(format!(
                "set model.path to {repo}:FILE with a file that it has, or to {repo} alone"
            )),
            _ => None,
        }
    }
}
