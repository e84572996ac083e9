//! What others wrote never acts on the terminal.

use std::path::Path;
use std::process::Output;

use elpis::SessionId;
use elpis::emotion::{EmotionConfig, EmotionEvent, JournalEntry, JournalRecord, replay_entry};
use elpis::settings::StoreSettings;
use elpis::store::{SessionChange, SqliteStore, StateStore};

use super::command;

/// Clears a terminal, sets its title, and turns text around.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}fugg\u{2066}";

fn acts(letter: char) -> bool {
    let turns = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (letter.is_control() && !matches!(letter, '\n' | '\t'))
}

/// What a command says, which nothing acts in and which names what is evil.
fn said(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> Output {
    let output = command(arguments, folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = [&output.stdout, &output.stderr].map(|bytes| str::from_utf8(bytes).unwrap());
    for text in text {
        assert!(!text.contains(acts), "{arguments:?}: {text:?}");
    }
    let text = text.concat();
    assert!(text.contains("fugg"), "{arguments:?}: {text}");
    output
}

fn safetensors(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; bytes]);
    file
}

#[test]
fn names_of_files_and_what_is_in_them_are_shown_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).unwrap();
        name.to_owned()
    };
    let evil_file = format!("{EVIL}.safetensors");
    let json = serde_json::to_string(EVIL).unwrap();
    let header = format!(r#"{{{json}:{{"dtype":"F32","shape":[2,2,2],"data_offsets":[0,32]}}}}"#);
    let tensors = file("v.safetensors", &safetensors(&header, 32));
    let toml = json.replace('\u{9b}', "\\u009b");
    let key = file("key.toml", format!("[model]\n{toml} = 1\n").as_bytes());
    let value = file(
        "value.toml",
        format!("[model]\nbackend = {toml}\n").as_bytes(),
    );
    for arguments in [
        &["store", "list", &evil_file][..],
        &["store", "check", &evil_file],
        &["vectors", "inspect", &evil_file],
        &["vectors", "inspect", &tensors],
        &["doctor", "--no-model", "--config", &evil_file],
        &["doctor", "--no-model", "--config", &key],
        &["doctor", "--no-model", "--config", &value],
        &["store", "import", &evil_file, "new.db"],
        &["emotion", "replay", &evil_file],
    ] {
        let output = said(arguments, &[], folder.path());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
    let variable = ("ELPIS_MODEL_BACKEND", EVIL);
    said(&["doctor", "--no-model"], &[variable], folder.path());
    assert_eq!(said(&[EVIL], &[], folder.path()).status.code(), Some(2));
}

#[test]
fn sessions_of_a_store_are_shown_plainly_and_come_back_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let name = "\u{202e}fugg\u{2066}";
    let mut after = None;
    let entries = vec![
        JournalEntry {
            at: 1e9,
            what: JournalRecord::Started(std::sync::Arc::new(EmotionConfig::default())),
        },
        JournalEntry {
            at: 1e9 + 1.0,
            what: JournalRecord::Felt(EmotionEvent::named("success").unwrap()),
        },
    ];
    for entry in &entries {
        replay_entry(&mut after, entry).unwrap();
    }
    let session = SessionId::new(name).unwrap();
    let change = SessionChange {
        session: session.clone(),
        forgotten: false,
        first: 0,
        entries,
        after,
    };
    let open = |file: &str| {
        SqliteStore::open(&folder.path().join(file), &StoreSettings::default()).unwrap()
    };
    open("moods.db").commit(&[change]).unwrap();
    said(&["store", "list", "moods.db"], &[], folder.path());
    said(&["emotion", "replay", "moods.db"], &[], folder.path());
    let exported = said(&["store", "export", "moods.db"], &[], folder.path());
    std::fs::write(folder.path().join("all.jsonl"), exported.stdout).unwrap();
    let import = command(&["store", "import", "all.jsonl", "new.db"], folder.path())
        .output()
        .unwrap();
    assert!(import.status.success(), "{import:?}");
    assert_eq!(open("new.db").load(&session).unwrap().unwrap().entries, 2);
}
