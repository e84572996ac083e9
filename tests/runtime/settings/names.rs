//! Unknown names of settings.

use std::fs;

use elpis::settings::SettingsLoader;

use super::{load, message};

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
