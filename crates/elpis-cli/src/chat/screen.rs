//! What a chat prints: replies, moods and messages.

mod mood;

use std::io::Write;

use console::{Style, Term};

pub(super) use self::mood::{Acting, Meter, state};
use super::changes::News;
use super::wrap::wrapped;
use crate::{complain_styled, terminal};
use elpis::emotion::EmotionSnapshot;

/// The terminal, or a plain stream of text.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Option<Term>,
    /// Whether the terminal only supports lines of text.
    dumb: bool,
    /// Whether it can show the characters of bars.
    unicode: bool,
}

impl Screen {
    pub fn new(terminal: bool) -> Self {
        Self {
            terminal: terminal.then(Term::stdout),
            dumb: console::is_dumb(),
            unicode: shows_unicode(),
        }
    }

    /// The line above the prompt.
    pub fn mood(
        &self,
        mood: &EmotionSnapshot,
        acting: &Acting,
        meter: Option<Meter>,
    ) -> std::io::Result<()> {
        let Some(terminal) = self.terminal.as_ref().filter(|_| !self.dumb) else {
            return Ok(());
        };
        // Query this each time, because the window may have been resized.
        let width = usize::from(terminal.size().1);
        terminal.write_line(&self.fitting(mood, acting, meter, width))
    }

    /// A mood in its colour, with as many whole parts as fit into `width` columns.
    pub fn fitting(
        &self,
        mood: &EmotionSnapshot,
        acting: &Acting,
        meter: Option<Meter>,
        width: usize,
    ) -> String {
        let line = mood::line(mood, acting, meter, width, self.unicode);
        mood::colour(mood.mood).apply_to(line).to_string()
    }

    /// The number of columns of a terminal whose lines can be erased and rewritten; `None`
    /// otherwise.
    pub fn columns(&self) -> Option<usize> {
        let terminal = self
            .terminal
            .as_ref()
            .filter(|_| cfg!(unix) && !self.dumb)?;
        let size = terminal.size_checked()?;
        Some(usize::from(size.1))
    }

    /// Prints a message next to the conversation.
    pub fn tell(&self, text: &str) -> std::io::Result<()> {
        let text = terminal::plain(text);
        let dim = Style::new().dim();
        match &self.terminal {
            Some(terminal) => {
                let text = wrapped(&text, self.columns());
                terminal.write_line(&dim.apply_to(text).to_string())
            }
            None => writeln!(terminal::out(), "{text}"),
        }
    }

    /// Shows an event next to the conversation.
    pub fn show(&self, news: &News) -> std::io::Result<()> {
        if news.is_error {
            Self::error(&news.text);
            return Ok(());
        }
        self.tell(&news.text)
    }

    /// Prints an error.
    pub fn error(text: &str) {
        let red = Style::new().for_stderr().red();
        complain_styled(&red.apply_to(terminal::plain(text)).to_string());
    }

    /// A piece of a reply.
    pub fn reply(text: &str) -> std::io::Result<()> {
        terminal::write_reply(text)
    }
}

/// Whether the locale supports non-ASCII characters.
fn shows_unicode() -> bool {
    // The first variable that is set counts, as in the C library.
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let Some(locale) = locale else {
        return !cfg!(unix);
    };
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
