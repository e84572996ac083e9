//! What is told before an answer, and what is not kept after it.

use std::path::Path;
use std::process::{Output, Stdio};

use elpis::SessionId;
use elpis::emotion::{EmotionConfig, EmotionEvent, JournalEntry, JournalRecord, replay_entry};
use elpis::settings::StoreSettings;
use elpis::store::{SessionChange, SqliteStore, StateStore};

use super::{command, elpis};

fn run(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> (Output, String) {
    let mut command = command(arguments, folder);
    for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "HF_HUB_CACHE"] {
        command.env_remove(name);
    }
    let output = command
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    (output, told)
}

/// One line each, and nothing else, before the answer.
#[test]
fn what_changes_an_answer_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let ask = ["ask", "--no-stdin", "--max-tokens=4", "hello"];
    for (variable, value, words) in [
        (
            "ELPIS_MODEL_EMOTION_VECTORS_DIR",
            "nowhere",
            "no vectors folder nowhere",
        ),
        ("ELPIS_MODEL_PATH", "", "the small bundled model answers"),
    ] {
        let (output, told) = run(&ask, &[(variable, value)], folder.path());
        assert!(output.status.success(), "{told}");
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
        let quiet = ["ask", "-q", "--no-stdin", "--max-tokens=4", "hello"];
        let (_, told) = run(&quiet, &[(variable, value)], folder.path());
        assert!(told.is_empty(), "{told}");
        let mut chat = command(&["chat", "--max-tokens=4"], folder.path());
        let mut child = chat
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let line = b"hello\n";
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line).unwrap();
        let told = child.wait_with_output().unwrap().stderr;
        assert!(String::from_utf8(told).unwrap().contains(words));
    }
}

#[test]
fn a_token_over_plain_http_is_told_by_ask_and_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().display().to_string();
    let plain = [
        ("ELPIS_MODEL_PATH", "org/name"),
        ("HF_ENDPOINT", "http://127.0.0.1:9"),
        ("HF_TOKEN", "hf_secret"),
        ("HF_HOME", home.as_str()),
        ("HF_HUB_OFFLINE", "1"),
    ];
    let words = "is sent to http://127.0.0.1:9 without encryption";
    let (output, told) = run(&["ask", "--no-stdin", "hello"], &plain, folder.path());
    assert!(!output.status.success());
    assert!(
        told.contains(words) && !told.contains("hf_secret"),
        "{told}"
    );
    let (output, _) = run(&["doctor", "--no-model"], &plain, folder.path());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains(words) && !shown.contains("hf_secret"),
        "{shown}"
    );
    // Encrypted, or without a token, there is nothing to tell.
    for replaced in [("HF_ENDPOINT", "https://127.0.0.1:9"), ("HF_TOKEN", "")] {
        let mut variables = plain.to_vec();
        variables.retain(|(name, _)| *name != replaced.0);
        variables.push(replaced);
        let (_, told) = run(&["ask", "--no-stdin", "hello"], &variables, folder.path());
        assert!(!told.contains("without encryption"), "{told}");
    }
}

#[test]
fn misspelt_variables_commands_and_files_are_told_with_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (output, told) = run(
        &["ask", "--no-stdin", "hello"],
        &[("ELPIS_MODLE_PATH", "m.gguf")],
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("did you mean ELPIS_MODEL_PATH?"), "{told}");
    for (word, hint) in [
        ("aks", "did you mean `elpis ask`?"),
        ("hi", "`elpis ask \"hi\"`"),
    ] {
        let (output, told) = run(&[word], &[], folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(told.contains(hint), "{told}");
    }
    std::fs::write(folder.path().join("e.toml"), [0xff, 0xfe]).unwrap();
    let (_, told) = run(
        &["doctor", "--no-model", "--config=e.toml"],
        &[],
        folder.path(),
    );
    assert!(
        told.contains("hint: it must be a UTF-8 text file"),
        "{told}"
    );
    std::fs::create_dir(folder.path().join("moods")).unwrap();
    let (_, told) = run(&["store", "list", "moods"], &[], folder.path());
    assert!(
        told.contains("moods is not a store of elpis: a folder"),
        "{told}"
    );
}

/// A store whose file is larger than `store.max_mib` lets it be.
fn overfull(path: &Path) {
    let store = SqliteStore::open(path, &StoreSettings::default()).unwrap();
    let entry = |number: u32| JournalEntry {
        at: 1e9 + f64::from(number),
        what: match number {
            0 => JournalRecord::Started(std::sync::Arc::new(EmotionConfig::default())),
            _ => JournalRecord::Felt(EmotionEvent::named("success").unwrap()),
        },
    };
    for session in 0..400 {
        let entries: Vec<_> = (0..8).map(entry).collect();
        let mut after = None;
        for entry in &entries {
            replay_entry(&mut after, entry).unwrap();
        }
        let change = SessionChange {
            session: SessionId::new(format!("s{session}")).unwrap(),
            forgotten: false,
            first: 0,
            entries,
            after,
        };
        store.commit(&[change]).unwrap();
    }
}

#[test]
fn changes_that_could_not_be_written_are_a_failure_and_chat_tells_at_once() {
    let folder = tempfile::tempdir().unwrap();
    overfull(&folder.path().join("moods.db"));
    let small = [("ELPIS_STORE_MAX_MIB", "1")];
    let ask = [
        "ask",
        "--no-stdin",
        "--store=moods.db",
        "--feel=success",
        "--max-tokens=4",
        "hello",
    ];
    let (output, told) = run(&ask, &small, folder.path());
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(!output.stdout.is_empty(), "it is answered all the same");
    assert!(
        told.contains("were not written and are lost") && told.contains("store.max_mib"),
        "{told}"
    );
    let (output, told) = run(&ask, &[], folder.path());
    assert!(output.status.success(), "{told}");

    let mut chat = command(&["chat", "--store=moods.db"], folder.path());
    let mut child = chat
        .envs(small)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"/feel success\n").unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    // While the conversation goes on, and without a further line.
    let told = lines.find_map(|line| {
        line.ok()
            .filter(|line| line.contains("only kept in memory"))
    });
    assert!(told.is_some_and(|told| told.contains("store.max_mib")));
    drop(input);
    drop(std::thread::spawn(move || lines.count()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn one_of_a_kind_is_counted_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let ask = [
        "ask",
        "--no-stdin",
        "--store=moods.db",
        "--feel=success",
        "--max-tokens=4",
        "hi",
    ];
    let (output, told) = run(&ask, &[], folder.path());
    assert!(output.status.success(), "{told}");
    let store = folder.path().join("moods.db").display().to_string();
    let told = |arguments: &[&str]| String::from_utf8(elpis(arguments).stdout).unwrap();
    assert!(told(&["store", "check", &store]).contains(": 1 session, "));
    // A script is not asked.
    assert!(told(&["store", "forget", &store, "--session=ask"]).contains("forgotten"));
    assert!(told(&["store", "check", &store]).contains(": 0 sessions, 0 journal entries, whole"));
}
