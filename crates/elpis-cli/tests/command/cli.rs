//! The `elpis` command.

mod asking;
mod doctor;
mod hints;
mod notices;
mod replay;
#[cfg(target_os = "linux")]
mod serving;
#[cfg(target_os = "linux")]
mod signals;
mod soak;
mod stores;
mod talking;
mod training;
mod untrusted;
mod vectors;

use std::process::{Command, Output};

/// The command in an empty folder, without settings of ours.
fn command(arguments: &[&str], folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elpis"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ELPIS_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("GOMP_SPINCOUNT")
        .env_remove("OMP_WAIT_POLICY")
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu");
    command
}

fn elpis(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(arguments, folder.path()).output().unwrap()
}

fn log() -> String {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/emotion_sequences.jsonl"
    )
    .to_owned()
}

#[test]
fn completions_and_manual_pages_are_written() {
    for shell in ["bash", "zsh", "fish"] {
        let output = elpis(&["completions", shell]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            ["calibrate", "max-tokens", "test_failed", "llama-cpp"]
                .iter()
                .all(|word| text.contains(word)),
            "{shell}"
        );
    }
    let page = String::from_utf8(elpis(&["man"]).stdout).unwrap();
    assert!(
        page.contains(".TH elpis")
            && ["Exit codes", "129", "130", "143"]
                .iter()
                .all(|word| page.contains(word)),
        "{page}"
    );
    let folder = tempfile::tempdir().unwrap();
    let output = elpis(&["man", "--output", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for page in ["elpis.1", "elpis-ask.1", "elpis-vectors-train.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
