//! How a conversation in a terminal is typed, and what it tells beside the replies.

mod typing;

use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Terminal, letters, on_screen, size};

/// Starts a chat, and waits for its first prompt.
fn chat(arguments: &[&str], variables: &[(&str, &str)]) -> (tempfile::TempDir, Terminal) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&["chat", "--no-history"], arguments].concat();
    let mut terminal = Terminal::start(&arguments, folder.path(), variables);
    terminal.prompt();
    (folder, terminal)
}

/// Types a line, and returns what is shown up to the next prompt.
fn line(terminal: &mut Terminal, line: &str) -> String {
    terminal.press(&format!("{line}\r"));
    terminal.wait_for(line);
    terminal.prompt()
}

/// Waits until a text stands at the prompt, on a screen of so many columns; returns the screen.
fn at_prompt(terminal: &mut Terminal, text: &str, columns: u16) -> String {
    let wanted = format!("> {text}");
    let shown = terminal.wait_until(&wanted, |new| {
        let screen = on_screen(new, columns);
        screen.trim_end().ends_with(&wanted).then_some(new.len())
    });
    on_screen(&shown, columns)
}

/// Gives the window another width, of which the next prompt knows.
fn widen(terminal: &mut Terminal, columns: u16) {
    terminal.master.resize(size(columns)).unwrap();
    terminal.press("\r");
    terminal.wait_for("valence");
    terminal.prompt();
}

/// Discards what stands at the prompt, and waits for the next one.
fn discard(terminal: &mut Terminal) {
    terminal.press("\u{3}");
    terminal.wait_for("valence");
    terminal.prompt();
}

fn quit(mut terminal: Terminal) {
    terminal.press("/quit\r");
    assert!(terminal.end().success());
}

#[test]
fn words_stay_whole_at_the_edge() {
    for columns in [30, 47] {
        let (_folder, mut terminal) = chat(&["--max-tokens=96"], &[]);
        terminal.master.resize(size(columns)).unwrap();
        terminal.press("Tell me of databases, Zoe.\r");
        let shown = terminal.prompt();
        let wide = on_screen(&shown, 400);
        let narrow = on_screen(&shown, columns);
        let words = |screen: &str| {
            let (_, reply) = screen.rsplit_once("Zoe.").unwrap();
            let reply = reply.split_whitespace().map(str::to_owned);
            reply.collect::<Vec<_>>()
        };
        assert_eq!(words(&wide), words(&narrow), "{narrow}");
        assert!(narrow.lines().count() >= 4, "{narrow}");
        quit(terminal);
    }
}

#[test]
fn resetting_forgetting_and_a_new_talk_say_what_they_do() {
    let (_folder, mut terminal) = chat(&["--max-tokens=8"], &[]);
    assert!(line(&mut terminal, "/history").contains("nothing was said yet"));
    line(&mut terminal, "My name is Ada.");
    line(&mut terminal, "/feel failure 2");
    let told = line(&mut terminal, "/new");
    assert!(
        told.contains("a new conversation; the mood stays") && told.contains("frustrated"),
        "{told}"
    );
    assert!(line(&mut terminal, "/history").contains("nothing was said yet"));

    line(&mut terminal, "My name is Ada.");
    let told = line(&mut terminal, "/reset");
    assert!(
        told.contains("back at its baseline; the conversation stays"),
        "{told}"
    );
    assert!(told.contains("neutral"), "{told}");
    assert!(line(&mut terminal, "/history").contains("you: My name is Ada."));

    line(&mut terminal, "/feel failure 2");
    let told = line(&mut terminal, "/forget");
    assert!(
        told.contains("forgotten: the mood, its journal and the conversation"),
        "{told}"
    );
    assert!(told.contains("neutral"), "{told}");
    assert!(line(&mut terminal, "/history").contains("nothing was said yet"));
    assert!(line(&mut terminal, "/events").contains("nothing has changed"));
    quit(terminal);
}

#[test]
fn changes_are_told_with_their_causes() {
    let (_folder, mut terminal) = chat(&["--max-tokens=8"], &[]);
    let shown = line(&mut terminal, "I hate you, you stupid machine.");
    let screen = on_screen(&shown, 100);
    assert!(screen.contains("felt user_negative 0."), "{screen}");
    assert!(
        screen.contains("your message, \"") && screen.contains("stupid"),
        "{screen}"
    );
    assert!(screen.contains("frustrated"), "{screen}");
    line(&mut terminal, "/feel success 1.5");
    let told = on_screen(&line(&mut terminal, "/events"), 100);
    assert!(
        told.contains("felt user_negative") && told.contains("valence -0."),
        "{told}"
    );
    assert!(told.contains("felt success 1.5: told to"), "{told}");
    let told = line(&mut terminal, "/state");
    assert!(
        told.contains("lately: valence") && !told.contains("momentum"),
        "{told}"
    );
    quit(terminal);
}

#[test]
fn the_first_line_says_what_to_try_and_moods_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--no-history"], folder.path(), &[]);
    let opening = on_screen(&terminal.prompt(), 100);
    for words in ["elpis-tiny", "/feel failure", "/help", "neutral"] {
        assert!(opening.contains(words), "{opening}");
    }
    let felt = line(&mut terminal, "/feel failure 2");
    let valence = |shown: &str| {
        let screen = on_screen(shown, 100);
        let (_, rest) = screen.rsplit_once("valence ").unwrap();
        rest.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let before = valence(&felt);
    std::thread::sleep(Duration::from_secs(3));
    let after = valence(&line(&mut terminal, "/new"));
    assert!((before - after).abs() < 0.005, "{before} and {after}");
    quit(terminal);
}

#[test]
fn the_context_is_metered_and_what_no_longer_fits_is_told() {
    let variables = [("ELPIS_MODEL_CONTEXT_LENGTH", "512")];
    let (_folder, mut terminal) = chat(&["--max-tokens=40"], &variables);
    widen(&mut terminal, 600);
    let long = "word ".repeat(40);
    let mut told = false;
    for number in 0..12 {
        let shown = line(&mut terminal, &format!("{long}{number}"));
        let screen = on_screen(&shown, 600);
        assert!(screen.contains("/512"), "{screen}");
        told |= screen.contains("no longer fit") && screen.contains("left out");
    }
    assert!(told, "what was left out is told");
    let model = line(&mut terminal, "/model");
    assert!(
        model.contains("elpis-tiny") && model.contains("/512"),
        "{model}"
    );
    quit(terminal);
}

#[test]
fn the_bar_shows_what_acts() {
    // The bundled model's own vectors, the strongest first.
    let (_folder, mut terminal) = chat(&[], &[]);
    terminal.master.resize(size(160)).unwrap();
    let shown = on_screen(&line(&mut terminal, "/feel failure 2"), 160);
    let bar = shown
        .lines()
        .find(|line| line.starts_with("frustrated"))
        .unwrap();
    let first = bar.find("frustrated 0.").unwrap();
    let others = ["excited 0.", "calm 0.", "depleted 0."];
    assert!(
        others
            .iter()
            .all(|name| bar.find(name).is_none_or(|at| at > first)),
        "{bar}"
    );
    // Its parts are whole at any width.
    for columns in (20..100).step_by(7) {
        terminal.master.resize(size(columns)).unwrap();
        let shown = on_screen(&line(&mut terminal, "/new"), columns);
        let bar = shown
            .lines()
            .rfind(|line| line.starts_with("frustrated"))
            .unwrap();
        let last = bar.trim_end().rsplit(' ').next().unwrap();
        assert!(last == "frustrated" || last.len() >= 4, "{columns}: {bar}");
    }
    quit(terminal);

    // Without vectors nothing is said to act.
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    std::fs::create_dir(&none).unwrap();
    let none = none.display().to_string();
    let (_folder, mut terminal) = chat(&[], &[("ELPIS_MODEL_EMOTION_VECTORS_DIR", none.as_str())]);
    let shown = on_screen(&line(&mut terminal, "/feel failure 2"), 100);
    let bar = shown
        .lines()
        .find(|line| line.starts_with("frustrated"))
        .unwrap();
    assert_eq!(bar.matches("frustrated").count(), 1, "{bar}");
    assert!(!bar.contains("excited"), "{bar}");
    quit(terminal);
}

#[test]
fn a_reply_can_be_made_anew_under_another_system_message() {
    let (_folder, mut terminal) = chat(&["--max-tokens=24"], &[]);
    assert!(line(&mut terminal, "/regenerate").contains("nothing was said yet"));
    line(&mut terminal, "What do you think about chess?");
    assert!(line(&mut terminal, "/system You are terse.").contains("You are terse."));
    let shown = line(&mut terminal, "/regenerate");
    let screen = on_screen(&shown, 100);
    let reply: Vec<_> = screen
        .lines()
        .take_while(|line| !line.contains("valence"))
        .collect();
    assert!(letters(&reply.concat()) > 10, "{screen}");
    let told = on_screen(&line(&mut terminal, "/history"), 100);
    assert_eq!(told.matches("you: What do you think").count(), 1, "{told}");
    quit(terminal);
}

#[test]
fn a_dumb_terminal_and_one_without_letters_get_what_they_can_show() {
    let (_folder, mut terminal) = chat(&["--max-tokens=24"], &[("TERM", "dumb")]);
    terminal.press("hello\r");
    let shown = terminal.prompt();
    assert!(
        !shown.contains("valence") && !shown.contains('\u{1b}'),
        "{shown:?}"
    );
    assert!(letters(&shown) > 10, "{shown:?}");
    quit(terminal);

    let folder = tempfile::tempdir().unwrap();
    let mut terminal =
        Terminal::start(&["chat", "--no-history"], folder.path(), &[("LC_ALL", "C")]);
    let opening = terminal.prompt();
    let (_, opening) = opening.rsplit_once("elpis-tiny").unwrap();
    assert!(
        opening.contains(".....|.....") && opening.is_ascii(),
        "{opening:?}"
    );
    let felt = line(&mut terminal, "/feel failure 2");
    assert!(felt.contains("##|"), "{felt:?}");
    quit(terminal);
}

#[test]
fn logs_have_colours_on_a_terminal_alone() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["ask", "--no-stdin", "--max-tokens=2", "hi"];
    let output = Command::new(env!("CARGO_BIN_EXE_elpis"))
        .args(arguments)
        .current_dir(&folder)
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
        .env("ELPIS_LOG", "info")
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let logged = String::from_utf8(output.stderr).unwrap();
    assert!(
        logged.contains("INFO") && !logged.contains('\u{1b}'),
        "{logged}"
    );
    let variables = [("ELPIS_LOG", "info")];
    let mut terminal = Terminal::start(&arguments, folder.path(), &variables);
    assert!(terminal.wait_for("INFO").contains("\u{1b}["));
    assert!(terminal.end().success());
}
