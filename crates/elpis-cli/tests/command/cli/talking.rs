//! Conversations that go on from one start of `elpis chat` to the next.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use elpis::SessionId;
use elpis::inference::{Conversation, Role};
use elpis::store::{SqliteStore, StateStore};

use super::command;

fn chat(arguments: &[&str], lines: &str, folder: &Path) -> Output {
    let all = [
        &["chat", "-q", "--store=moods.db", "--max-tokens=4"],
        arguments,
    ]
    .concat();
    let mut child = command(&all, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

/// What the users of a conversation said.
fn said(talk: &Conversation) -> Vec<&str> {
    let users = talk.messages().iter();
    let users = users.filter(|message| message.role == Role::User);
    users.map(|message| message.content.as_str()).collect()
}

fn kept(folder: &Path) -> Conversation {
    let store = SqliteStore::open_to_read(&folder.join("moods.db")).unwrap();
    let kept = store
        .conversation(&SessionId::new("chat").unwrap())
        .unwrap();
    kept.unwrap_or_default()
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ended = chat(&["--system=Be brief."], "hello\n", folder);
    assert!(ended.status.success(), "{ended:?}");
    let ended = chat(&[], "again\n/history\n/save talk.json\n", folder);
    assert!(ended.status.success(), "{ended:?}");
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(
        told.contains("you: hello") && told.contains("you: again"),
        "{told}"
    );
    assert!(told.contains("2 turns written to talk.json"), "{told}");
    let talk = kept(folder);
    assert_eq!(
        (talk.system(), said(&talk)),
        (Some("Be brief."), vec!["hello", "again"])
    );

    // A new one takes its place, and the file brings it back.
    chat(&["--new"], "fresh\n", folder);
    assert_eq!(said(&kept(folder)), ["fresh"]);
    let ended = chat(
        &[],
        "/load talk.json\n/new\n/load talk.json\nmore\n",
        folder,
    );
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(said(&kept(folder)), ["hello", "again", "more"]);
    chat(&[], "/new\n", folder);
    assert_eq!(said(&kept(folder)), [""; 0]);
    assert_eq!(kept(folder).system(), Some("Be brief."));
    chat(&[], "/forget\n", folder);
    assert_eq!(kept(folder), Conversation::new());
}

#[test]
fn files_that_are_no_conversations_are_refused_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("notes.json"), "{\"role\": \"user\"}").unwrap();
    std::fs::write(
        folder.join("odd.json"),
        "[{\"role\": \"king\", \"content\": \"\"}]",
    )
    .unwrap();
    for (line, words) in [
        (
            "/load missing.json",
            "missing.json cannot be read as a conversation",
        ),
        (
            "/load notes.json",
            "notes.json cannot be read as a conversation",
        ),
        ("/load odd.json", "king"),
        ("/save notes.json", "notes.json"),
    ] {
        let ended = chat(&[], &format!("{line}\n/history\n"), folder);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(told.contains(words), "{line}: {told}");
        let told = String::from_utf8(ended.stdout).unwrap();
        assert!(told.contains("nothing was said yet"), "{line}: {told}");
    }
    let notes = std::fs::read_to_string(folder.join("notes.json")).unwrap();
    assert_eq!(notes, "{\"role\": \"user\"}");
}
