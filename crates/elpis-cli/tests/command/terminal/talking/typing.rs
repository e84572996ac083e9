//! Keys typed before, during and after a reply.

use std::time::{Duration, Instant};

use super::{at_prompt, chat, discard, line, quit, widen};
use crate::terminal::{BELOW, letters, on_screen};

#[test]
fn what_is_typed_ahead_neither_lands_in_the_reply_nor_is_lost() {
    // At several moments of a reply, and right behind the line that it answers.
    for pause in [0, 1, 5, 20, 60, 150, 400] {
        let (_folder, mut terminal) = chat(&["--max-tokens=60"], &[]);
        terminal.press("Tell me of databases, Zoe.\r");
        std::thread::sleep(Duration::from_millis(pause));
        for keys in ["Xyzzy", " and", " Plugh"] {
            terminal.press(keys);
            std::thread::sleep(Duration::from_millis(pause / 4));
        }
        let screen = at_prompt(&mut terminal, "Xyzzy and Plugh", 100);
        let (above, _) = screen.trim_end().rsplit_once('\n').unwrap();
        let reply = above.rsplit_once("Zoe.").unwrap().1;
        for word in ["Xyz", "and Pl", "Plugh"] {
            assert!(!reply.contains(word), "after {pause} ms: {screen}");
        }
        // It is a line like any other.
        terminal.press("\r");
        let shown = terminal.prompt();
        assert!(letters(&shown) > 10, "{shown:?}");
        quit(terminal);
    }
}

#[test]
fn a_reply_that_is_stopped_leaves_what_was_typed_ahead() {
    let (_folder, mut terminal) = chat(&[], &[]);
    terminal.press("Tell me of databases, Zoe.\r");
    terminal.reply_begins("Zoe.");
    terminal.press("/state");
    terminal.press("\u{3}");
    at_prompt(&mut terminal, "/state", 100);
    terminal.press("\r");
    terminal.wait_for("lately");
    terminal.prompt();
    quit(terminal);
}

#[test]
fn ctrl_c_discards_a_line_and_ends_only_twice_in_a_row() {
    let (_folder, mut terminal) = chat(&[], &[]);
    // Typing in between, whether it is still there or was erased.
    for typed in ["a line", "x\u{7f}", "\u{1b}[D"] {
        terminal.press("\u{3}");
        terminal.wait_for("Ctrl-C again");
        terminal.prompt();
        terminal.press(typed);
        discard(&mut terminal);
    }
    // A command in between.
    terminal.press("\u{3}");
    terminal.wait_for("Ctrl-C again");
    terminal.prompt();
    line(&mut terminal, "/new");
    terminal.press("\u{3}");
    terminal.wait_for("Ctrl-C again");
    terminal.prompt();
    terminal.press("\u{3}");
    assert_eq!(terminal.end().exit_code(), 130);
}

#[test]
fn tab_completes_commands_and_events() {
    let variables = [("ELPIS_EMOTION_EVENTS", "praised 0.5 0.3")];
    let (_folder, mut terminal) = chat(&[], &variables);
    terminal.press("/sta\t");
    terminal.wait_for("/state");
    terminal.press("\r");
    terminal.wait_for("lately");
    terminal.prompt();
    terminal.press("/feel test_f\t");
    terminal.wait_for("/feel test_failed");
    terminal.press("\r");
    assert!(terminal.prompt().contains("frustrated"));
    terminal.press("/feel pr\t");
    terminal.wait_for("/feel praised");
    terminal.press(" 2\r");
    terminal.prompt();
    // Several are listed.
    terminal.press("/st\t\t");
    terminal.wait_for("/strength");
    discard(&mut terminal);
    let listed = line(&mut terminal, "/feel");
    for name in ["success", "sadness", "praised"] {
        assert!(listed.contains(name), "{listed}");
    }
    terminal.press("/feel tset_failed\r");
    terminal.wait_for("did you mean \"test_failed\"?");
    terminal.prompt();
    quit(terminal);
}

#[test]
fn messages_of_several_lines_are_one() {
    let (_folder, mut terminal) = chat(&["--max-tokens=8"], &[]);
    terminal.press("\"\"\"\rfirst line\rsecond line\r\"\"\"\r");
    terminal.wait_for("second line");
    terminal.wait_for("valence");
    terminal.prompt();
    let told = on_screen(&line(&mut terminal, "/history"), 100);
    assert!(told.contains("you: first line\nsecond line"), "{told}");
    // Alt-Enter.
    line(&mut terminal, "/new");
    terminal.press("third\u{1b}\rfourth\r");
    terminal.wait_for("fourth");
    terminal.wait_for("valence");
    terminal.prompt();
    let told = on_screen(&line(&mut terminal, "/history"), 100);
    assert!(told.contains("you: third\nfourth"), "{told}");
    quit(terminal);
}

#[test]
fn a_paste_during_a_reply_is_one_message() {
    let (_folder, mut terminal) = chat(&["--max-tokens=60"], &[]);
    terminal.press("Tell me of databases, Zoe.\r");
    terminal.reply_begins("Zoe.");
    terminal.press("\u{1b}[200~one\rtwo 漢字\u{1b}[201~");
    at_prompt(&mut terminal, "one\ntwo 漢字", 100);
    terminal.press("\r");
    terminal.prompt();
    let told = on_screen(&line(&mut terminal, "/history"), 100);
    assert!(told.contains("you: one\ntwo 漢字"), "{told}");
    quit(terminal);
}

/// The mood below a reply does not eat what is typed either.
#[test]
fn many_keys_arrive_in_order() {
    let (_folder, mut terminal) = chat(&["--max-tokens=60"], &[]);
    widen(&mut terminal, 1000);
    terminal.press("Tell me of databases, Zoe.\r");
    let shown = terminal.wait_for(BELOW);
    assert!(!shown.is_empty());
    let typed: String = ('a'..='z').cycle().take(600).collect();
    let start = Instant::now();
    for keys in typed.as_bytes().chunks(7) {
        terminal.press(std::str::from_utf8(keys).unwrap());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(start.elapsed() < Duration::from_secs(20));
    at_prompt(&mut terminal, &typed, 1000);
    discard(&mut terminal);
    quit(terminal);
}
