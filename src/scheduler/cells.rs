//! Tracks which cells of the KV cache are in use.

/// One cell of the key–value cache. It holds one position of one or more sequences.
pub(super) type Cell = u32;

/// Which cells are in use, and by how many sequences.
///
/// Sequences that share a prefix share its cells, so the number of free cells does not follow from
/// the sequences' lengths.
#[derive(Debug)]
pub(super) struct Cells {
    references: Vec<u32>,
    free: Vec<Cell>,
}

impl Cells {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            references: vec![0; capacity as usize],
            free: (0..capacity).rev().collect(),
        }
    }

    /// Number of free cells.
    pub(super) fn available(&self) -> usize {
        self.free.len()
    }

    /// Total number of cells.
    pub(super) fn capacity(&self) -> usize {
        self.references.len()
    }

    /// Takes up to `count` free cells, fewer if fewer are free.
    pub(super) fn take(&mut self, count: usize, into: &mut Vec<Cell>) {
        let rest = self.free.len().saturating_sub(count);
        for cell in self.free.drain(rest..).rev() {
            if let Some(references) = self.references.get_mut(cell as usize) {
                *references = 1;
            }
            into.push(cell);
        }
    }

    /// Lets another sequence use the same cells.
    pub(super) fn share(&mut self, cells: &[Cell], into: &mut Vec<Cell>) {
        for &cell in cells {
            if let Some(references) = self.references.get_mut(cell as usize) {
                *references += 1;
                into.push(cell);
            }
        }
    }

    /// Releases one sequence's use of cells.
    pub(super) fn release(&mut self, cells: impl Iterator<Item = Cell>) {
        for cell in cells {
            let Some(references) = self.references.get_mut(cell as usize) else {
                continue;
            };
            *references = references.saturating_sub(1);
            if *references == 0 {
                self.free.push(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cells;

    #[test]
    fn a_shared_cell_is_free_when_its_last_user_is_gone() {
        let mut cells = Cells::new(4);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        cells.take(3, &mut first);
        cells.share(&first[..2], &mut second);
        assert_eq!(cells.available(), 1);
        cells.release(first.drain(..));
        assert_eq!(cells.available(), 2);
        cells.release(second.drain(..));
        assert_eq!(cells.available(), 4);
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut cells = Cells::new(2);
        let mut taken = Vec::new();
        cells.take(5, &mut taken);
        assert_eq!(taken, [0, 1]);
        assert_eq!(cells.available(), 0);
    }
}
