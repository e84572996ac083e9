//! `elpis bench` on the bundled model.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_elpis"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ELPIS_")) {
        command.env_remove(name);
    }
    command
        .arg("bench")
        .args(arguments)
        .current_dir(folder.path())
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
        // What is set for serving: measuring must not touch it.
        .env("ELPIS_STORE_PATH", folder.path().join("feelings.db"))
        .env("ELPIS_METRICS_LISTEN", "127.0.0.1:9");
    let output = command.output().unwrap();
    assert!(!folder.path().join("feelings.db").exists());
    output
}

#[test]
fn every_number_of_sessions_is_measured_without_and_with_vectors() {
    let output = bench(&[
        "--sessions=1,3",
        "--rounds=2",
        "--tokens=6",
        "--words=8",
        "--json",
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["backend"], "llama-cpp");
    let levels = report["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 2);
    for (level, sessions) in levels.iter().zip([1, 3]) {
        assert_eq!(level["sessions"], sessions);
        assert!(level["prompt_tokens"].as_u64().unwrap() >= 8);
        let number = |name: &str| level[name].as_f64().unwrap();
        // Six tokens for each session in each of the turns, however slow the machine.
        assert!(
            (0.01..1e6).contains(&number("tokens_per_second")),
            "{level}"
        );
        let ratio = number("steered_tokens_per_second") / number("tokens_per_second");
        assert!(
            (ratio / number("steered_ratio")).log10().abs() < 2.0,
            "{level}"
        );
        assert!(number("token_gap_p50_seconds") <= number("token_gap_p99_seconds"));
        assert!(number("first_token_seconds") > 0.0);
    }
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_the_limit() {
    let output = bench(&["--sessions=1", "--rounds=1", "--words=2000"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("1024 tokens"), "{told}");
}

#[test]
fn numbers_of_sessions_are_checked() {
    for wrong in ["0", "1,,2", "255", "many"] {
        let output = bench(&["--sessions", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
