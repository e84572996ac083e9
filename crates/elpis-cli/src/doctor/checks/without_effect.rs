//! Detects settings without effect under the other settings.

use super::{Seen, Warning};
use elpis::settings::{BackendKind, Durability, Isolation};

impl Seen<'_> {
    /// Warnings for settings that were set but have no effect.
    pub(super) fn without_effect(&self) -> Vec<Warning> {
        let settings = &self.loaded.settings;
        let (emotion, store) = (&settings.emotion, &settings.store);
        let llama = settings.model.backend == BackendKind::LlamaCpp;
        let no_gpu = !self.hardware.selected.is_gpu();
        let no_store = store.path.is_none();
        let no_texts = !emotion.response_analysis_enabled && !emotion.message_analysis_enabled;
        let no_watch = !emotion.behavioral_monitoring_enabled;
        let reads_no_texts = "neither replies nor messages are appraised";
        let watches_nothing = "emotion.behavioral_monitoring_enabled is false";
        let rules: [(&'static str, bool, &'static str); 19] = [
            (
                "model.torch_dtype",
                llama,
                "llama.cpp computes in the file's own types",
            ),
            (
                "model.flash_attention",
                !llama,
                "the transformers backend has no such choice",
            ),
            ("model.gpu_layers", no_gpu, "the model runs on the CPU"),
            ("model.tensor_split", no_gpu, "the model runs on the CPU"),
            ("store.durability", no_store, "store.path is not set"),
            ("store.flush_ms", no_store, "store.path is not set"),
            ("store.idle_seconds", no_store, "store.path is not set"),
            ("store.max_mib", no_store, "store.path is not set"),
            (
                "store.flush_ms",
                !no_store && store.durability == Durability::Sync,
                "store.durability is sync, which does not wait",
            ),
            (
                "runtime.worker",
                settings.runtime.isolation == Isolation::None,
                "runtime.isolation is none",
            ),
            (
                "runtime.vectors_debounce_ms",
                settings.model.emotion_vectors_dir.is_none(),
                "model.emotion_vectors_dir is not set, so nothing is watched",
            ),
            (
                "emotion.response_analysis_threshold",
                no_texts,
                reads_no_texts,
            ),
            ("emotion.appraisal_max_delta", no_texts, reads_no_texts),
            (
                "emotion.streak_compounding_factor",
                !emotion.streak_compounding_enabled,
                "emotion.streak_compounding_enabled is false",
            ),
            (
                "emotion.mood_inertia_resistance",
                !emotion.mood_inertia_enabled,
                "emotion.mood_inertia_enabled is false",
            ),
            ("emotion.retry_loop_threshold", no_watch, watches_nothing),
            (
                "emotion.failure_streak_threshold",
                no_watch,
                watches_nothing,
            ),
            ("emotion.long_generation_seconds", no_watch, watches_nothing),
            ("emotion.idle_period_seconds", no_watch, watches_nothing),
        ];
        let idle = rules
            .into_iter()
            .filter(|(setting, idle, _)| *idle && self.is_set(setting));
        idle.map(|(setting, _, reason)| Warning::WithoutEffect {
            setting,
            value: self.value(setting),
            origin: self.origin(setting).to_string(),
            reason,
        })
        .collect()
    }
}
