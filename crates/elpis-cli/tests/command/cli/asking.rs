//! `elpis ask`.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::{command, elpis};

/// Runs the command with something on standard input.
fn fed(arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(arguments, folder.path());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_question_is_answered_under_what_was_felt() {
    let ask = |event: &str| {
        let arguments = [
            "ask",
            "--json",
            "--seed=1",
            "--max-tokens=24",
            "--feel",
            event,
            "-",
        ];
        let output = fed(&arguments, "What do you think about chess?\n");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (glad, again, cross) = (ask("success=2"), ask("success=2"), ask("failure=2"));
    assert_eq!(glad["text"], again["text"], "a seed fixes the reply");
    assert_ne!(glad["text"], cross["text"], "a mood changes it");
    let modulation = &glad["report"]["modulations"][0];
    assert!(modulation["valence"].as_f64().unwrap() > 0.1);
    assert_eq!(modulation["sampling"]["seed"], 1);
    assert!(cross["state"]["valence"].as_f64().unwrap() < 0.0);

    // Words and input together, as plain text.
    let output = fed(&["ask", "--max-tokens=8", "Read", "this:"], "chess");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.trim().len() > 1 && text.ends_with('\n'));
    assert!(output.stderr.is_empty());
}

#[test]
fn an_answer_keeps_to_a_schema_and_a_session_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (schema, store) = (at("schema.json"), at("moods.db"));
    let words = r#"{"type": "object", "properties": {"sure": {"type": "boolean"}},
                    "required": ["sure"], "additionalProperties": false}"#;
    std::fs::write(&schema, words).unwrap();
    let output = fed(&["ask", "--schema", &schema, "Are you sure?"], "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["sure"].is_boolean(), "{answer}");
    for _ in 0..2 {
        let arguments = [
            "ask",
            "--store",
            &store,
            "--session=ada",
            "--feel=failure",
            "--json",
        ];
        let output = fed(&arguments, "hello");
        assert!(output.status.success(), "{output:?}");
    }
    let replayed = elpis(&["emotion", "replay", &store, "--session", "ada"]);
    let told = String::from_utf8(replayed.stdout).unwrap();
    assert_eq!(told.matches("\"event\":\"failure\"").count(), 2, "{told}");
}

#[test]
fn questions_that_cannot_be_asked_say_what_to_do() {
    for (arguments, code, words) in [
        (
            &["ask", "--feel=sucess", "hello"][..],
            1,
            "did you mean \"success\"?",
        ),
        (&["ask"], 1, "nothing to answer"),
        (
            &["ask", "--schema=no-such-file", "hello"],
            1,
            "cannot read no-such-file",
        ),
        (&["ask", "--max-tokens=0", "hello"], 2, "max-tokens"),
    ] {
        let output = fed(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn standard_input_is_left_alone_if_told_so() {
    let folder = tempfile::tempdir().unwrap();
    // A pipe that stays open, as a loop over lines or a daemon leaves it.
    let mut child = command(
        &["ask", "--no-stdin", "--max-tokens=4", "hello"],
        folder.path(),
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let held = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && !output.stdout.is_empty(),
        "{output:?}"
    );
    drop(held);
    let told = fed(&["ask", "--no-stdin"], "hello");
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told = fed(
        &["ask", "--max-tokens=4", "What", "changed?", "-"],
        "a diff",
    );
    assert!(told.status.success(), "{told:?}");
}

#[test]
fn events_of_ones_own_are_felt_where_they_are_declared_and_others_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |variables: &[(&str, &str)]| {
        let arguments = [
            "ask",
            "--json",
            "--no-stdin",
            "--max-tokens=4",
            "--feel=thunderstorm=2",
            "hello",
        ];
        let mut command = command(&arguments, folder.path());
        command.envs(variables.iter().copied()).output().unwrap()
    };
    for variables in [
        ("ELPIS_EMOTION_EVENTS", "thunderstorm -0.1 0.3"),
        ("ELPIS_EMOTION_ALLOW_UNKNOWN_EVENTS", "true"),
    ] {
        let output = ask(&[variables]);
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let arousal = &answer["report"]["modulations"][0]["arousal"];
        assert!(arousal.as_f64().unwrap() > 0.0, "{answer}");
    }
    let refused = ask(&[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("no event is named \"thunderstorm\"") && told.contains("emotion.events"),
        "{told}"
    );
}

#[test]
fn a_wrong_log_filter_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["completions", "bash"], folder.path())
        .env("ELPIS_LOG", "elpis=loud")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("ELPIS_LOG") && told.contains("it is ignored"),
        "{told}"
    );
}
