//! `elpis doctor`.

use std::process::Output;

use serde_json::Value;

use super::{command, elpis};

#[test]
fn doctor_shows_what_is_in_force_and_where_it_came_from() {
    let output = elpis(&["doctor", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["hardware"]["selected"], "cpu");
    assert_eq!(report["model"]["backend"], "llama-cpp");
    assert_eq!(report["vectors"]["emotions"].as_array().unwrap().len(), 4);
    let row = &report["settings"]["model.hardware_backend"];
    assert_eq!(row["value"], "cpu");
    let origin = row["origin"].as_str().unwrap();
    assert!(origin.contains("ELPIS_MODEL_HARDWARE_BACKEND"), "{origin}");
    #[cfg(unix)]
    assert_eq!(report["openmp_spin_count"], "3000");
    assert_eq!(report["template"]["origin"], "own");
    let text = String::from_utf8(elpis(&["doctor", "--quiet"]).stdout).unwrap();
    for words in [
        "model.temperature",
        "parameters",
        "template: the model's own; tools as ",
        "layer 2 (norm ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let text = String::from_utf8(elpis(&["doctor", "--no-model"]).stdout).unwrap();
    assert!(
        text.contains("model.temperature") && !text.contains("template:"),
        "{text}"
    );
}

/// What doctor warns of, by code, under so many variables.
fn warnings(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&[&["doctor", "--json"], arguments].concat(), folder.path());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output, report)
}

#[test]
fn doctor_warns_of_what_the_bundled_model_lacks() {
    let (output, report) = warnings(&[], &[]);
    assert!(output.status.success(), "{output:?}");
    let found = report["warnings"].as_array().unwrap();
    for warning in found {
        let keys: Vec<_> = warning.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "figures", "problem", "advice"], "{warning}");
        assert!(warning["code"].is_string() && warning["figures"].is_object());
        for words in ["problem", "advice"] {
            let words = warning[words].as_str().unwrap();
            assert!(words.len() > 10, "{warning}");
        }
    }
    let codes: Vec<_> = found.iter().map(|warning| &warning["code"]).collect();
    assert!(codes.contains(&&Value::from("no-store")), "{codes:?}");
    // It has a whole set of vectors, and needs next to no memory.
    for code in [
        "no-vectors",
        "emotions-without-vector",
        "weights-exceed-memory",
    ] {
        assert!(!codes.contains(&&Value::from(code)), "{codes:?}");
    }
}

#[test]
fn doctor_warns_of_a_setting_and_can_be_strict_about_it() {
    let variables = [
        ("ELPIS_MODEL_N_THREADS", "1000"),
        ("ELPIS_METRICS_LISTEN", "0.0.0.0:1"),
    ];
    let (output, report) = warnings(&["--no-model"], &variables);
    assert!(output.status.success(), "{output:?}");
    let found = report["warnings"].as_array().unwrap();
    let of = |code: &str| {
        found
            .iter()
            .find(|warning| warning["code"] == code)
            .unwrap()
    };
    assert_eq!(of("threads-beyond-cores")["figures"]["threads"], 1000);
    assert_eq!(of("metrics-exposed")["figures"]["address"], "0.0.0.0:1");

    let (output, again) = warnings(&["--no-model", "--strict"], &variables);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report["warnings"], again["warnings"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--strict"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let output = command(&["doctor", "--no-model"], folder.path())
        .envs(variables)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, told) = text.split_once("\nwarnings\n").unwrap();
    assert!(told.contains("model.n_threads is 1000") && told.contains("at most"));
}
