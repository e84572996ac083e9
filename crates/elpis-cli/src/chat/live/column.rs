//! Tracks the columns in which the cursor may be.

/// Minimum and maximum number of cells from the last line break to the cursor; `None` if unknown
/// until the next line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    cells: Option<(usize, usize)>,
    /// The screen width that they were counted with.
    width: usize,
}

impl Default for Column {
    fn default() -> Self {
        Self {
            cells: Some((0, 0)),
            width: 0,
        }
    }
}

impl Column {
    /// Follows text on a screen with `width` columns.
    pub fn advance(&mut self, text: &str, width: usize) {
        if std::mem::replace(&mut self.width, width) != width && self.cells != Some((0, 0)) {
            // Some terminals rewrap the line, others cut it.
            self.cells = None;
        }
        for character in text.chars() {
            self.cells = match (character, self.cells) {
                ('\n', _) => Some((0, 0)),
                (' '..='~', Some((least, most))) => Some((least + 1, most + 1)),
                // It may be two cells wide, and leave one at the edge if it begins on the next row.
                (other, Some((least, most))) if !other.is_control() => Some((least, most + 3)),
                _ => None,
            };
        }
    }

    /// Whether the cursor certainly does not wait at the edge to wrap.
    pub fn is_within(&self, width: usize) -> bool {
        self.cells.is_some_and(|(least, most)| {
            width > 0 && most / width == least.max(1).saturating_sub(1) / width
        })
    }
}
