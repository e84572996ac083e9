//! What is shown.

use std::io::Write;

use console::{Style, Term};

use crate::emotion::{EmotionSnapshot, Quadrant};
use crate::printable::printable_lines;

/// Cells on either side of a bar's middle.
const HALF: usize = 5;

/// The terminal, or a plain stream of text.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Option<Term>,
}

impl Screen {
    pub fn new(terminal: bool) -> Self {
        Self {
            terminal: terminal.then(Term::stdout),
        }
    }

    /// The line that stands above the prompt, cut to the screen.
    pub fn mood(&self, mood: &EmotionSnapshot) -> std::io::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Ok(());
        };
        // Asked for each time: the window may have another size by now.
        terminal.write_line(&fitting(mood, usize::from(terminal.size().1)))
    }

    /// The columns of a terminal on which lines can be wiped and written anew; `None` elsewhere.
    pub fn columns(&self) -> Option<usize> {
        let terminal = self.terminal.as_ref().filter(|_| cfg!(unix))?;
        let dumb = console::is_dumb();
        terminal
            .size_checked()
            .filter(|_| !dumb)
            .map(|(_, columns)| usize::from(columns))
    }

    /// Tells something beside the conversation.
    pub fn tell(&self, text: &str) -> std::io::Result<()> {
        let dim = Style::new().dim();
        match &self.terminal {
            Some(terminal) => terminal.write_line(&dim.apply_to(text).to_string()),
            None => writeln!(std::io::stdout(), "{text}"),
        }
    }

    /// Tells what went wrong.
    pub fn error(text: &str) {
        let red = Style::new().for_stderr().red();
        let text = printable_lines(text);
        let _ = writeln!(std::io::stderr(), "{}", red.apply_to(text));
    }

    /// A piece of a reply.
    pub fn reply(text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// A mood in its colour, cut to so many columns.
pub(super) fn fitting(mood: &EmotionSnapshot, width: usize) -> String {
    let line = mood_line(mood);
    let cut = console::truncate_str(&line, width.saturating_sub(1), "");
    colour(mood.quadrant).apply_to(cut).to_string()
}

fn mood_line(mood: &EmotionSnapshot) -> String {
    format!(
        "{:<10} valence {} {:+.2}  arousal {} {:+.2}  {}",
        mood.quadrant.as_str(),
        bar(mood.valence),
        mood.valence,
        bar(mood.arousal),
        mood.arousal,
        mood.modulation.coefficients,
    )
}

/// A value in [-1, 1] as a bar from its middle.
fn bar(value: f64) -> String {
    let reach = (value.abs() * HALF as f64).round() as usize;
    let side = |filled: bool, from_middle: usize| {
        if filled && from_middle < reach {
            '█'
        } else {
            '·'
        }
    };
    let left = (0..HALF).rev().map(|cell| side(value < 0.0, cell));
    let right = (0..HALF).map(|cell| side(value > 0.0, cell));
    left.chain(['│']).chain(right).collect()
}

fn colour(quadrant: Quadrant) -> Style {
    match quadrant {
        Quadrant::Excited => Style::new().yellow(),
        Quadrant::Frustrated => Style::new().red(),
        Quadrant::Calm => Style::new().green(),
        Quadrant::Depleted => Style::new().blue(),
    }
}

/// Everything about a mood.
pub(super) fn state(mood: &EmotionSnapshot) -> String {
    let modulation = &mood.modulation;
    format!(
        "{}\ntrend {}, momentum {}, spiral {}, {} events\ntemperature {:.2}, top-p {:.2}, strength \
         {:.2}",
        mood_line(mood),
        mood.trajectory.trend,
        mood.trajectory.momentum,
        mood.trajectory.spiral,
        mood.events_applied,
        modulation.temperature,
        modulation.top_p,
        modulation.strength,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_the_middle() {
        for (value, expected) in [
            (0.0, "·····│·····"),
            (0.41, "·····│██···"),
            (-1.0, "█████│·····"),
            (1.0, "·····│█████"),
            (-0.05, "·····│·····"),
        ] {
            assert_eq!(bar(value), expected, "{value}");
        }
    }
}
