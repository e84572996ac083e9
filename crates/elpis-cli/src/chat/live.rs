//! Shows the mood below a reply while it is written.
//!
//! It is on the row below the text's end, and is erased before more text follows. The text does not
//! move, because the cursor goes down and returns to its position. That does not work if the cursor
//! waits at the edge of the screen to wrap, because terminals differ in that case. Therefore the
//! line is only shown if the cursor cannot be there, whatever width the terminal assigns to
//! non-ASCII characters; otherwise it disappears for a moment.

mod column;
#[cfg(test)]
mod tests;

use std::io::Write;

use self::column::Column;

/// Erases from the cursor to the end of the screen; the cursor stays.
const WIPE: &str = "\x1b[J";

/// Ensures a row below by moving down, which scrolls on the last row, and up again. A vertical tab
/// keeps the column, while a line feed would add a carriage return.
const ROW_BELOW: &str = "\x0b\x1b[A";

/// Goes to the empty row below, and back.
const DOWN: &str = "\x1b7\x1b[B\r\x1b[2K";
const BACK: &str = "\x1b8";

/// Minimum number of columns for text and mood.
const NARROW: usize = 20;

/// A reply as it is written, with the mood below it.
#[derive(Debug)]
pub(super) struct Live<W> {
    out: W,
    column: Column,
    /// The line below, and the line that should be there.
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

    /// Writes more of the reply on a screen with `width` columns.
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

    /// Removes the mood line.
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

    /// Writes all bytes at once, so that a terminal never shows half of them.
    fn write(&mut self, bytes: &str) -> std::io::Result<()> {
        self.out.write_all(bytes.as_bytes())?;
        self.out.flush()
    }
}
