//! Reads input from a terminal or a pipe.

mod edit;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use super::quiet::Quiet;
use crate::Failure;
use crate::lines::{Lines, Named};

/// The input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted {
        /// Whether anything was typed since the prompt was shown.
        typing: bool,
    },
    /// The end of input.
    End,
}

type Asked = (String, oneshot::Sender<Result<Typed, String>>);

/// Reads lines on a separate thread, so that signals need not wait for it.
#[derive(Debug)]
pub(super) struct Input {
    asks: Sender<Asked>,
}

impl Input {
    /// Edits lines on a terminal, with a history file and these completions, or reads plain lines
    /// otherwise.
    pub fn open(
        terminal: Option<Quiet>,
        history: Option<PathBuf>,
        words: Vec<String>,
    ) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        std::thread::Builder::new()
            .name("elpis-input".to_owned())
            .spawn(move || match terminal {
                Some(quiet) => edit::edit(&asked, &quiet, history.as_deref(), words),
                None => read(&asked),
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

/// The path of the user's history: `$XDG_STATE_HOME`, or `~/.local/state`.
pub(super) fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty());
    let state = match state {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir()?.join(".local/state"),
    };
    state.is_absolute().then(|| state.join("elpis/history"))
}
