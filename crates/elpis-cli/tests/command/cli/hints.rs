//! What the command says to do about its failures.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use super::command;

/// Runs the command, which must fail, and returns what it said.
fn failure(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> String {
    let output = command(arguments, folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The lines with hints.
fn hints(told: &str) -> Vec<&str> {
    let lines = told.lines();
    lines
        .filter_map(|line| line.strip_prefix("hint: "))
        .collect()
}

/// Arguments, variables, a word of the failure and one of its hint.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn failures_say_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("page.gguf"), "<html>").unwrap();
    std::fs::write(at("notes.db"), "no store").unwrap();
    std::fs::create_dir(at("bad-set")).unwrap();
    std::fs::write(at("bad-set/calm.safetensors"), "garbage").unwrap();
    std::fs::create_dir(at("empty-set")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (page, notes, bad, hub) = (at("page.gguf"), at("notes.db"), at("bad-set"), at("hub"));
    let empty = at("empty-set");
    let cases: [Case; 14] = [
        (
            &["doctor"],
            &[("ELPIS_MODEL_TEMPRATURE", "1")],
            "did you mean ELPIS_MODEL_TEMPERATURE?",
            "docs/settings.md",
        ),
        (
            &["doctor"],
            &[("ELPIS_MODEL_TEMPERATURE", "9")],
            "must be 0 to 2",
            "the default of model.temperature is 0.7",
        ),
        (
            &["ask", "hello"],
            &[("ELPIS_MODEL_PATH", "./nowhere.gguf")],
            "there is no model",
            "model.path",
        ),
        (
            &["ask", "hello"],
            &[("ELPIS_MODEL_PATH", "~/models/x.gguf")],
            "~/models/x.gguf",
            "write the whole path",
        ),
        (
            &["ask", "hello"],
            &[("ELPIS_MODEL_PATH", &page)],
            "is not a GGUF file",
            "fetch it again",
        ),
        (
            &["ask", "hello"],
            &[
                ("ELPIS_MODEL_PATH", "org/name"),
                ("HF_HUB_OFFLINE", "1"),
                ("HF_HOME", &hub),
            ],
            "not in the cache",
            "unset HF_HUB_OFFLINE",
        ),
        (
            &["ask", "hello"],
            &[("ELPIS_MODEL_CONTEXT_LENGTH", "131072")],
            "outside the limit",
            "model.context_length",
        ),
        (
            &["ask", "hello"],
            &[("ELPIS_MODEL_EMOTION_VECTORS_DIR", &bad)],
            "calm.safetensors",
            "damaged",
        ),
        (
            &["vectors", "calibrate", "--vectors", "nowhere"],
            &[],
            "there is no vectors folder nowhere",
            "elpis vectors train --output nowhere",
        ),
        (
            &["vectors", "calibrate", "--vectors", &empty],
            &[],
            "holds no vectors",
            "elpis vectors train",
        ),
        (
            &["vectors", "inspect", "nowhere.pt"],
            &[],
            "cannot read nowhere.pt",
            "working directory",
        ),
        (
            &["ask", "--store", &notes, "hello"],
            &[],
            "is not a store",
            "name another file",
        ),
        (
            &["doctor"],
            &[("ELPIS_METRICS_LISTEN", &port)],
            "metrics.listen",
            "choose another port",
        ),
        (&["chat"], &[], "not a terminal", "-it"),
    ];
    for (arguments, variables, problem, hint) in cases {
        let told = failure(arguments, variables, folder.path());
        assert!(told.contains(problem), "{arguments:?}: {told}");
        let found = hints(&told);
        assert!(
            found.len() == 1 && found[0].contains(hint),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn a_store_in_use_says_what_may_be_done_beside_it() {
    use elpis::settings::StoreSettings;
    use elpis::store::SqliteStore;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moods.db");
    let held = SqliteStore::open(&file, &StoreSettings::default()).unwrap();
    let store = file.display().to_string();
    let told = failure(&["ask", "--store", &store, "hello"], &[], folder.path());
    assert!(told.contains("in use"), "{told}");
    assert!(hints(&told)[0].contains("elpis store export"), "{told}");
    drop(held);
}

#[test]
fn what_is_no_failure_has_no_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["doctor", "--no-model"], folder.path())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let told = failure(
        &["doctor", "--no-model", "--strict"],
        &[("ELPIS_MODEL_SEED", "7")],
        folder.path(),
    );
    assert!(
        told.contains("--strict") && hints(&told).is_empty(),
        "{told}"
    );
}
