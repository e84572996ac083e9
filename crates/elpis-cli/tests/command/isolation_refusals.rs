//! A model's own process that cannot be had: each reason is told.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::worker::{ELPIS, Program, alone, hello, in_process};
use elpis::backend::BackendError;
use elpis::settings::{Isolation, ModelTrust};
use elpis::{Elpis, Error, Settings, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_says_why_as_ever() {
    let program = Program::new();
    let file = program.folder.path().join("text.gguf");
    fs::write(&file, "not a model at all").unwrap();
    let mut errors = Vec::new();
    for mut settings in [in_process(), program.settings()] {
        settings.model.path = Some(file.display().to_string());
        errors.push(Elpis::start(settings).await.unwrap_err());
    }
    let [Error::Backend(here), Error::Backend(there)] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!(here, there);
    assert!(matches!(
        here,
        BackendError::NotAModel {
            expected: "GGUF",
            ..
        }
    ));
    assert!(!program.runs());
}

async fn unusable(settings: Settings) -> String {
    let error = Elpis::start(settings).await.unwrap_err();
    assert!(
        matches!(error, Error::Backend(BackendError::WorkerUnusable { .. })),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_worker_is_told_what_to_do() {
    // This program: a test, which knows nothing of workers.
    let mut settings = Program::new().settings();
    settings.runtime.worker = None;
    let own = unusable(settings.clone()).await;
    assert!(
        own.contains("exited with code") && own.contains("serve_if_asked"),
        "{own}"
    );
    settings.runtime.worker = Some("/nonexistent/worker".into());
    let missing = unusable(settings).await;
    assert!(
        missing.contains("/nonexistent/worker: No such file"),
        "{missing}"
    );
    let chatty = Program::script("exec yes 'no worker at all, but it has a lot to say' >&0");
    let chatty = unusable(chatty.settings()).await;
    assert!(
        chatty.contains("something else") && chatty.contains("serve_if_asked"),
        "{chatty}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_build_is_refused() {
    let padding = "\\000".repeat(15);
    let old = Program::script(&format!(
        "printf 'elpis-wk\\001\\002\\000\\0000.0.9{padding}' >&0; sleep 60"
    ));
    let old = unusable(old.settings()).await;
    assert!(old.contains("speaks protocol 513 of elpis 0.0.9"), "{old}");
    assert!(
        old.contains(concat!("of elpis ", env!("CARGO_PKG_VERSION"))),
        "{old}"
    );
}

/// A model of the tests, tried in a process of its own before it is loaded.
fn tried(program: &Program) -> Settings {
    let mut settings = program.settings();
    settings.runtime.isolation = Isolation::None;
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gguf/qwen2.gguf");
    settings.model.path = Some(model.display().to_string());
    settings.model.trust = ModelTrust::Isolate;
    settings.model.emotion_vectors_dir = None;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_ends_the_trials_process_is_not_loaded() {
    for (rest, told) in [
        ("kill -SEGV $$", "signal 11"),
        ("exit 3", "exited with code 3"),
    ] {
        let program = Program::script(&format!("{}; {rest}", hello()));
        let error = Elpis::start(tried(&program)).await.unwrap_err();
        let Error::Backend(BackendError::TrialFailed { path, reason }) = &error else {
            panic!("{error:?}")
        };
        assert!(path.ends_with("qwen2.gguf"));
        assert!(reason.contains(told), "{reason}");
    }
    // Without a process to try it in, it is not loaded either.
    let mut settings = tried(&Program::new());
    settings.runtime.worker = Some("/nonexistent/worker".into());
    unusable(settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_survives_its_trial_runs_in_this_process() {
    let program = Program::new();
    let elpis = Elpis::start(tried(&program)).await.unwrap();
    assert!(!program.runs());
    elpis.shutdown().await;
    // What refuses it is told as ever.
    let file = program.folder.path().join("text.gguf");
    fs::write(&file, "not a model at all").unwrap();
    let mut settings = tried(&program);
    settings.model.path = Some(file.display().to_string());
    let error = Elpis::start(settings).await.unwrap_err();
    assert!(
        matches!(error, Error::Backend(BackendError::NotAModel { .. })),
        "{error:?}"
    );
    // The bundled model needs none, and what is not there is not asked.
    let mut settings = tried(&program);
    settings.model.path = None;
    settings.runtime.worker = Some("/nonexistent/worker".into());
    Elpis::start(settings).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_is_ended() {
    let hello = hello();
    for (rest, told) in [
        ("yes >&0", "broke the protocol"),
        ("exit 3", "exited with code 3"),
        // It hangs instead of loading the model.
        ("sleep 60", "gave no answer for 2 s"),
    ] {
        let program = Program::script(&format!("{hello}; {rest}"));
        let mut settings = program.settings();
        settings.runtime.watchdog = Some(Duration::from_secs(2));
        let error = Elpis::start(settings).await.unwrap_err();
        let Error::Backend(BackendError::WorkerDied { reason }) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains(told), "{reason}");
    }
}

#[test]
fn a_program_that_forgets_to_serve_does_not_start_itself_for_ever() {
    let output = alone("isolation_refusals::in_a_worker_no_worker_is_started")
        .env(worker::MARKER, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test"]
async fn in_a_worker_no_worker_is_started() {
    let program = Program::new();
    let refused = unusable(program.settings()).await;
    assert!(refused.contains("started as a worker itself"), "{refused}");
    assert!(!program.runs());
}

#[test]
fn a_worker_without_a_runtime_says_so() {
    let by_hand = Command::new(ELPIS).arg(worker::ARGUMENT).output().unwrap();
    assert!(!by_hand.status.success());
    let text = String::from_utf8(by_hand.stderr).unwrap();
    assert!(text.contains("runtime.isolation"), "{text}");
    let marked = Command::new(ELPIS)
        .env(worker::MARKER, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!marked.status.success());
    let text = String::from_utf8(marked.stderr).unwrap();
    assert!(text.contains(worker::MARKER), "{text}");
}
