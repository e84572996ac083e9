//! The warnings of `doctor`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::gibibytes;
use super::host::Gpu;
use elpis::settings::BackendKind;

/// A configuration that works but not as its user expects.
///
/// The name of a variant in kebab case is its code. Its fields are the figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "code", content = "figures", rename_all = "kebab-case")]
pub(crate) enum Warning {
    /// A path was set to nothing, so the bundled model answers.
    BundledInstead {
        origin: String,
    },
    /// The token for the Hub is sent unencrypted.
    TokenInTheClear {
        endpoint: String,
    },
    /// The machine has a GPU that the backend does not see.
    GpuNotSeen {
        gpu: Gpu,
        backend: BackendKind,
        /// Whether this build supports it.
        built: bool,
    },
    /// The backend sees a GPU, but the settings do not use it.
    GpuUnused {
        device: String,
        setting: &'static str,
        value: String,
        origin: String,
    },
    ThreadsBeyondCores {
        threads: usize,
        physical_cores: usize,
        usable_processors: usize,
    },
    EndlessSpinning {
        variable: &'static str,
        value: String,
    },
    NoChatTemplate {
        /// The template used instead.
        instead: String,
    },
    VectorsFolderMissing {
        folder: PathBuf,
    },
    NoVectors {
        folder: Option<PathBuf>,
    },
    EmotionsWithoutVector {
        emotions: Vec<&'static str>,
    },
    EmotionsCappedAtZero {
        emotions: Vec<String>,
    },
    SteeringOff {
        setting: &'static str,
        origin: String,
    },
    WeightsExceedMemory {
        weights_bytes: u64,
        available_bytes: u64,
    },
    MemoryShort {
        left_bytes: u64,
        prefix_cache_bytes: u64,
    },
    NoStore,
    StoreInMemory {
        file: PathBuf,
    },
    StoreOnNetwork {
        file: PathBuf,
    },
    StoreNearlyFull {
        file: PathBuf,
        left_bytes: u64,
        /// `disk`, or `store.max_mib`.
        limit: &'static str,
    },
    ShortLivedMoods {
        half_life_seconds: f64,
    },
    MetricsExposed {
        address: String,
    },
    TextsTraced {
        origin: String,
    },
    FixedSeed {
        seed: u64,
        origin: String,
    },
    NoWatchdog {
        origin: String,
    },
    WithoutEffect {
        setting: &'static str,
        value: String,
        origin: String,
        reason: &'static str,
    },
}

impl Warning {
    /// The problem, with figures.
    #[expect(clippy::too_many_lines, reason = "a table of words")]
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::BundledInstead { origin } => {
                format!("model.path is empty (from {origin}): the small bundled model answers")
            }
            Self::TokenInTheClear { endpoint } => format!(
                "the token of the Hub is sent to {endpoint} without encryption, so others on the network can read it"
            ),
            Self::GpuNotSeen { gpu, backend, .. } => format!(
                "an {gpu} GPU driver is installed, but {backend} sees no GPU: the model runs on the CPU"
            ),
            Self::GpuUnused {
                device,
                setting,
                value,
                origin,
            } => format!(
                "{device} is available, but {setting} = {value} (from {origin}) leaves it unused"
            ),
            Self::ThreadsBeyondCores {
                threads,
                physical_cores,
                usable_processors,
            } => format!(
                "model.n_threads is {threads}, on {physical_cores} physical cores of which the process may \
                 use {usable_processors}: threads wait for each other"
            ),
            Self::EndlessSpinning { variable, value } => format!(
                "{variable}={value} keeps waiting threads busy: another busy process makes both slow"
            ),
            Self::NoChatTemplate { instead } => format!(
                "the model has no chat template, and none is set: {instead} is used, which the model may not know"
            ),
            Self::VectorsFolderMissing { folder } => format!(
                "there is no vectors folder {}: the model is not steered until it appears",
                folder.display()
            ),
            Self::NoVectors { folder: None } => {
                "the model has no steering vectors: moods only affect its sampling".to_owned()
            }
            Self::NoVectors {
                folder: Some(folder),
            } => format!(
                "there are no steering vectors in {}: moods only affect the model's sampling",
                folder.display()
            ),
            Self::EmotionsWithoutVector { emotions } => {
                format!("no steering vector for {}", emotions.join(", "))
            }
            Self::EmotionsCappedAtZero { emotions } => format!(
                "the cap of {} is 0: these vectors are never added",
                emotions.join(", ")
            ),
            Self::SteeringOff { setting, origin } => {
                format!("{setting} is 0 (from {origin}): no steering vector is ever added")
            }
            Self::WeightsExceedMemory {
                weights_bytes,
                available_bytes,
            } => format!(
                "the weights take {}, and {} of memory were available: they are read from the disk again \
                 and again, or the system ends the process",
                gibibytes(*weights_bytes),
                gibibytes(*available_bytes)
            ),
            Self::MemoryShort {
                left_bytes,
                prefix_cache_bytes,
            } => format!(
                "{} of memory are left besides the model, but finished conversations may take {}",
                gibibytes(*left_bytes),
                gibibytes(*prefix_cache_bytes)
            ),
            Self::NoStore => {
                "store.path is not set: moods end with the process, or with the runtime".to_owned()
            }
            Self::StoreInMemory { file } => format!(
                "store {} is in memory: it is lost when the machine or container stops",
                file.display()
            ),
            Self::StoreOnNetwork { file } => format!(
                "store {} is on a network file system, which may not lock reliably",
                file.display()
            ),
            Self::StoreNearlyFull {
                file,
                left_bytes,
                limit,
            } => format!(
                "store {} has room for {} MiB more ({limit}); journals grow with every event",
                file.display(),
                left_bytes >> 20
            ),
            Self::ShortLivedMoods { half_life_seconds } => format!(
                "moods are kept in a store, but half of a mood decays within {half_life_seconds:.1} s"
            ),
            Self::MetricsExposed { address } => format!(
                "metrics.listen is {address}: anyone who can reach that address can read the metrics without a password"
            ),
            Self::TextsTraced { origin } => format!(
                "metrics.trace_text is on (from {origin}): traces and logs contain prompts and replies"
            ),
            Self::FixedSeed { seed, origin } => format!(
                "model.seed is {seed} (from {origin}): every generation draws the same random numbers, \
                 and replies repeat"
            ),
            Self::NoWatchdog { origin } => format!(
                "runtime.watchdog_seconds is unset (from {origin}): an engine that hangs is never replaced"
            ),
            Self::WithoutEffect {
                setting,
                value,
                origin,
                reason,
            } => format!("{setting} = {value} (from {origin}) has no effect: {reason}"),
        }
    }

    /// The advice.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::BundledInstead { .. } => {
                "set model.path to a file, a folder or an id of the Hub, or unset it".to_owned()
            }
            Self::TokenInTheClear { .. } => {
                "set HF_ENDPOINT to an address with https://, or unset HF_TOKEN".to_owned()
            }
            Self::GpuNotSeen {
                backend: BackendKind::Transformers,
                ..
            } => "install a libtorch with CUDA support, see docs/backends.md".to_owned(),
            Self::GpuNotSeen { gpu, built, .. } if *built => format!(
                "check that the driver matches the {} of the build and that this user may use the device",
                gpu.feature()
            ),
            Self::GpuNotSeen { gpu, .. } => format!(
                "build with the cargo feature `{}`, or set model.hardware_backend = \"cpu\" if that is intended",
                gpu.feature()
            ),
            Self::GpuUnused { setting, .. } => format!("remove {setting}, so that the GPU is used"),
            Self::ThreadsBeyondCores {
                physical_cores,
                usable_processors,
                ..
            } => format!(
                "unset model.n_threads, or set it to at most {}",
                physical_cores.min(usable_processors)
            ),
            Self::EndlessSpinning { variable, .. } => {
                format!("unset {variable}, or set GOMP_SPINCOUNT=3000")
            }
            Self::NoChatTemplate { .. } => {
                "set model.chat_format to the format that the model was trained on, or to a template file"
                    .to_owned()
            }
            Self::VectorsFolderMissing { .. } => {
                "correct model.emotion_vectors_dir; a relative path starts at the working directory"
                    .to_owned()
            }
            Self::NoVectors { folder: None } => {
                "train some with `elpis vectors train`, and set model.emotion_vectors_dir to their folder"
                    .to_owned()
            }
            Self::NoVectors { .. } => {
                "train some with `elpis vectors train`, or put .safetensors, .pt or .gguf files there"
                    .to_owned()
            }
            Self::EmotionsWithoutVector { .. } => {
                "train a complete set with `elpis vectors train`; without it these moods only affect sampling"
                    .to_owned()
            }
            Self::EmotionsCappedAtZero { .. } => {
                "find caps with `elpis vectors calibrate`, or train better vectors with `elpis vectors train`"
                    .to_owned()
            }
            Self::SteeringOff { setting, .. } => format!("set {setting} above 0"),
            Self::WeightsExceedMemory { .. } => {
                "use a smaller model or quantisation, or a GPU that holds it".to_owned()
            }
            Self::MemoryShort { .. } => {
                "lower runtime.prefix_cache_mib, model.context_length or runtime.n_parallel".to_owned()
            }
            Self::NoStore => "set store.path to a file, such as \"moods.db\"".to_owned(),
            Self::StoreInMemory { .. } | Self::StoreOnNetwork { .. } => {
                "set store.path to a file on a local disk".to_owned()
            }
            Self::StoreNearlyFull { limit: "disk", .. } => {
                "free space on the disk; changes that do not fit wait in memory, up to 65,536".to_owned()
            }
            Self::StoreNearlyFull { .. } => {
                "raise store.max_mib; changes that do not fit wait in memory, up to 65,536".to_owned()
            }
            Self::ShortLivedMoods { .. } => {
                "lower emotion.decay_rate: 0.0001 per second halves a mood in about two hours".to_owned()
            }
            Self::MetricsExposed { .. } => {
                "set only a port, which only this machine can reach, or block others with a firewall"
                    .to_owned()
            }
            Self::TextsTraced { .. } => {
                "turn it off, unless everyone who can read the traces may read the conversations".to_owned()
            }
            Self::FixedSeed { .. } => "unset model.seed; reports name the seed of each reply".to_owned(),
            Self::NoWatchdog { .. } => {
                "set it above the longest step that the machine really needs; 300 is the default".to_owned()
            }
            Self::WithoutEffect { setting, .. } => format!("remove {setting}, or change the setting that disables it"),
        }
    }

    /// Code and figures, with both texts.
    pub(super) fn as_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object
                .entry("figures")
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            object.insert("problem".to_owned(), self.problem().into());
            object.insert("advice".to_owned(), self.advice().into());
        }
        value
    }
}
