//! Signals: everything ends in good order, at any time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::{command, elpis};
use crate::process::{catches, children, ended, is_gone, send, within};
use elpis_testkit::hub_server::{HubServer, Repo};

/// Both signals, with the exit codes that tell of them.
const BOTH: [(Signal, i32); 2] = [(Signal::TERM, 143), (Signal::INT, 130)];

/// Starts the command, with a worker of its own, behind pipes.
fn begin(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Child {
    command(arguments, folder)
        .env("ELPIS_RUNTIME_ISOLATION", "process")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The worker of a process.
fn worker(of: u32) -> u32 {
    within("a worker", || children(of).first().copied())
}

#[test]
fn a_conversation_that_is_told_to_stop_keeps_what_was_felt() {
    for (signal, code) in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let mut child = begin(&["chat", "--store", "moods.db"], &[], folder.path());
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"/feel failure 2\n")
            .unwrap();
        let mut told = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut told).unwrap();
        assert!(told.starts_with("frustrated"), "{told}");
        let worker = worker(child.id());
        send(child.id(), signal);
        let output = ended(child);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        within("the worker's end", || is_gone(worker).then_some(()));
        let store = folder.path().join("moods.db").display().to_string();
        let checked = elpis(&["store", "check", &store]);
        assert!(checked.status.success(), "{checked:?}");
        let kept = elpis(&["emotion", "replay", &store, "--session", "chat"]);
        let kept = String::from_utf8(kept.stdout).unwrap();
        assert!(kept.contains("\"event\":\"failure\""), "{kept}");
    }
}

#[test]
fn an_answer_that_is_stopped_ends_its_line() {
    for (signal, code) in BOTH {
        let folder = tempfile::tempdir().unwrap();
        // A list that no reply comes to the end of.
        let schema = r#"{"type": "array", "items": {"type": "boolean"}, "minItems": 300}"#;
        std::fs::write(folder.path().join("schema.json"), schema).unwrap();
        let arguments = [
            "ask",
            "--no-stdin",
            "--schema=schema.json",
            "--store=moods.db",
            "go on",
        ];
        let mut child = begin(&arguments, &[], folder.path());
        let mut out = child.stdout.take().unwrap();
        let mut first = [0];
        out.read_exact(&mut first).unwrap();
        let worker = worker(child.id());
        send(child.id(), signal);
        let mut text = String::from_utf8(first.to_vec()).unwrap();
        out.read_to_string(&mut text).unwrap();
        let output = ended(child);
        assert_eq!(output.status.code(), Some(code), "{text} {output:?}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        within("the worker's end", || is_gone(worker).then_some(()));
        let store = folder.path().join("moods.db").display().to_string();
        assert!(elpis(&["store", "check", &store]).status.success());
    }
}

#[test]
fn measuring_is_stopped() {
    for (signal, code) in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let child = begin(
            &["bench", "--sessions=2", "--rounds=1000"],
            &[],
            folder.path(),
        );
        catches(child.id(), signal);
        let worker = worker(child.id());
        send(child.id(), signal);
        let output = ended(child);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
        within("the worker's end", || is_gone(worker).then_some(()));
    }
}

#[test]
fn a_trial_that_is_stopped_tells_what_it_knows() {
    for (signal, code) in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [
            "soak",
            "--seconds=3600",
            "--sessions=2",
            "--fault-every=0",
            "--json",
        ];
        let variables = [("ELPIS_STORE_PATH", "moods.db")];
        let child = begin(&arguments, &variables, folder.path());
        catches(child.id(), signal);
        let worker = worker(child.id());
        // It has begun once it keeps what its sessions feel.
        let journal = folder.path().join("moods.db-wal");
        within("an event", || {
            let size = std::fs::metadata(&journal).ok()?.len();
            (size > 64 << 10).then_some(())
        });
        send(child.id(), signal);
        let output = ended(child);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        within("the worker's end", || is_gone(worker).then_some(()));
        let store = folder.path().join("moods.db").display().to_string();
        assert!(elpis(&["store", "check", &store]).status.success());
        // Stopped within its first second, it may have counted nothing yet.
        if !output.stdout.is_empty() {
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(report["seconds"].as_f64().unwrap() < 3600.0, "{report}");
            assert_eq!(report["lost_events"], 0, "{report}");
        }
    }
}

#[test]
fn a_second_signal_does_not_wait_for_good_order() {
    let folder = tempfile::tempdir().unwrap();
    // Generations may take as long as they want, and the worker stands still.
    let variables = [
        ("ELPIS_RUNTIME_SHUTDOWN_TIMEOUT_SECONDS", "3600"),
        ("ELPIS_RUNTIME_WATCHDOG_SECONDS", "3600"),
    ];
    let mut child = begin(&["chat"], &variables, folder.path());
    let input = child.stdin.as_mut().unwrap();
    input.write_all(b"/state\n").unwrap();
    let mut told = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut told)
        .unwrap();
    let worker = worker(child.id());
    send(worker, Signal::STOP);
    child.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    within("the end", || {
        send(child.id(), Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(100));
        child.try_wait().unwrap()
    });
    send(worker, Signal::KILL);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_download_is_stopped() {
    let server = HubServer::start(Repo::new().large("m-Q8_0.gguf", &vec![7; 100_000]));
    server.faults(|faults| faults.stall_after = Some(1000));
    let address = server.address();
    let cases: [(&[&str], Signal, i32); 7] = [
        (&["ask", "--no-stdin", "hello"], Signal::INT, 130),
        (&["ask", "--no-stdin", "hello"], Signal::TERM, 143),
        (&["chat"], Signal::INT, 130),
        (&["bench"], Signal::INT, 130),
        (&["doctor"], Signal::TERM, 143),
        (&["soak"], Signal::INT, 130),
        (&["vectors", "train", "--output=set"], Signal::INT, 130),
    ];
    for (arguments, signal, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        let hub = folder.path().join("hub").display().to_string();
        let before = server.bodies_sent("/cdn/m-Q8_0.gguf");
        let variables = [
            ("ELPIS_MODEL_PATH", "org/name"),
            ("HF_ENDPOINT", &address),
            ("HF_HOME", &hub),
            ("HF_HUB_CACHE", &hub),
            ("HF_HUB_OFFLINE", "0"),
        ];
        let child = begin(arguments, &variables, folder.path());
        within("a download", || {
            (server.bodies_sent("/cdn/m-Q8_0.gguf") > before).then_some(())
        });
        send(child.id(), signal);
        let output = ended(child);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
        assert!(!folder.path().join("set").exists());
    }
}
