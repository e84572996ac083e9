//! Settings from every layer: what is taken, what is refused, and what the error says.

use std::fs;
use std::time::Duration;

use elpis::inference::ModulationTiming;
use elpis::settings::{
    BackendKind, ModelSettings, ModelSource, Origin, RuntimeSettings, Section, Settings,
    SettingsError, SettingsLoader, fields, reference_markdown,
};

/// Loads with the given settings file and variables, and with nothing of this process.
fn load(
    toml: &str,
    env: &[(&str, &str)],
) -> Result<elpis::settings::LoadedSettings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("elpis.toml"), toml).unwrap();
    SettingsLoader::new()
        .directory(folder.path())
        .env(env.iter().copied())
        .load()
}

fn message(toml: &str, env: &[(&str, &str)]) -> String {
    load(toml, env).unwrap_err().to_string()
}

#[test]
fn defaults_are_those_of_the_reference() {
    let settings = Settings::default();
    settings.validate().unwrap();
    let model = &settings.model;
    assert_eq!(model.backend, BackendKind::LlamaCpp);
    assert_eq!(
        (
            model.temperature,
            model.top_p,
            model.top_k,
            model.max_tokens
        ),
        (0.7, 0.9, 40, 512)
    );
    assert_eq!(
        (
            model.path.as_deref(),
            model.context_length,
            model.gpu_layers
        ),
        (None, None, -1)
    );
    assert_eq!(ModelSettings::DEFAULT_STEERING_LAYER, 15);
    assert_eq!(model.context_length_for(512), 512);
    assert_eq!(model.context_length_for(131_072), 4096);
    assert_eq!(settings.model_source().unwrap(), ModelSource::Bundled);
    assert_eq!(
        (settings.emotion.decay_rate, settings.emotion.max_delta),
        (0.1, 0.5)
    );
    assert_eq!(
        settings.runtime.modulation_timing,
        ModulationTiming::AtStart
    );
    assert_eq!(settings.runtime.request_timeout, None);
}

#[test]
fn later_layers_win_and_every_value_knows_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("elpis.toml");
    let dotenv = folder.path().join(".env");
    fs::write(
        &toml,
        "[model]\ntemperature = 0.2\ntop_p = 0.8\nmin_p = 0\n\n[emotion]\ndecay_rate = 1\n",
    )
    .unwrap();
    fs::write(
        &dotenv,
        "# ours\nOTHER_TOKEN=x\nELPIS_MODEL_TOP_P=0.7\nexport ELPIS_MODEL_SEED='7'\n",
    )
    .unwrap();
    let code = Settings::default().model(
        ModelSettings::default()
            .temperature(0.1)
            .max_tokens(99)
            .path("org/name")
            .context_length(1024),
    );
    let loaded = SettingsLoader::new()
        .directory(folder.path())
        .base(code)
        .env([
            ("ELPIS_MODEL_SEED", "8"),
            ("ELPIS_RUNTIME_N_PARALLEL", " 2 "),
            ("PATH", "/bin"),
        ])
        .load()
        .unwrap();

    let model = &loaded.settings.model;
    assert_eq!(
        (model.temperature, model.top_p, model.seed),
        (0.2, 0.7, Some(8))
    );
    assert_eq!((model.max_tokens, model.context_length), (99, Some(1024)));
    assert!((loaded.settings.emotion.decay_rate - 1.0).abs() < f64::EPSILON);
    assert_eq!(loaded.settings.runtime.n_parallel, 2);

    let origin = |name| loaded.origins.get(name).unwrap().clone();
    assert_eq!(origin("model.top_k"), Origin::Default);
    assert_eq!(origin("model.max_tokens"), Origin::Code);
    assert_eq!(
        origin("model.temperature"),
        Origin::File {
            path: toml,
            line: 2
        }
    );
    assert_eq!(
        origin("model.top_p").to_string(),
        format!("ELPIS_MODEL_TOP_P in {}", dotenv.display())
    );
    assert_eq!(
        origin("model.seed"),
        Origin::Environment {
            variable: "ELPIS_MODEL_SEED".to_owned()
        }
    );
    assert_eq!(loaded.origins.iter().count(), fields().count());
    assert!(loaded.origins.get("model.no_such").is_none());
    let rows: Vec<String> = loaded
        .rows()
        .map(|(field, value, _)| format!("{}={value}", field.full_name()))
        .collect();
    assert!(
        rows.contains(&"model.seed=8".to_owned())
            && rows.contains(&"model.n_threads=unset".to_owned())
    );
}

#[test]
fn every_field_can_be_set_by_variable_and_by_file() {
    for field in fields() {
        let type_name = field.type_name();
        let (text, in_toml) = match type_name.as_str() {
            "true or false" if field.default_text() == "false" => ("true", "true".to_owned()),
            "true or false" => ("false", "false".to_owned()),
            "text" | "path" => ("x/y", "\"x/y\"".to_owned()),
            "list of numbers" => ("0.5,1.0", "[0.5, 1]".to_owned()),
            "list of texts" => ("a,b", "[\"a\", \"b\"]".to_owned()),
            "number" if field.name() == "long_generation_factor" => ("2.5", "2.5".to_owned()),
            "number"
                if field.name().ends_with("negative_threshold")
                    || field.name().ends_with("declining_threshold") =>
            {
                ("-0.25", "-0.25".to_owned())
            }
            "number" => ("0.25", "0.25".to_owned()),
            "whole number" if field.name() == "context_length" => ("1024", "1_024".to_owned()),
            "list of events" => (
                "a -0.3 0.2,b b 0 1",
                "[\"a -0.3 0.2\", \"b b 0 1\"]".to_owned(),
            ),
            "whole number" if field.name() == "dynamics" => ("1", "0x1".to_owned()),
            "whole number" => ("128", "0x80".to_owned()),
            "port, or address:port" => ("127.0.0.1:9464", "9464".to_owned()),
            choices => {
                let last = choices.rsplit('`').nth(1).unwrap();
                (last, format!("\"{last}\""))
            }
        };
        let toml = format!(
            "[{}]\n{} = {in_toml}\n",
            field.section().as_str(),
            field.name()
        );
        match (load("", &[(&field.variable(), text)]), load(&toml, &[])) {
            (Ok(by_variable), Ok(by_file)) => {
                assert_eq!(
                    by_variable.settings,
                    by_file.settings,
                    "{}",
                    field.full_name()
                );
                assert_ne!(
                    by_file.settings,
                    Settings::default(),
                    "{}",
                    field.full_name()
                );
                assert_ne!(
                    by_file.origins.get(field.full_name()),
                    Some(&Origin::Default)
                );
            }
            // Read and in its range, but at odds with the default of another field.
            (Err(SettingsError::Conflict { .. }), Err(SettingsError::Conflict { .. })) => {}
            (by_variable, by_file) => panic!("{}: {by_variable:?} {by_file:?}", field.full_name()),
        }
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let table = [
        (
            "[model]\ntemprature = 1",
            ":2; did you mean model.temperature?",
        ),
        (
            "[model]\ndecay_rate = 1",
            "; did you mean emotion.decay_rate?",
        ),
        ("[modle]\ntop_p = 1", "; did you mean [model]?"),
        ("temperature = 1", "; did you mean model.temperature?"),
        ("[model]\nn-threads = 1", "; did you mean model.n_threads?"),
    ];
    for (toml, hint) in table {
        let message = message(toml, &[]);
        assert!(
            message.starts_with("unknown setting ") && message.ends_with(hint),
            "{message}"
        );
    }
    assert!(message("[model]\nzzzzzzzz = 1", &[]).ends_with("elpis.toml:2"));
    let table = [
        ("ELPIS_MODEL_TEMPRATURE", "ELPIS_MODEL_TEMPERATURE"),
        ("ELPIS_EMOTION_DECAY_RAET", "ELPIS_EMOTION_DECAY_RATE"),
        ("ELPIS_RUNTIME_QUEUELIMIT", "ELPIS_RUNTIME_QUEUE_LIMIT"),
        // Of no section that there is.
        ("ELPIS_MODLE_PATH", "ELPIS_MODEL_PATH"),
        ("ELPIS_MODELPATH", "ELPIS_MODEL_PATH"),
        ("ELPIS_EMOTIONS_DECAY_RATE", "ELPIS_EMOTION_DECAY_RATE"),
        ("ELPIS_STOR_PATH", "ELPIS_STORE_PATH"),
        ("ELPIS_LGO", "ELPIS_LOG"),
    ];
    for (wrong, right) in table {
        let expected = format!("unknown setting {wrong} in the environment; did you mean {right}?");
        assert_eq!(message("", &[(wrong, "1")]), expected);
    }
    for wrong in ["ELPIS_", "ELPIS_NOTHING_LIKE_IT", "ELPIS_PORT", "ELPIS_é"] {
        let expected = format!("unknown setting {wrong} in the environment");
        assert_eq!(message("", &[(wrong, "1")]), expected);
    }
}

#[test]
fn unknown_names_are_refused_in_dotenv_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    fs::write(
        &file,
        "OTHER_TOKEN=x\nELPIS_MODLE_PATH=m.gguf\nELPIS_LOG=info\n",
    )
    .unwrap();
    let loader = SettingsLoader::new().directory(folder.path());
    let error = loader.env([("A", "1")]).load().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "unknown setting ELPIS_MODLE_PATH in {}; did you mean ELPIS_MODEL_PATH?",
            file.display()
        )
    );
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let others = [
        ("ELPIS_LOG", "debug"),
        ("ELPIS_TEST_SEED", "1"),
        ("ELPISTLE", "1"),
        ("elpis_model_path", "x"),
        // Of a cluster with services `elpis` and `elpis-metrics`.
        ("ELPIS_SERVICE_HOST", "10.0.0.1"),
        ("ELPIS_SERVICE_PORT", "80"),
        ("ELPIS_SERVICE_PORT_HTTP", "80"),
        ("ELPIS_PORT", "tcp://10.0.0.1:80"),
        ("ELPIS_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("ELPIS_PORT_80_TCP_PROTO", "tcp"),
        ("ELPIS_PORT_80_TCP_PORT", "80"),
        ("ELPIS_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("ELPIS_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("ELPIS_METRICS_PORT", "tcp://10.0.0.1:9464"),
        ("ELPIS_METRICS_PORT_9464_TCP_ADDR", "10.0.0.1"),
    ];
    load("", &others).unwrap();
    for (name, value) in [("ELPIS_METRICS_PORT", "9464"), ("ELPIS_PORT_80_TCB", "x")] {
        assert!(load("", &[(name, value)]).is_err(), "{name}");
    }
}

#[test]
fn ranges_name_field_value_limit_and_origin() {
    let table = [
        (
            "ELPIS_MODEL_TEMPERATURE",
            "2.5",
            "model.temperature is 2.5, but must be 0 to 2",
        ),
        (
            "ELPIS_MODEL_TEMPERATURE",
            "NaN",
            "model.temperature is NaN, but must be 0 to 2",
        ),
        (
            "ELPIS_MODEL_TOP_P",
            "0",
            "model.top_p is 0.0, but must be more than 0, at most 1",
        ),
        (
            "ELPIS_MODEL_CONTEXT_LENGTH",
            "511",
            "model.context_length is 511, but must be 512 to 131072",
        ),
        (
            "ELPIS_MODEL_CONTEXT_LENGTH",
            "-1",
            "model.context_length is -1, but must be 512 to 131072",
        ),
        (
            "ELPIS_MODEL_GPU_LAYERS",
            "-2",
            "model.gpu_layers is -2, but must be -1 or more",
        ),
        (
            "ELPIS_MODEL_SEED",
            "-1",
            "model.seed is -1, but must be 0 to 18446744073709551615",
        ),
        (
            "ELPIS_MODEL_BATCH_SIZE",
            "8193",
            "model.batch_size is 8193, but must be 32 to 8192",
        ),
        (
            "ELPIS_MODEL_TENSOR_SPLIT",
            "1,-1",
            "model.tensor_split is 1.0,-1.0, but must be 0 or more",
        ),
        (
            "ELPIS_EMOTION_DECAY_RATE",
            "inf",
            "emotion.decay_rate is inf, but must be 0 to 100",
        ),
        (
            "ELPIS_EMOTION_BASELINE_VALENCE",
            "1.01",
            "emotion.baseline_valence is 1.01, but must be -1 to 1",
        ),
        (
            "ELPIS_RUNTIME_N_PARALLEL",
            "0",
            "runtime.n_parallel is 0, but must be 1 to 254",
        ),
    ];
    for (variable, value, expected) in table {
        let expected = format!("{expected} (from {variable} in the environment)");
        assert_eq!(message("", &[(variable, value)]), expected);
    }
    let message = message(
        "[model]\n\ntemperature = 3",
        &[("ELPIS_MODEL_TEMPERATURE", "1")],
    );
    assert!(
        message.starts_with("model.temperature is 3.0") && message.contains("elpis.toml:3"),
        "{message}"
    );
}

/// The bounds of a range as it is documented: lowest, whether it is itself refused, highest; and
/// whether 0 is allowed besides.
fn bounds(range: &str) -> (f64, bool, Option<f64>, bool) {
    let number = |text: &str| text.parse::<f64>().unwrap();
    if let Some(rest) = range.strip_prefix("more than ") {
        let (low, high) = match rest.split_once(", at most ") {
            Some((low, high)) => (low, Some(number(high))),
            None => (rest, None),
        };
        return (number(low), true, high, false);
    }
    let (range, or_zero) = match range.strip_prefix("0, or ") {
        Some(rest) => (rest, true),
        None => (range, false),
    };
    match range.split_once(" to ") {
        Some((low, high)) => (number(low), false, Some(number(high)), or_zero),
        None => (
            number(range.strip_suffix(" or more").unwrap()),
            false,
            None,
            or_zero,
        ),
    }
}

/// What other settings must be so that this one may be at its bounds.
fn companions(name: &str) -> Vec<(&'static str, String)> {
    let pair = |variable, value: f64| (variable, value.to_string());
    let (history, spiral, steps) = (
        "ELPIS_EMOTION_TRAJECTORY_HISTORY_SIZE",
        "ELPIS_EMOTION_SPIRAL_HISTORY_COUNT",
        "ELPIS_EMOTION_SPIRAL_INCREASING_THRESHOLD",
    );
    match name {
        "emotion.trajectory_history_size" => vec![pair(spiral, 2.0), pair(steps, 1.0)],
        "emotion.spiral_history_count" => vec![pair(history, 1024.0), pair(steps, 1.0)],
        "emotion.spiral_increasing_threshold" => {
            vec![pair(history, 1024.0), pair(spiral, 1024.0)]
        }
        "emotion.strength_limit" => vec![pair("ELPIS_EMOTION_STEERING_STRENGTH", 0.0)],
        "runtime.restart_backoff_initial_ms" => {
            vec![pair("ELPIS_RUNTIME_RESTART_BACKOFF_MAX_MS", 600_000.0)]
        }
        "runtime.restart_backoff_max_ms" => {
            vec![pair("ELPIS_RUNTIME_RESTART_BACKOFF_INITIAL_MS", 0.0)]
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_documented_bound_is_allowed_and_one_step_beyond_is_refused_with_its_origin() {
    let mut tried = 0;
    for field in fields() {
        let Some(range) = field.range() else { continue };
        let name = field.full_name();
        let (low, open, high, or_zero) = bounds(&range);
        let step = if field.type_name() == "whole number" {
            1.0
        } else {
            1e-6
        };
        let text = |value: f64| match field.type_name().as_str() {
            // One share above 0 is asked of the list besides.
            "list of numbers" => format!("1,{value}"),
            _ => value.to_string(),
        };
        let try_it = |value: f64| {
            let mut variables = companions(name);
            let variable = field.variable();
            variables.push(("", text(value)));
            let pairs: Vec<(&str, &str)> = variables
                .iter()
                .map(|(known, value)| match *known {
                    "" => (variable.as_str(), value.as_str()),
                    known => (known, value.as_str()),
                })
                .collect();
            load("", &pairs)
        };
        let mut allowed = vec![if open { low + step } else { low }];
        allowed.extend(high);
        allowed.extend(or_zero.then_some(0.0));
        for value in allowed {
            let loaded = try_it(value);
            assert!(loaded.is_ok(), "{name} = {value} in {range}: {loaded:?}");
            tried += 1;
        }
        let below = if open { low } else { low - step };
        for value in [Some(below), high.map(|high| high + step)]
            .into_iter()
            .flatten()
        {
            let error = try_it(value).unwrap_err();
            assert_eq!(error.kind(), "out-of-range", "{name} = {value}: {error}");
            let told = error.to_string();
            assert!(
                told.contains(&range) && told.contains(&format!("from {}", field.variable())),
                "{told}"
            );
        }
    }
    assert!(tried > 100, "{tried} bounds");
}

#[test]
fn numbers_of_a_mood_that_do_not_fit_together_name_their_origin() {
    let told = message("", &[("ELPIS_EMOTION_SPIRAL_HISTORY_COUNT", "21")]);
    assert_eq!(
        told,
        "emotion.spiral_history_count is 21, but must be at most 20 (trajectory_history_size) \
         (from ELPIS_EMOTION_SPIRAL_HISTORY_COUNT in the environment)"
    );
    let told = message(
        "[emotion]\nvalence_limit = 0.2\nbaseline_valence = -0.5",
        &[],
    );
    assert!(
        told.contains("emotion.valence_limit is 0.2") && told.contains("elpis.toml:2"),
        "{told}"
    );
}

#[test]
fn wrong_types_and_words_are_named() {
    let table = [
        (
            "[model]\ntemperature = \"hot\"",
            "must be a value of type number, but is a string",
        ),
        (
            "[model]\nmmap = 1",
            "must be a value of type true or false, but is a whole number",
        ),
        (
            "[model]\npath = 3",
            "must be a value of type text, but is a whole number",
        ),
        (
            "[model]\nmax_tokens = 1.5",
            "must be a value of type whole number, but is a number",
        ),
        ("[model]\nseed = 1979-05-27", "but is a date"),
        (
            "model = 3",
            "model must be a value of type table, [model], but is a whole number",
        ),
        (
            "[model]\ntensor_split = [\"a\"]",
            "must be a value of type list of numbers, but is a string",
        ),
    ];
    for (toml, part) in table {
        let error = load(toml, &[]).unwrap_err();
        assert_eq!(error.kind(), "wrong-type");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(message("", &[("ELPIS_MODEL_MMAP", "maybe")]).contains("but is `maybe`"));
    let message = message("[model]\nbackend = \"llama_cp\"", &[]);
    assert!(
        message.contains("must be one of `llama-cpp`, `transformers`"),
        "{message}"
    );
    assert!(
        message.ends_with("; did you mean `llama-cpp`?"),
        "{message}"
    );
}

#[test]
fn all_errors_come_at_once() {
    let error = load(
        "[model]\ntop_p = 2\nmin_pp = 1\n",
        &[("ELPIS_MODEL_TOP_K", "x"), ("ELPIS_MODEL_TOP_P", "0.5")],
    )
    .unwrap_err();
    let kinds: Vec<_> = error.all().iter().map(SettingsError::kind).collect();
    assert_eq!(kinds, ["unknown-setting", "out-of-range", "wrong-type"]);
    assert!(error.to_string().starts_with("3 settings are wrong: "));
}

#[test]
fn values_from_code_are_checked() {
    let mut settings = Settings::default().runtime(RuntimeSettings::default().queue_limit(70_000));
    settings.model.temperature = f64::NAN;
    let error = settings.validate().unwrap_err();
    assert_eq!(error.all().len(), 2);
    assert!(error.all()[0].to_string().ends_with("(from code)"));
    // Other layers do not make it good.
    let loaded = SettingsLoader::new()
        .without_files()
        .base(settings.clone())
        .env([("ELPIS_MODEL_SEED", "1")]);
    assert_eq!(loaded.load().unwrap_err().all().len(), 2);

    let backoff = RuntimeSettings::default().restart_backoff_initial(Duration::from_secs(20));
    let error = Settings::default().runtime(backoff).validate().unwrap_err();
    let expected = "runtime.restart_backoff_initial_ms is 20000, but must be at most \
                    runtime.restart_backoff_max_ms, 10000 (from code)";
    assert_eq!(error.to_string(), expected);

    let mut settings = Settings::default();
    settings.model.tensor_split = Some(vec![0.0, 0.0]);
    assert_eq!(settings.validate().unwrap_err().kind(), "conflict");
}

#[test]
fn an_empty_variable_unsets_an_optional_setting_only() {
    let loaded = load("[model]\npath = \"org/name\"", &[("ELPIS_MODEL_PATH", "")]).unwrap();
    assert_eq!(loaded.settings.model.path, None);
    assert_eq!(
        load("", &[("ELPIS_MODEL_TOP_P", "")]).unwrap_err().kind(),
        "wrong-type"
    );
}

#[test]
fn files_that_were_named_must_be_there() {
    let empty: [(&str, &str); 0] = [];
    let loader = SettingsLoader::new().env(empty);
    let error = loader
        .clone()
        .file("/nowhere/elpis.toml")
        .load()
        .unwrap_err();
    assert_eq!(error.kind(), "unreadable");
    assert!(error.to_string().contains("/nowhere/elpis.toml"));
    assert_eq!(
        loader
            .clone()
            .dotenv("/nowhere/.env")
            .load()
            .unwrap_err()
            .kind(),
        "unreadable"
    );
    let folder = tempfile::tempdir().unwrap();
    loader.directory(folder.path()).load().unwrap();
}

#[test]
fn broken_files_are_refused_without_quoting_secrets() {
    let message = message("[model]\ntemperature = = 1", &[]);
    assert!(message.contains("elpis.toml:2: "), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(".env");
    fs::write(&dotenv, "A=1\nHF_TOKEN='hf_secret\n").unwrap();
    let empty: [(&str, &str); 0] = [];
    let error = SettingsLoader::new()
        .dotenv(&dotenv)
        .env(empty)
        .load()
        .unwrap_err();
    assert_eq!(error.kind(), "dotenv-syntax");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[cfg(unix)]
#[test]
fn only_our_variables_must_be_unicode() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let bad = || OsString::from_vec(vec![0xff]);
    let loader = SettingsLoader::new().without_files();
    loader
        .clone()
        .env([(OsString::from("OTHER"), bad()), (bad(), bad())])
        .load()
        .unwrap();
    let error = loader
        .env([(OsString::from("ELPIS_MODEL_PATH"), bad())])
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "ELPIS_MODEL_PATH in the environment is not UTF-8"
    );
}

#[test]
fn the_reference_documents_every_setting() {
    let text = reference_markdown();
    for &section in Section::ALL {
        assert!(text.contains(&format!("### `[{}]`", section.as_str())));
    }
    for field in fields() {
        assert!(text.contains(&format!("`{}`<br>`{}`", field.name(), field.variable())));
        assert!(
            field.doc().len() > 10,
            "{} has no documentation",
            field.full_name()
        );
    }
    assert!(text.contains("| number | 0 to 2 | `0.7` |"));
    let columns = |line: &str| line.matches('|').count();
    assert!(
        text.lines()
            .filter(|line| line.starts_with('|'))
            .all(|line| columns(line) == 6)
    );
    let mut names: Vec<_> = fields().map(elpis::settings::Field::variable).collect();
    names.dedup();
    assert_eq!(names.len(), fields().count());
}
