use super::*;
use crate::doctor::host::StorePlace;
use elpis::backend::Device;
use elpis::settings::SettingsLoader;

const GIB: u64 = 1 << 30;

/// The page that lists the codes.
const GUIDE: &str = include_str!("../../../../../docs/running.md");

fn device(kind: DeviceKind) -> Device {
    Device {
        backend: BackendKind::LlamaCpp,
        kind,
        index: 0,
        name: format!("{kind}0"),
        description: "Test".to_owned(),
        memory_total: GIB,
        memory_free: GIB,
    }
}

fn emotion(name: &str, cap: f64) -> EmotionInfo {
    EmotionInfo {
        name: name.to_owned(),
        file: format!("{name}.safetensors"),
        place: None,
        cap,
        is_capped: true,
        layers: Vec::new(),
        model_hint: None,
    }
}

/// A machine and a model that give no reason to warn, under settings that do.
struct Case {
    variables: Vec<(&'static str, &'static str)>,
    devices: Vec<Device>,
    cores: (usize, usize),
    model: Option<ModelSeen>,
    host: Host,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            variables: vec![
                ("ELPIS_STORE_PATH", "moods.db"),
                ("ELPIS_EMOTION_DECAY_RATE", "0.001"),
            ],
            devices: vec![device(DeviceKind::Cpu)],
            cores: (4, 8),
            model: Some(ModelSeen {
                weights: GIB,
                emotions: BASE_EMOTIONS.map(|name| emotion(name, 1.0)).to_vec(),
                memory: Some(8 * GIB),
                template: TemplateSeen {
                    name: "test".to_owned(),
                    origin: TemplateOrigin::Own,
                    tool_format: "hermes",
                    native_tools: true,
                },
            }),
            host: Host {
                memory: Some(9 * GIB),
                spin_count: Some("3000".to_owned()),
                store: Some(StorePlace {
                    free: Some(GIB),
                    ..StorePlace::default()
                }),
                ..Host::default()
            },
        }
    }
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value));
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn model(self, change: impl FnOnce(&mut ModelSeen)) -> Self {
        self.change(|case| change(case.model.as_mut().unwrap()))
    }

    fn store(self, change: impl FnOnce(&mut StorePlace)) -> Self {
        self.change(|case| change(case.host.store.as_mut().unwrap()))
    }

    fn warnings(&self) -> Vec<Warning> {
        let loader = SettingsLoader::new().without_files();
        let loaded = loader.env(self.variables.iter().copied()).load().unwrap();
        let choice = loaded.settings.model.hardware_backend;
        let mut hardware = HardwareReport::select(choice, self.devices.clone()).unwrap();
        (hardware.physical_cores, hardware.usable_processors) = self.cores;
        Seen {
            loaded: &loaded,
            hardware: &hardware,
            model: self.model.as_ref(),
            host: &self.host,
        }
        .warnings()
    }

    /// The codes of what it warns of.
    fn codes(&self) -> Vec<String> {
        let code = |warning: &Warning| warning.as_json()["code"].as_str().unwrap().to_owned();
        self.warnings().iter().map(code).collect()
    }
}

fn case() -> Case {
    Case::default()
}

#[test]
fn a_good_machine_under_good_settings_gives_no_warning() {
    assert_eq!(case().warnings(), []);
    let without_model = case().change(|case| case.model = None);
    assert_eq!(without_model.warnings(), []);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_must_warn_warns_of_that_alone() {
    let gpu = || case().change(|case| case.devices.push(device(DeviceKind::Cuda)));
    let vectors = || case().with("ELPIS_MODEL_EMOTION_VECTORS_DIR", "vectors");
    let cases: Vec<(&str, Case)> = vec![
        (
            "gpu-not-seen",
            case().change(|case| case.host.gpus = vec![Gpu::Nvidia]),
        ),
        (
            "gpu-not-seen",
            case().change(|case| case.host.gpus = vec![Gpu::Amd]),
        ),
        (
            "gpu-not-seen",
            case()
                .with("ELPIS_MODEL_HARDWARE_BACKEND", "auto")
                .change(|case| case.host.gpus = vec![Gpu::Nvidia]),
        ),
        (
            "gpu-unused",
            gpu().with("ELPIS_MODEL_HARDWARE_BACKEND", "cpu"),
        ),
        ("gpu-unused", gpu().with("ELPIS_MODEL_GPU_LAYERS", "0")),
        (
            "threads-beyond-cores",
            case().with("ELPIS_MODEL_N_THREADS", "5"),
        ),
        (
            "threads-beyond-cores",
            case()
                .with("ELPIS_MODEL_N_THREADS", "3")
                .change(|case| case.cores = (4, 2)),
        ),
        (
            "endless-spinning",
            case().change(|case| case.host.spin_count = Some("Infinity".to_owned())),
        ),
        (
            "endless-spinning",
            case().change(|case| case.host.spin_count = Some("300k".to_owned())),
        ),
        (
            "endless-spinning",
            case().change(|case| {
                case.host.spin_count = None;
                case.host.wait_policy = Some("ACTIVE".to_owned());
            }),
        ),
        (
            "vectors-folder-missing",
            vectors().change(|case| {
                case.host.vectors_folder = Some(false);
                case.model.as_mut().unwrap().emotions.clear();
            }),
        ),
        (
            "no-chat-template",
            case().model(|model| model.template.origin = TemplateOrigin::Guessed),
        ),
        ("no-vectors", case().model(|model| model.emotions.clear())),
        (
            "emotions-without-vector",
            case().model(|model| drop(model.emotions.pop())),
        ),
        (
            "emotions-capped-at-zero",
            case().model(|model| model.emotions[0].cap = 0.0),
        ),
        (
            "steering-off",
            case().with("ELPIS_EMOTION_STEERING_STRENGTH", "0"),
        ),
        (
            "steering-off",
            case().with("ELPIS_MODEL_MAX_RESIDUAL_FRACTION", "0"),
        ),
        (
            "weights-exceed-memory",
            case().change(|case| {
                case.model = None;
                case.host.weights = Some(10 * GIB);
            }),
        ),
        (
            "memory-short",
            case().model(|model| model.memory = Some(GIB - 1)),
        ),
        // Mapped weights are not free, though the system says so.
        (
            "memory-short",
            case().model(|model| model.weights = 8 * GIB + 1),
        ),
        ("no-store", case().with("ELPIS_STORE_PATH", "")),
        (
            "store-in-memory",
            case().store(|place| place.disk = Disk::Memory),
        ),
        (
            "store-on-network",
            case().store(|place| place.disk = Disk::Network),
        ),
        (
            "store-nearly-full",
            case().store(|place| place.free = Some(LITTLE_ROOM - 1)),
        ),
        (
            "store-nearly-full",
            case()
                .with("ELPIS_STORE_MAX_MIB", "100")
                .store(|place| place.size = 91 << 20),
        ),
        (
            "short-lived-moods",
            case().with("ELPIS_EMOTION_DECAY_RATE", "0.1"),
        ),
        (
            "metrics-exposed",
            case().with("ELPIS_METRICS_LISTEN", "0.0.0.0:9464"),
        ),
        (
            "metrics-exposed",
            case().with("ELPIS_METRICS_LISTEN", "192.0.2.1:9464"),
        ),
        (
            "texts-traced",
            case().with("ELPIS_METRICS_TRACE_TEXT", "true"),
        ),
        ("fixed-seed", case().with("ELPIS_MODEL_SEED", "7")),
        (
            "no-watchdog",
            case().with("ELPIS_RUNTIME_WATCHDOG_SECONDS", ""),
        ),
        (
            "without-effect",
            case().with("ELPIS_MODEL_TORCH_DTYPE", "float16"),
        ),
        (
            "without-effect",
            case().with("ELPIS_MODEL_GPU_LAYERS", "10"),
        ),
        (
            "without-effect",
            case().with("ELPIS_RUNTIME_WORKER", "/usr/bin/elpis"),
        ),
        (
            "without-effect",
            case().with("ELPIS_RUNTIME_VECTORS_DEBOUNCE_MS", "10"),
        ),
        (
            "without-effect",
            case()
                .with("ELPIS_STORE_DURABILITY", "sync")
                .with("ELPIS_STORE_FLUSH_MS", "5"),
        ),
        (
            "without-effect",
            case()
                .with("ELPIS_MODEL_BACKEND", "transformers")
                .with("ELPIS_MODEL_FLASH_ATTENTION", "on"),
        ),
        (
            "without-effect",
            case()
                .with("ELPIS_EMOTION_MOOD_INERTIA_ENABLED", "false")
                .with("ELPIS_EMOTION_MOOD_INERTIA_RESISTANCE", "0.5"),
        ),
        (
            "without-effect",
            case()
                .with("ELPIS_EMOTION_BEHAVIORAL_MONITORING_ENABLED", "false")
                .with("ELPIS_EMOTION_IDLE_PERIOD_SECONDS", "60"),
        ),
    ];
    for (code, case) in cases {
        let found = case.warnings();
        assert!(GUIDE.contains(&format!("`{code}`")), "{code}");
        assert_eq!(case.codes(), [code], "{:?}: {found:?}", case.variables);
        assert!(!found[0].problem().is_empty() && !found[0].advice().is_empty());
    }
}

#[test]
fn what_is_as_it_should_be_does_not_warn() {
    let gpu = || case().change(|case| case.devices.push(device(DeviceKind::Cuda)));
    let quiet: Vec<Case> = vec![
        gpu(),
        gpu().with("ELPIS_MODEL_GPU_LAYERS", "10"),
        // Without use on the CPU, neither threads that wait nor weights in memory matter.
        gpu().model(|model| model.weights = 100 * GIB),
        gpu().change(|case| case.host.spin_count = Some("infinite".to_owned())),
        case()
            .with("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
            .change(|case| case.host.gpus = vec![Gpu::Nvidia]),
        case()
            .with("ELPIS_MODEL_BACKEND", "transformers")
            .change(|case| case.host.gpus = vec![Gpu::Amd]),
        case().with("ELPIS_MODEL_N_THREADS", "4"),
        case().change(|case| case.host.spin_count = Some("100k".to_owned())),
        case().change(|case| case.host.spin_count = Some("many".to_owned())),
        case().change(|case| case.host.wait_policy = Some("active".to_owned())),
        case()
            .with("ELPIS_MODEL_EMOTION_VECTORS_DIR", "vectors")
            .change(|case| case.host.vectors_folder = Some(true)),
        case().model(|model| model.emotions.push(emotion("curious", 1.0))),
        case()
            .with("ELPIS_RUNTIME_PREFIX_CACHE_MIB", "0")
            .model(|model| model.memory = Some(0)),
        case().change(|case| case.host.memory = None),
        case().with("ELPIS_STORE_DURABILITY", "sync"),
        case().with("ELPIS_STORE_MAX_MIB", "10"),
        case().with("ELPIS_STORE_FLUSH_MS", "5"),
        case().with("ELPIS_EMOTION_DECAY_RATE", "0"),
        case().with("ELPIS_METRICS_LISTEN", "9464"),
        case().with("ELPIS_METRICS_LISTEN", "[::1]:9464"),
        case().with("ELPIS_RUNTIME_ISOLATION", "process"),
        case().with("ELPIS_MODEL_FLASH_ATTENTION", "off"),
        case().with("ELPIS_EMOTION_RESPONSE_ANALYSIS_THRESHOLD", "0.5"),
        case()
            .with("ELPIS_EMOTION_RESPONSE_ANALYSIS_ENABLED", "false")
            .with("ELPIS_EMOTION_MESSAGE_ANALYSIS_ENABLED", "true")
            .with("ELPIS_EMOTION_APPRAISAL_MAX_DELTA", "0.2"),
    ];
    for case in quiet {
        assert_eq!(case.warnings(), [], "{:?}", case.variables);
    }
}

#[test]
fn figures_and_origins_are_told() {
    let found = case().with("ELPIS_MODEL_N_THREADS", "64").warnings();
    let value = found[0].as_json();
    assert_eq!(value["figures"]["threads"], 64);
    assert_eq!(value["figures"]["physical_cores"], 4);
    assert!(value["problem"].as_str().unwrap().contains("64"));
    assert!(value["advice"].as_str().unwrap().contains("at most 4"));
    let found = case().with("ELPIS_MODEL_SEED", "7").warnings();
    let origin = "ELPIS_MODEL_SEED in the environment";
    assert!(found[0].problem().contains(origin), "{found:?}");
    let found = case().with("ELPIS_STORE_PATH", "").warnings();
    assert_eq!(found[0].as_json()["figures"], serde_json::json!({}));
}

#[test]
fn spins_are_read_as_libgomp_reads_them() {
    for (text, expected) in [
        ("3000", Some(3000)),
        (" 5k ", Some(5000)),
        ("2M", Some(2_000_000)),
        ("INFINITE", Some(u64::MAX)),
        ("infinity", Some(u64::MAX)),
        ("99999999T", Some(u64::MAX)),
        ("", None),
        ("k", None),
        ("-1", None),
    ] {
        assert_eq!(spins(text), expected, "{text}");
    }
}
