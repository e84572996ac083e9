//! Tracks the columns in which the cursor may be.

/// Cells from the last line break to the cursor: at least and at most; `None` where it cannot be
/// told before the next line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    cells: Option<(usize, usize)>,
    /// The width that they were counted under.
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
    /// Follows text on a screen of so many columns.
    pub fn advance(&mut self, text: &str, width: usize) {
        if std::mem::replace(&mut self.width, width) != width && self.cells != Some((0, 0)) {
            // Some terminals wrap the line anew, others cut it.
            self.cells = None;
        }
        for character in text.chars() {
            self.cells = match (character, self.cells) {
                ('\n', _) => Some((0, 0)),
                (' '..='~', Some((least, most))) => Some((least + 1, most + 1)),
                // It may be as wide as two cells, and leave one at the edge to begin on the next row.
                (other, Some((least, most))) if !other.is_control() => Some((least, most + 3)),
                _ => None,
            };
        }
    }

    /// Whether the cursor surely does not wait at the edge to wrap.
    pub fn is_within(&self, width: usize) -> bool {
        self.cells.is_some_and(|(least, most)| {
            width > 0 && most / width == least.max(1).saturating_sub(1) / width
        })
    }
}
