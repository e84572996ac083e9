//! What else happens to a conversation in a terminal: it is left and taken up again, its window
//! changes, it is suspended, its terminal goes away.

use std::time::Instant;

use elpis::emotion::{EmotionConfig, EmotionalState, decay};
use rustix::process::Signal;

use super::{Terminal, letters, on_screen, size};
use crate::process::{is_stopped, send, within};

/// Valence and arousal of the last mood that was shown.
fn mood(shown: &str) -> (f64, f64) {
    let screen = on_screen(shown, 100);
    let (_, line) = screen.rsplit_once("valence ").unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    (words[1].parse().unwrap(), words[4].parse().unwrap())
}

#[test]
fn a_conversation_is_taken_up_again_in_the_mood_it_was_left_in() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["chat", "--store", "moods.db", "--session=ada"];
    let rate = [("ELPIS_EMOTION_DECAY_RATE", "0.05")];
    let mut terminal = Terminal::start(&arguments, folder.path(), &rate);
    terminal.prompt();
    let before = Instant::now();
    terminal.press("/feel failure 2\r");
    terminal.wait_for("/feel failure 2");
    let left = mood(&terminal.prompt());
    let after = Instant::now();
    assert!(left.0 < -0.3 && left.1 > 0.0, "{left:?}");
    terminal.press("/quit\r");
    assert!(terminal.end().success());

    let shortest = after.elapsed();
    let mut terminal = Terminal::start(&arguments, folder.path(), &rate);
    let found = mood(&terminal.prompt());
    let longest = before.elapsed();
    terminal.press("/quit\r");
    assert!(terminal.end().success());
    // What is shown is rounded, to a hundredth.
    let config = EmotionConfig::default().decay_rate(0.05);
    let left = EmotionalState::new(left.0, left.1).unwrap();
    let (least, most) = (
        decay(left, &config, longest.as_secs_f64()),
        decay(left, &config, shortest.as_secs_f64()),
    );
    for (found, least, most) in [
        (found.0.abs(), least.valence().abs(), most.valence().abs()),
        (found.1.abs(), least.arousal().abs(), most.arousal().abs()),
    ] {
        assert!(
            (least - 0.011..=most + 0.011).contains(&found),
            "{found} between {least} and {most}"
        );
    }
    // Another session knows nothing of it.
    let mut terminal = Terminal::start(&["chat", "--store=moods.db"], folder.path(), &rate);
    assert_eq!(mood(&terminal.prompt()), (0.0, 0.0));
}

#[test]
fn a_window_may_change_while_a_reply_is_written() {
    for (columns, then) in [(100, 30), (40, 100)] {
        let folder = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::start(&["chat", "--max-tokens=96"], folder.path(), &[]);
        terminal.prompt();
        let mut changed = false;
        // A reply may be over before its window changes.
        for _ in 0..20 {
            terminal.master.resize(size(columns)).unwrap();
            terminal.press("Tell me of databases, Zoe.\r");
            let begun = terminal.reply_begins("Zoe.");
            changed |= !begun.contains("\n> ");
            terminal.master.resize(size(then)).unwrap();
            let rest = if begun.contains("\n> ") {
                String::new()
            } else {
                terminal.prompt()
            };
            let screen = on_resized_screen(&begun, columns, &rest, then);
            let (_, after) = screen.rsplit_once("Zoe.").unwrap();
            let lines: Vec<_> = after
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            let [reply @ .., mood, prompt] = lines.as_slice() else {
                panic!("{screen}");
            };
            assert!(prompt.starts_with('>'), "{screen}");
            assert!(
                mood.contains("valence") || mood.starts_with("neutral"),
                "{screen}"
            );
            let reply = reply.concat();
            assert!(letters(&reply) > 3, "{screen}");
            assert!(
                !reply.contains('│') && !reply.contains("valence"),
                "{screen}"
            );
            if changed {
                break;
            }
        }
        assert!(changed, "a window changed within a reply");
        // The next one is as always.
        terminal.press("And now?\r");
        let shown = terminal.prompt();
        let screen = on_screen(&shown, then);
        assert!(
            letters(screen.rsplit_once("now?").unwrap().1) > 10,
            "{screen}"
        );
        terminal.press("/quit\r");
        assert!(terminal.end().success());
    }
}

/// What stands on a screen whose size changed between two parts of what it was written.
fn on_resized_screen(first: &str, columns: u16, second: &str, then: u16) -> String {
    let size = |count| std::num::NonZeroU16::new(count).unwrap();
    let mut parser = vt100::Parser::new(size(400), size(columns), 0);
    parser.process(first.as_bytes());
    parser.set_size(size(400), size(then));
    parser.process(second.as_bytes());
    parser.screen().contents()
}

#[test]
fn the_end_of_input_may_come_while_a_reply_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat"], folder.path(), &[]);
    terminal.prompt();
    terminal.press("Tell me of databases, Zoe.\r");
    terminal.reply_begins("Zoe.");
    terminal.press("\u{4}");
    // The reply is not cut short by it, and the key is not lost.
    terminal.wait_for("> ");
    assert!(terminal.end().success());
}

#[test]
fn a_terminal_that_goes_away_ends_the_program_in_good_order() {
    for typed in ["Tell me of databases, Zoe.", "/state"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["chat", "--store=moods.db"];
        let variables = [("ELPIS_EMOTION_DECAY_RATE", "0")];
        let mut terminal = Terminal::start(&arguments, folder.path(), &variables);
        terminal.prompt();
        terminal.press("/feel failure 2\r");
        terminal.wait_for("/feel failure 2");
        let left = mood(&terminal.prompt());
        terminal.press(&format!("{typed}\r"));
        if typed.starts_with('/') {
            terminal.wait_for(typed);
            terminal.wait_for("lately");
            terminal.prompt();
        } else {
            terminal.reply_begins("Zoe.");
        }
        send(terminal.child.process_id().unwrap(), Signal::HUP);
        assert_eq!(terminal.end().exit_code(), 129);
        let mut terminal = Terminal::start(&arguments, folder.path(), &variables);
        let found = mood(&terminal.prompt());
        // What the reply itself said may have moved it a little.
        assert!(
            (found.0 - left.0).abs() <= 0.5 && found.0 < 0.0,
            "{found:?} after {left:?}"
        );
    }
}

#[test]
fn a_conversation_is_suspended_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_elpis");
    let script = format!("set -m; '{program}' chat --no-history; echo SUSPENDED; fg; echo OVER");
    let mut terminal = Terminal::run("sh", &["-c", &script], folder.path(), &[]);
    terminal.prompt();
    // At the prompt, where Ctrl-Z comes as a key.
    terminal.press("\u{1a}");
    terminal.wait_for("SUSPENDED");
    // What `fg` says; the prompt may have been shown anew just before it stopped.
    terminal.wait_for("chat --no-history");
    terminal.press("Tell me of databases, Zoe.\r");
    terminal.reply_begins("Zoe.");
    terminal.prompt();
    terminal.press("/quit\r");
    terminal.wait_for("OVER");
    assert!(terminal.end().success());
}

#[test]
fn lines_that_are_typed_ahead_are_all_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--no-history"], folder.path(), &[]);
    terminal.prompt();
    // At once, so that one read has both.
    terminal.press("Tell me of databases, Zoe.\r/quit\r");
    assert!(terminal.end().success());
}

#[test]
fn a_reply_that_is_suspended_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--no-history"], folder.path(), &[]);
    terminal.prompt();
    let process = terminal.child.process_id().unwrap();
    terminal.press("Tell me of databases, Zoe.\r");
    terminal.reply_begins("Zoe.");
    send(process, Signal::STOP);
    within("the stop", || is_stopped(process).then_some(()));
    send(process, Signal::CONT);
    terminal.press("And now?\r");
    terminal.wait_for("And now?");
    terminal.prompt();
    terminal.press("/quit\r");
    assert!(terminal.end().success());
}
