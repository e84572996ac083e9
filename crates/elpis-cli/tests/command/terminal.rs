//! `elpis`, most of all `elpis chat`, driven in a real terminal and from a pipe.

#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod progress;
#[cfg(unix)]
mod talking;

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program in a terminal of its own.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Vec<u8>>, Condvar)>,
    /// How much of what was shown has been looked at.
    seen: usize,
}

fn size(columns: u16) -> PtySize {
    PtySize {
        rows: 24,
        cols: columns,
        ..PtySize::default()
    }
}

impl Terminal {
    fn start(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::run(env!("CARGO_BIN_EXE_elpis"), arguments, folder, variables)
    }

    fn run(program: &str, arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Self {
        let pty = native_pty_system().openpty(size(100)).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(folder);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ELPIS_")) {
            command.env_remove(name);
        }
        command.env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu");
        command.env("XDG_STATE_HOME", folder.join("state"));
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        let shown = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let mut reader = pty.master.try_clone_reader().unwrap();
        let into = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                into.0.lock().unwrap().extend_from_slice(&bytes[..count]);
                into.1.notify_all();
            }
        });
        Self {
            keys: pty.master.take_writer().unwrap(),
            master: pty.master,
            child,
            shown,
            seen: 0,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a text is shown that was not looked at yet; returns what came with it.
    fn wait_for(&mut self, wanted: &str) -> String {
        self.wait_until(wanted, |new| new.find(wanted).map(|at| at + wanted.len()))
    }

    /// Waits until `found` finds the end of what is wanted in what was not looked at yet.
    fn wait_until(&mut self, what: &str, found: impl Fn(&str) -> Option<usize>) -> String {
        let (shown, news) = &*self.shown;
        let mut bytes = shown.lock().unwrap();
        loop {
            // Cut within a character, the rest of it is still to come.
            let new = &bytes[self.seen..];
            let whole = std::str::from_utf8(new).map_or_else(|error| error.valid_up_to(), str::len);
            let text = std::str::from_utf8(&new[..whole]).unwrap();
            if let Some(end) = found(text) {
                let passed = text[..end].to_owned();
                self.seen += end;
                return passed;
            }
            let (next, waited) = news.wait_timeout(bytes, PATIENCE).unwrap();
            bytes = next;
            let all = String::from_utf8_lossy(&bytes);
            assert!(!waited.timed_out(), "{what} does not come: {all}");
        }
    }

    /// Waits until words of a reply to what was typed are shown.
    fn reply_begins(&mut self, typed: &str) -> String {
        self.wait_until("a reply", |new| {
            let reply = reply_in(new, typed)?;
            (letters(&reply) >= 4).then_some(new.len())
        })
    }

    /// Waits for the next prompt.
    fn prompt(&mut self) -> String {
        self.wait_for("> ")
    }

    fn end(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let shown = self.shown.0.lock().unwrap();
            let shown = String::from_utf8_lossy(&shown);
            assert!(start.elapsed() < PATIENCE, "it does not end: {shown:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

/// What stands on a screen of so many columns that was written to so.
fn on_screen(shown: &str, columns: u16) -> String {
    let size = |count| NonZeroU16::new(count).unwrap();
    let mut parser = vt100::Parser::new(size(400), size(columns), 0);
    parser.process(shown.as_bytes());
    parser.screen().contents()
}

/// What stands between the line that was typed and the mood below it, on a screen of 100 columns;
/// `None` before the line is shown.
fn reply_in(shown: &str, typed: &str) -> Option<String> {
    let screen = on_screen(shown, 100);
    let (_, after) = screen.rsplit_once(typed)?;
    let lines = after.lines().take_while(|line| !line.contains(" valence "));
    Some(lines.collect::<Vec<_>>().join(" ").trim().to_owned())
}

/// What goes down to the row below the text, and comes back.
const BELOW: &str = "\u{1b}7";

#[test]
fn a_conversation_shows_how_it_feels() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--max-tokens=16"], folder.path(), &[]);
    let opening = terminal.prompt();
    assert!(
        opening.contains("elpis-tiny") && opening.contains("·····│·····"),
        "{opening}"
    );
    terminal.press("/feel failure 2\r");
    let felt = terminal.prompt();
    assert!(
        felt.contains("frustrated") && felt.contains("█│·····"),
        "{felt}"
    );
    assert!(felt.contains("\u{1b}["), "moods have colours: {felt}");
    terminal.press("What do you think about chess?\r");
    let shown = terminal.prompt();
    let reply = reply_in(&shown, "chess?").unwrap();
    assert!(letters(&reply) > 10, "{reply:?} in {shown:?}");
    terminal.press("/stat\r");
    terminal.wait_for("did you mean `/state`?");
    terminal.prompt();
    terminal.press("/vectors\r");
    let vectors = terminal.prompt();
    assert!(
        vectors.contains("version") && !vectors.contains("LayerInfo"),
        "{vectors}"
    );
    for emotion in ["calm", "depleted", "excited", "frustrated"] {
        let line = on_screen(&vectors, 100);
        let line = line.lines().find(|line| line.starts_with(emotion)).unwrap();
        assert!(
            line.contains("layer 2 (norm ") && line.contains("cap "),
            "{line}"
        );
    }
    // A narrower window gets a shorter line.
    terminal.master.resize(size(24)).unwrap();
    terminal.press("/feel success\r");
    terminal.wait_for("/feel success");
    let narrow = terminal.prompt();
    assert!(!narrow.contains("arousal"), "{narrow}");
    // Ctrl-D: the end of input.
    terminal.press("\u{4}");
    assert!(terminal.end().success());
    let history = std::fs::read_to_string(folder.path().join("state/elpis/history")).unwrap();
    assert!(history.contains("about chess"), "{history}");
}

#[test]
fn ctrl_c_stops_the_reply_and_then_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--no-history"], folder.path(), &[]);
    terminal.prompt();
    let mut stopped = false;
    // A reply may be over before the key arrives: then Ctrl-C meets the prompt.
    for _ in 0..20 {
        terminal.press("Tell me of databases, Zoe.\r");
        terminal.reply_begins("Zoe.");
        terminal.press("\u{3}");
        let shown = terminal.wait_until("the key's effect", |new| {
            let (reply, prompt) = (new.find("(stopped)"), new.find("Ctrl-C again"));
            reply.or(prompt).map(|at| at + 9)
        });
        terminal.prompt();
        if shown.contains("(stopped)") {
            stopped = true;
            break;
        }
    }
    assert!(stopped, "a reply was stopped");
    terminal.press("And now?\r");
    let shown = terminal.prompt();
    let reply = reply_in(&shown, "And now?").unwrap();
    assert!(letters(&reply) > 10, "{reply:?} in {shown:?}");
    terminal.press("\u{3}");
    terminal.wait_for("Ctrl-C again");
    terminal.prompt();
    terminal.press("\u{3}");
    assert_eq!(terminal.end().exit_code(), 130);
    assert!(!folder.path().join("state/elpis/history").exists());
}

#[test]
fn colours_can_be_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat"], folder.path(), &[("NO_COLOR", "1")]);
    terminal.prompt();
    terminal.press("/feel success 2\r");
    terminal.wait_for("/feel success 2");
    let felt = terminal.prompt();
    let coloured = ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[34m"];
    assert!(!coloured.iter().any(|code| felt.contains(code)), "{felt:?}");
    terminal.press("hello\r");
    let shown = terminal.prompt();
    assert!(shown.contains(BELOW), "{shown:?}");
    assert!(
        !coloured.iter().any(|code| shown.contains(code)),
        "{shown:?}"
    );
    terminal.press("/quit\r");
    assert!(terminal.end().success());
}

#[test]
fn the_mood_stands_below_a_reply_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["chat", "--max-tokens=48"], folder.path(), &[]);
    terminal.prompt();
    terminal.press("/feel failure 2\r");
    terminal.wait_for("/feel failure 2");
    terminal.prompt();
    for columns in [100, 30] {
        terminal.master.resize(size(columns)).unwrap();
        terminal.press("Tell me of databases, Zoe.\r");
        let shown = terminal.prompt();
        let (_, below) = shown.split_once(BELOW).unwrap();
        assert!(below.contains("frustrated"), "{shown:?}");
        // Then the reply stands there alone, with the mood above the next prompt.
        let screen = on_screen(&shown, columns);
        let (_, after) = screen.rsplit_once("Zoe.").unwrap();
        let lines: Vec<_> = after.lines().filter(|line| !line.is_empty()).collect();
        let [reply @ .., mood, prompt] = lines.as_slice() else {
            panic!("{screen}");
        };
        assert!(
            mood.starts_with("frustrated") && prompt.starts_with('>'),
            "{screen}"
        );
        let reply = reply.concat();
        assert!(letters(&reply) > 10, "{screen}");
        assert!(
            !reply.contains('│') && !reply.contains("valence"),
            "{screen}"
        );
    }
    terminal.press("/quit\r");
    assert!(terminal.end().success());
}

#[test]
fn nothing_stands_below_a_reply_where_it_is_not_wanted() {
    for (arguments, variable) in [
        (&["chat", "--quiet"][..], ("TERM", "xterm-256color")),
        (&["chat"], ("TERM", "dumb")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::start(arguments, folder.path(), &[variable]);
        terminal.prompt();
        terminal.press("hello\r");
        let shown = terminal.prompt();
        assert!(letters(&shown) > 10 && !shown.contains(BELOW), "{shown:?}");
        terminal.press("/quit\r");
        assert!(terminal.end().success());
    }
}

#[test]
fn lines_of_a_pipe_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_elpis"))
        .args(["chat", "--max-tokens=12"])
        .current_dir(&folder)
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "hello\n/feel failure\n/nonsense\nand now?\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for reply in [text.lines().next(), text.lines().last()] {
        let reply = reply.unwrap();
        assert!(letters(reply) > 3 && !reply.contains("valence"), "{text}");
    }
    assert!(
        text.contains("frustrated") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(!text.contains("> "), "no prompt in a pipe: {text}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no command `/nonsense`"), "{error}");
}

#[test]
fn a_pipe_hears_of_what_was_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_elpis"))
        .arg("chat")
        .current_dir(&folder)
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
        .env("ELPIS_MODEL_CONTEXT_OVERFLOW", "error")
        .env("ELPIS_MODEL_CONTEXT_LENGTH", "512")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = format!("{}\n/nonsense\n", "word ".repeat(2000));
    // Nobody reads what it complains of.
    drop(child.stderr.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
