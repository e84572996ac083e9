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
    /// Whether the terminal understands no more than lines of text.
    dumb: bool,
    /// Whether it shows the bars' letters.
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

    /// The line that stands above the prompt.
    pub fn mood(
        &self,
        mood: &EmotionSnapshot,
        acting: &Acting,
        meter: Option<Meter>,
    ) -> std::io::Result<()> {
        let Some(terminal) = self.terminal.as_ref().filter(|_| !self.dumb) else {
            return Ok(());
        };
        // Asked for each time: the window may have another size by now.
        let width = usize::from(terminal.size().1);
        terminal.write_line(&self.fitting(mood, acting, meter, width))
    }

    /// A mood in its colour, as much of it as fits whole into so many columns.
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

    /// The columns of a terminal on which lines can be wiped and written anew; `None` elsewhere.
    pub fn columns(&self) -> Option<usize> {
        let terminal = self
            .terminal
            .as_ref()
            .filter(|_| cfg!(unix) && !self.dumb)?;
        let size = terminal.size_checked()?;
        Some(usize::from(size.1))
    }

    /// Tells something beside the conversation.
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

    /// Tells what happened beside the conversation.
    pub fn show(&self, news: &News) -> std::io::Result<()> {
        if news.is_error {
            Self::error(&news.text);
            return Ok(());
        }
        self.tell(&news.text)
    }

    /// Tells what went wrong.
    pub fn error(text: &str) {
        let red = Style::new().for_stderr().red();
        complain_styled(&red.apply_to(terminal::plain(text)).to_string());
    }

    /// A piece of a reply.
    pub fn reply(text: &str) -> std::io::Result<()> {
        terminal::write_reply(text)
    }
}

/// Whether the locale says that letters beyond ASCII are shown.
fn shows_unicode() -> bool {
    // As the C library chooses: the first that is set.
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let Some(locale) = locale else {
        return !cfg!(unix);
    };
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
