//! What is shown while a model is fetched and loaded.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Terminal;
use elpis_testkit::hub_server::{HubServer, Repo};

/// Ctrl-C.
const STOP: &str = "\u{3}";

#[test]
fn a_download_is_shown_and_can_be_stopped() {
    let server = HubServer::start(Repo::new().large("m-Q8_0.gguf", &vec![7; 100_000]));
    server.faults(|faults| faults.stall_after = Some(1000));
    let address = server.address();
    let loud: [&[&str]; 4] = [
        &["ask", "--no-stdin", "hello"],
        &["chat"],
        &["doctor"],
        &["vectors", "train", "--output=set"],
    ];
    let quiet: [&[&str]; 2] = [
        &["doctor", "--quiet"],
        &["vectors", "train", "--quiet", "--output=set"],
    ];
    let cases = loud.map(|case| (case, true)).into_iter();
    for (arguments, shown) in cases.chain(quiet.map(|case| (case, false))) {
        let folder = tempfile::tempdir().unwrap();
        let hub = folder.path().join("hub").display().to_string();
        let before = server.bodies_sent("/cdn/m-Q8_0.gguf");
        let variables = [
            ("ELPIS_MODEL_PATH", "org/name"),
            ("HF_ENDPOINT", address.as_str()),
            ("HF_HOME", &hub),
            ("HF_HUB_CACHE", &hub),
            ("HF_HUB_OFFLINE", "0"),
        ];
        let mut terminal = Terminal::start(arguments, folder.path(), &variables);
        if shown {
            terminal.wait_for("m-Q8_0.gguf");
            terminal.wait_for("fetching the model");
        } else {
            let begun = || server.bodies_sent("/cdn/m-Q8_0.gguf") > before;
            crate::process::within("a download", || begun().then_some(()));
        }
        terminal.press(STOP);
        let seen = Arc::clone(&terminal.shown);
        assert_eq!(terminal.end().exit_code(), 130, "{arguments:?}");
        let all = String::from_utf8_lossy(&seen.0.lock().unwrap()).into_owned();
        assert_eq!(all.contains("the model"), shown, "{all:?}");
    }
}

#[test]
fn loading_and_training_are_shown_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for emotion in ["calm", "excited"] {
        for place in ["here", "there"] {
            writeln!(
                lines,
                "{{\"emotion\": \"{emotion}\", \"positive\": \"So {emotion} {place}.\", \
                 \"negative\": \"A chair stands {place}.\"}}"
            )
            .unwrap();
        }
    }
    lines += "{\"question\": \"What about trains?\"}\n";
    std::fs::write(folder.path().join("pairs.jsonl"), lines).unwrap();
    let train = ["vectors", "train", "--pairs=pairs.jsonl"];
    for (output, quiet) in [("--output=loud", false), ("--output=quiet", true)] {
        let mut arguments = [&train[..], &[output]].concat();
        arguments.extend(quiet.then_some("--quiet"));
        let mut terminal = Terminal::start(&arguments, folder.path(), &[]);
        let shown = terminal.wait_for("written to");
        assert_eq!(shown.contains("loading the model"), !quiet, "{shown:?}");
        let screen = super::on_screen(&shown, 100);
        assert!(!screen.contains("loading the model"), "{screen}");
        assert!(terminal.end().success());
    }
}

#[test]
fn whoever_asks_without_a_text_is_told_how_to_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["ask", "--max-tokens=8"], folder.path(), &[]);
    terminal.wait_for("Ctrl-D");
    terminal.press("Tell me about chess.\r");
    terminal.wait_for("chess.");
    terminal.press("\u{4}");
    terminal.wait_for("(valence");
    assert!(terminal.end().success());
}
