//! The mood below a reply, while the reply is written.
//!
//! It stands on the row below the text's end, and is wiped before more text follows. Nothing moves
//! the text: the cursor goes down and comes back to where it was. That holds unless the cursor waits
//! at the edge of the screen to wrap, where terminals differ in what comes of it. So the line is
//! shown only where the cursor cannot be there, whatever the terminal takes as the width of letters
//! beyond ASCII; otherwise it is away for a moment.

mod column;
#[cfg(test)]
mod tests;

use std::io::Write;

use self::column::Column;

/// Erases from the cursor to the end of the screen; the cursor stays.
const WIPE: &str = "\x1b[J";

/// Makes sure of a row below: down, which scrolls on the last row, and up again. A vertical tab
/// keeps the column, a line feed would be written with a carriage return.
const ROW_BELOW: &str = "\x0b\x1b[A";

/// Goes to the empty row below, and back.
const DOWN: &str = "\x1b7\x1b[B\r\x1b[2K";
const BACK: &str = "\x1b8";

/// Columns below which there is no room for text and mood.
const NARROW: usize = 20;

/// A reply as it is written, with the mood below it.
#[derive(Debug)]
pub(super) struct Live<W> {
    out: W,
    column: Column,
    /// What stands below, and what should.
    shown: bool,
    line: String,
}

impl<W: Write> Live<W> {
    /// Begins at the left edge.
    pub fn new(out: W) -> Self {
        Self {
            out,
            column: Column::default(),
            shown: false,
            line: String::new(),
        }
    }

    /// Writes more of the reply on a screen of so many columns.
    pub fn text(&mut self, text: &str, width: usize) -> std::io::Result<()> {
        let mut bytes = String::new();
        if self.shown {
            bytes.push_str(WIPE);
        }
        bytes.push_str(text);
        self.column.advance(text, width);
        self.draw(bytes, width)
    }

    /// Changes the mood below, a line that fits the screen.
    pub fn mood(&mut self, line: String, width: usize) -> std::io::Result<()> {
        if self.shown && line == self.line {
            return Ok(());
        }
        self.line = line;
        self.column.advance("", width);
        let wipe = if self.shown { WIPE } else { "" };
        self.draw(wipe.to_owned(), width)
    }

    /// Leaves the text alone on the screen.
    pub fn end(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.shown) {
            self.write(WIPE)?;
        }
        Ok(())
    }

    fn draw(&mut self, mut bytes: String, width: usize) -> std::io::Result<()> {
        self.shown = width >= NARROW && !self.line.is_empty() && self.column.is_within(width);
        if self.shown {
            for part in [ROW_BELOW, DOWN, &self.line, BACK] {
                bytes.push_str(part);
            }
        }
        self.write(&bytes)
    }

    /// At once, so that a terminal never shows half of it.
    fn write(&mut self, bytes: &str) -> std::io::Result<()> {
        self.out.write_all(bytes.as_bytes())?;
        self.out.flush()
    }
}
