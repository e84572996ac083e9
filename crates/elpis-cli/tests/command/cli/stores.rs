//! `elpis store`, and the plots of stores and logs.

use std::fmt::Write as _;

use serde_json::Value;

use super::{elpis, log};

/// Lines that lead to a state: what `store export` writes.
fn told(session: &str, events: &[&str]) -> String {
    use elpis::emotion::{EmotionConfig, EmotionEvent, JournalEntry, JournalRecord, replay_entry};
    let start = JournalRecord::Started(std::sync::Arc::new(EmotionConfig::default()));
    let felt = |event: &&str| JournalRecord::Felt(EmotionEvent::named(*event).unwrap());
    let mut tracker = None;
    let mut lines = String::new();
    let what = std::iter::once(start).chain(events.iter().map(felt));
    for (number, what) in what.enumerate() {
        let at = 1e9 + number as f64;
        replay_entry(
            &mut tracker,
            &JournalEntry {
                at,
                what: what.clone(),
            },
        )
        .unwrap();
        let line = serde_json::json!({ "session": session, "at": at, "what": what });
        writeln!(lines, "{line}").unwrap();
    }
    let line = serde_json::json!({ "session": session, "state": tracker.unwrap() });
    writeln!(lines, "{line}").unwrap();
    lines
}

#[test]
fn a_store_is_exported_imported_replayed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (first, second, lines) = (at("first.db"), at("second.db"), at("sessions.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, &both).unwrap();
    let done = |arguments: &[&str]| {
        let output = elpis(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["store", "import", &lines, &first]);
    assert!(done(&["store", "check", &first]).contains("2 sessions, 5 journal entries, whole"));
    assert_eq!(done(&["store", "export", &first]), both);
    let ada = done(&["store", "export", &first, "--session", "ada"]);
    assert_eq!(ada, told("ada", &["success", "insight"]));
    done(&["store", "export", &first, "-o", &lines]);
    done(&["store", "import", &lines, &second]);
    assert_eq!(done(&["store", "export", &second]), both);

    let replayed = done(&["emotion", "replay", &first, "--session", "ada"]);
    let last: Value = serde_json::from_str(replayed.lines().last().unwrap()).unwrap();
    assert_eq!(replayed.lines().count(), 3);
    assert_eq!(last["what"]["felt"]["event"], "insight");
    assert!(last["valence"].as_f64().unwrap() > 0.0);
    assert_eq!(last["events_applied"], 2);
}

#[test]
fn sessions_of_a_store_are_listed_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines) = (at("moods.db"), at("sessions.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, both).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let listed = || {
        let output = elpis(&["store", "list", &store]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let both = listed();
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(
        both.starts_with("ada\t") && both.contains("3 journal entries"),
        "{both}"
    );
    // All of them or none.
    let refused = elpis(&["store", "forget", &store, "--session=ada", "--session=eve"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(listed(), both);
    let done = elpis(&["store", "forget", &store, "--session=ada"]);
    assert!(done.status.success(), "{done:?}");
    let left = listed();
    assert!(
        left.starts_with("bob\t") && left.lines().count() == 1,
        "{left}"
    );
    assert!(elpis(&["store", "check", &store]).status.success());
    let nowhere = at("nowhere.db");
    for command in [
        &["store", "list", &nowhere][..],
        &["store", "forget", &nowhere, "--session=a"],
    ] {
        assert_eq!(elpis(command).status.code(), Some(1));
        assert!(!std::path::Path::new(&nowhere).exists());
    }
}

#[test]
fn logs_and_stores_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines, log_of_one) = (at("moods.db"), at("sessions.jsonl"), at("log.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, both).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let first = std::fs::read_to_string(log()).unwrap();
    std::fs::write(&log_of_one, first.lines().next().unwrap()).unwrap();
    let picture = at("mood.svg");
    let drawn = |arguments: &[&str]| {
        let output = elpis(&[&["emotion", "plot", "-o", &picture], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        std::fs::read_to_string(&picture).unwrap()
    };
    let lines_of = |svg: &str| svg.matches("<polyline").count();
    let of_both = drawn(&[&store]);
    for word in [
        "<svg",
        "valence",
        "arousal",
        "frustrated",
        "ada",
        "bob",
        "insight",
        "seconds",
    ] {
        assert!(of_both.contains(word), "{word}: {of_both}");
    }
    let of_ada = drawn(&[&store, "--session", "ada"]);
    assert!(of_ada.contains("ada") && !of_ada.contains("bob"));
    // The plane, piece by piece, and two courses for each session.
    assert!(lines_of(&of_both) >= lines_of(&of_ada) + 3);
    let of_log = drawn(&[&log_of_one]);
    assert!(of_log.contains("line 1") && of_log.contains("minutes"));

    for (arguments, words) in [
        (vec![log()], "24 sessions, and 8 fit"),
        (
            vec![log_of_one, "--session".to_owned(), "ada".to_owned()],
            "a log has no sessions",
        ),
        (
            vec![store, "--session".to_owned(), "eve".to_owned()],
            "has no session eve",
        ),
        (vec![at("nothing.jsonl")], "cannot read"),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = elpis(&[&["emotion", "plot", "-o", &picture], &*arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn sessions_that_do_not_fit_together_are_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines) = (at("moods.db"), at("sessions.jsonl"));
    let good = told("ada", &["success"]);
    let cases = [
        (
            good.replace("success", "failure"),
            ":3: the journal leads to a different state",
        ),
        (
            good.lines().next().unwrap().to_owned(),
            "the state of session ada is missing",
        ),
        (told("ada", &["success"]) + &good, ":6: "),
        (good.lines().last().unwrap().to_owned(), ":1: "),
        ("{}".to_owned(), ":1: "),
        (good.replace("1000000001.0", "1e300"), ":2: "),
    ];
    for (text, expected) in cases {
        let _ = std::fs::remove_file(&store);
        std::fs::write(&lines, &text).unwrap();
        let output = elpis(&["store", "import", &lines, &store]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(expected), "{told}");
    }
    // A journal that was tampered with is found.
    let _ = std::fs::remove_file(&store);
    std::fs::write(&lines, &good).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let file = rusqlite::Connection::open(&store).unwrap();
    let change = "UPDATE journal SET what = replace(what, 'success', 'failure')";
    file.execute(change, []).unwrap();
    drop(file);
    let output = elpis(&["store", "check", &store]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("session ada") && told.contains("does not lead to the stored state"),
        "{told}"
    );
    let output = elpis(&["store", "check"]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("store.path")
    );
}
