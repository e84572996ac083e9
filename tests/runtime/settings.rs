//! Settings from every layer: what is taken, what is refused, and what the error says.

mod names;
mod ranges;

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
    let key = format!("ada {} chat", "0".repeat(64));
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
            "list of keys" => (key.as_str(), format!("[\"{key}\"]")),
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
