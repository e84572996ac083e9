//! Derives warnings from the collected facts.

mod without_effect;

use super::host::{Disk, Gpu, Host};
use super::template::{TemplateOrigin, TemplateSeen};
use super::warning::Warning;
use elpis::HardwareReport;
use elpis::backend::DeviceKind;
use elpis::settings::{BackendKind, HardwareBackend, LoadedSettings, Origin};
use elpis::steering::{BASE_EMOTIONS, EmotionInfo};

/// Number of spins above which threads practically never sleep: libgomp's default.
const MANY_SPINS: u64 = 300_000;

/// Free space of a store below which there is a warning.
const LITTLE_ROOM: u64 = 64 << 20;

/// Half-life of moods below which a store is pointless, in seconds.
const SHORT_HALF_LIFE: f64 = 60.0;

/// Facts about the loaded model.
#[derive(Debug, Clone)]
pub(super) struct ModelSeen {
    pub(super) weights: u64,
    pub(super) emotions: Vec<EmotionInfo>,
    /// Memory available while it was loaded, in bytes.
    pub(super) memory: Option<u64>,
    pub(super) template: TemplateSeen,
}

/// All collected facts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) loaded: &'a LoadedSettings,
    pub(super) hardware: &'a HardwareReport,
    pub(super) model: Option<&'a ModelSeen>,
    pub(super) host: &'a Host,
}

impl Seen<'_> {
    /// All warnings.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        found.extend(self.source());
        found.extend(self.gpu());
        found.extend(self.threads());
        found.extend(self.spinning());
        found.extend(self.memory());
        found.extend(self.template());
        found.extend(self.vectors());
        found.extend(self.store());
        found.extend(self.watching());
        found.extend(self.without_effect());
        found
    }

    fn origin(&self, setting: &str) -> &Origin {
        let origin = self.loaded.origins.get(setting);
        origin.unwrap_or(&Origin::Default)
    }

    fn is_set(&self, setting: &str) -> bool {
        *self.origin(setting) != Origin::Default
    }

    fn value(&self, setting: &str) -> String {
        let mut rows = self.loaded.rows();
        rows.find(|(field, ..)| field.full_name() == setting)
            .map_or_else(String::new, |(_, value, _)| value)
    }

    /// Whether no layer is on a GPU.
    fn on_processor(&self) -> bool {
        !self.hardware.selected.is_gpu() || self.loaded.settings.model.gpu_layers == 0
    }

    /// Warnings about the model's source.
    fn source(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        if self.loaded.settings.model.path.is_none() && self.is_set("model.path") {
            let origin = self.origin("model.path").to_string();
            found.push(Warning::BundledInstead { origin });
        }
        let endpoint = self.host.plain_token_endpoint.clone();
        found.extend(endpoint.map(|endpoint| Warning::TokenInTheClear { endpoint }));
        found
    }

    fn gpu(&self) -> Option<Warning> {
        let devices = &self.hardware.devices;
        if let Some(device) = devices.iter().find(|device| device.kind.is_gpu()) {
            let setting = if self.hardware.selected == DeviceKind::Cpu {
                "model.hardware_backend"
            } else if self.on_processor() {
                "model.gpu_layers"
            } else {
                return None;
            };
            return Some(Warning::GpuUnused {
                device: format!("{} ({})", device.name, device.description),
                setting,
                value: self.value(setting),
                origin: self.origin(setting).to_string(),
            });
        }
        let model = &self.loaded.settings.model;
        if model.hardware_backend == HardwareBackend::Cpu {
            return None;
        }
        let backend = model.backend;
        let usable = |gpu: &&Gpu| backend == BackendKind::LlamaCpp || **gpu == Gpu::Nvidia;
        let gpu = *self.host.gpus.iter().find(usable)?;
        Some(Warning::GpuNotSeen {
            gpu,
            backend,
            built: gpu.built(),
        })
    }

    fn threads(&self) -> Option<Warning> {
        let threads = self.loaded.settings.model.n_threads?;
        let (physical_cores, usable_processors) = (
            self.hardware.physical_cores,
            self.hardware.usable_processors,
        );
        (threads > physical_cores.min(usable_processors).max(1)).then_some(
            Warning::ThreadsBeyondCores {
                threads,
                physical_cores,
                usable_processors,
            },
        )
    }

    fn spinning(&self) -> Option<Warning> {
        if !self.on_processor() {
            return None;
        }
        let (variable, value) = match (&self.host.spin_count, &self.host.wait_policy) {
            (Some(count), _) if spins(count).is_some_and(|spins| spins >= MANY_SPINS) => {
                ("GOMP_SPINCOUNT", count)
            }
            (None, Some(policy)) if policy.trim().eq_ignore_ascii_case("active") => {
                ("OMP_WAIT_POLICY", policy)
            }
            _ => return None,
        };
        Some(Warning::EndlessSpinning {
            variable,
            value: value.clone(),
        })
    }

    fn memory(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        let before = self.host.memory;
        let weights = self.model.map(|model| model.weights).or(self.host.weights);
        if let (Some(available_bytes), Some(weights_bytes)) = (before, weights)
            && self.on_processor()
            && weights_bytes > available_bytes
        {
            found.push(Warning::WeightsExceedMemory {
                weights_bytes,
                available_bytes,
            });
        }
        let prefix_cache_bytes = self.loaded.settings.runtime.prefix_cache_memory() as u64;
        if let Some(model) = self.model
            && let Some(after) = model.memory
        {
            // Mapped weights count as available memory, but the model needs them.
            let beside = before
                .filter(|_| self.on_processor())
                .map_or(after, |before| before.saturating_sub(model.weights));
            let left_bytes = after.min(beside);
            if left_bytes < prefix_cache_bytes {
                found.push(Warning::MemoryShort {
                    left_bytes,
                    prefix_cache_bytes,
                });
            }
        }
        found
    }

    fn template(&self) -> Vec<Warning> {
        let Some(model) = self.model else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if model.template.origin == TemplateOrigin::Guessed {
            let instead = model.template.name.clone();
            found.push(Warning::NoChatTemplate { instead });
        }
        found
    }

    fn vectors(&self) -> Vec<Warning> {
        let folder = self.loaded.settings.model.emotion_vectors_dir.clone();
        if let (Some(folder), Some(false)) = (&folder, self.host.vectors_folder) {
            let folder = folder.clone();
            return vec![Warning::VectorsFolderMissing { folder }];
        }
        let Some(model) = self.model else {
            return Vec::new();
        };
        if model.emotions.is_empty() {
            return vec![Warning::NoVectors { folder }];
        }
        let mut found = Vec::new();
        let is_there = |name: &&str| model.emotions.iter().any(|info| info.name == **name);
        let missing: Vec<_> = BASE_EMOTIONS
            .into_iter()
            .filter(|name| !is_there(name))
            .collect();
        if !missing.is_empty() {
            found.push(Warning::EmotionsWithoutVector { emotions: missing });
        }
        let capped = model.emotions.iter().filter(|info| info.cap == 0.0);
        let capped: Vec<_> = capped.map(|info| info.name.clone()).collect();
        if !capped.is_empty() {
            found.push(Warning::EmotionsCappedAtZero { emotions: capped });
        }
        let (emotion, most) = (
            &self.loaded.settings.emotion,
            self.loaded.settings.model.max_residual_fraction,
        );
        let factors = [
            ("emotion.steering_strength", emotion.steering_strength),
            ("model.max_residual_fraction", most),
        ];
        let off = factors.into_iter().filter(|(_, factor)| *factor == 0.0);
        found.extend(off.map(|(setting, _)| Warning::SteeringOff {
            setting,
            origin: self.origin(setting).to_string(),
        }));
        found
    }

    fn store(&self) -> Vec<Warning> {
        let settings = &self.loaded.settings;
        let Some(file) = settings.store.path.clone() else {
            return vec![Warning::NoStore];
        };
        let mut found = Vec::new();
        if let Some(place) = &self.host.store {
            match place.disk {
                Disk::Local => {}
                Disk::Memory => found.push(Warning::StoreInMemory { file: file.clone() }),
                Disk::Network => found.push(Warning::StoreOnNetwork { file: file.clone() }),
            }
            let most = settings.store.max_mib.map(|mib| u64::from(mib) << 20);
            let below = most.map(|most| (most.saturating_sub(place.size), "store.max_mib"));
            let limits = [place.free.map(|free| (free, "disk")), below];
            // A small limit is only nearly reached once the file has grown to most of it.
            let near = |(left, limit): &(u64, &'static str)| match most {
                Some(most) if *limit == "store.max_mib" => *left < LITTLE_ROOM.min(most / 10),
                _ => *left < LITTLE_ROOM,
            };
            found.extend(
                limits
                    .into_iter()
                    .flatten()
                    .filter(near)
                    .map(|(left_bytes, limit)| Warning::StoreNearlyFull {
                        file: file.clone(),
                        left_bytes,
                        limit,
                    }),
            );
        }
        let emotion = &settings.emotion;
        let slowest = [
            emotion.decay_multiplier_excited,
            emotion.decay_multiplier_frustrated,
            emotion.decay_multiplier_calm,
            emotion.decay_multiplier_depleted,
        ]
        .into_iter()
        .fold(f64::INFINITY, f64::min)
            * emotion.decay_rate;
        let half_life_seconds = std::f64::consts::LN_2 / slowest;
        if half_life_seconds < SHORT_HALF_LIFE {
            found.push(Warning::ShortLivedMoods { half_life_seconds });
        }
        found
    }

    fn watching(&self) -> Vec<Warning> {
        let settings = &self.loaded.settings;
        let origin = |setting| self.origin(setting).to_string();
        let mut found = Vec::new();
        if let Some(listen) = settings.metrics.listen
            && !listen.0.ip().to_canonical().is_loopback()
        {
            let address = listen.0.to_string();
            found.push(Warning::MetricsExposed { address });
        }
        if settings.metrics.trace_text {
            let origin = origin("metrics.trace_text");
            found.push(Warning::TextsTraced { origin });
        }
        if let Some(seed) = settings.model.seed {
            let origin = origin("model.seed");
            found.push(Warning::FixedSeed { seed, origin });
        }
        if settings.runtime.watchdog.is_none() {
            let origin = origin("runtime.watchdog_seconds");
            found.push(Warning::NoWatchdog { origin });
        }
        found
    }
}

/// Parses a count like libgomp: a number, a suffix for thousands, or a word for infinity.
fn spins(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    if matches!(text.as_str(), "infinite" | "infinity") {
        return Some(u64::MAX);
    }
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], 1_000),
        (at, 'm') => (&text[..at], 1_000_000),
        (at, 'g') => (&text[..at], 1_000_000_000),
        (at, 't') => (&text[..at], 1_000_000_000_000),
        _ => (text.as_str(), 1),
    };
    let number: u64 = digits.trim().parse().ok()?;
    Some(number.saturating_mul(factor))
}

#[cfg(test)]
mod tests;
