//! What is typed, or read from a pipe.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::sync::oneshot;

use crate::cli::Failure;
use crate::cli::lines::{Lines, Named};

/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// What came.
#[derive(Debug)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// The end of input.
    End,
}

type Asked = (String, oneshot::Sender<Result<Typed, String>>);

/// Reads lines on a thread of its own, which a signal need not wait for.
#[derive(Debug)]
pub(super) struct Input {
    asks: Sender<Asked>,
}

impl Input {
    /// Edits lines on a terminal, with a history in a file; or reads them plainly.
    pub fn open(terminal: bool, history: Option<PathBuf>) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        std::thread::Builder::new()
            .name("elpis-input".to_owned())
            .spawn(move || {
                if terminal {
                    edit(&asked, history.as_deref());
                } else {
                    read(&asked);
                }
            })?;
        Ok(Self { asks })
    }

    /// The next line.
    pub async fn next(&self, prompt: &str) -> Result<Typed, Failure> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send((prompt.to_owned(), answer));
        match answered.await {
            Ok(typed) => Ok(typed?),
            Err(_) => Ok(Typed::End),
        }
    }
}

fn edit(asked: &Receiver<Asked>, history: Option<&Path>) {
    let config = Config::builder()
        .max_history_size(HISTORY)
        .map(rustyline::config::Builder::build)
        .unwrap_or_default();
    let mut editor = match Editor::<(), FileHistory>::with_config(config) {
        Ok(editor) => editor,
        Err(error) => {
            if let Ok((_, answer)) = asked.recv() {
                let _ = answer.send(Err(format!("cannot edit lines here: {error}")));
            }
            return;
        }
    };
    if let Some(file) = history {
        // There is none at the first time.
        let _ = editor.load_history(file);
    }
    for (prompt, answer) in asked {
        let typed = match editor.readline(&prompt) {
            Ok(line) => {
                // Kept at once: the end may come by a signal.
                if editor.add_history_entry(&line).unwrap_or(false)
                    && let Some(file) = history
                {
                    save(&mut editor, file);
                }
                Ok(Typed::Line(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            // The window has another size; the line begins anew.
            Err(ReadlineError::Signal(_)) => Ok(Typed::Line(String::new())),
            Err(error) => Err(format!("cannot read a line: {error}")),
        };
        if answer.send(typed).is_err() {
            return;
        }
    }
}

fn save(editor: &mut Editor<(), FileHistory>, file: &Path) {
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder {
        tracing::warn!(%error, "no history is kept");
    } else if let Err(error) = editor.save_history(file) {
        tracing::warn!(%error, "the history was not kept");
    }
}

fn read(asked: &Receiver<Asked>) {
    let lines = Lines::open(Path::new("-"));
    let mut lines = match lines {
        Ok(lines) => lines,
        Err(error) => {
            if let Ok((_, answer)) = asked.recv() {
                let _ = answer.send(Err(error.to_string()));
            }
            return;
        }
    };
    for (_, answer) in asked {
        let typed = match lines.next() {
            Ok(Some(Named { text, .. })) => Ok(Typed::Line(text.to_owned())),
            Ok(None) => Ok(Typed::End),
            Err(error) => Err(error.to_string()),
        };
        if answer.send(typed).is_err() {
            return;
        }
    }
}

/// Where the history of this user lies: `$XDG_STATE_HOME`, or `~/.local/state`.
pub(super) fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty());
    let state = match state {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir()?.join(".local/state"),
    };
    state.is_absolute().then(|| state.join("elpis/history"))
}
