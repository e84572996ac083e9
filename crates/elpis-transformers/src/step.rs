//! A batch as the decoder sees it: groups of rows for attention, with their cells and masks.

use std::ops::Range;

use super::cache::KvCache;
use elpis_backend::{BackendError, Batch, SequenceId};

/// Overhead of one attention call, in positions.
const CALL_COST: usize = 96;

/// Rows whose attention is computed in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Group {
    /// One row of each of some consecutive sequences.
    Rows {
        /// The first row of the batch; the others follow it.
        first_row: usize,
        /// The first sequence; the others follow it.
        first_sequence: usize,
        /// Number of positions that each row's sequence holds afterwards.
        lengths: Vec<usize>,
    },
    /// Consecutive rows of one sequence.
    Chunk {
        /// The first row of the batch.
        first_row: usize,
        /// The sequence.
        sequence: usize,
        /// Position of the first row.
        start: usize,
        /// Number of rows.
        rows: usize,
    },
}

/// The cells that a group sees within a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// Positions that any row sees.
    pub cells: Range<usize>,
    /// What hides cells from single rows.
    pub mask: Mask,
}

/// What hides cells from single rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mask {
    /// Nothing: each row sees all cells.
    None,
    /// Row i sees the cells up to the i-th.
    Causal,
    /// 0 where a row sees a cell, −∞ elsewhere, `[rows, cells]`.
    Table(Vec<f32>),
}

impl Group {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows { lengths, .. } => lengths.len(),
            Self::Chunk { rows, .. } => *rows,
        }
    }

    /// The cells that the group's rows see if each sees `window` positions.
    pub fn view(&self, window: Option<usize>) -> View {
        // Each row sees the cells from..to of its sequence.
        let seen = |to: usize| window.map_or(0, |window| to.saturating_sub(window))..to;
        let rows: Vec<Range<usize>> = match self {
            Self::Rows { lengths, .. } => lengths.iter().map(|&length| seen(length)).collect(),
            Self::Chunk { start, rows, .. } => (1..=*rows).map(|i| seen(start + i)).collect(),
        };
        let from = rows.iter().map(|r| r.start).min().unwrap_or(0);
        let to = rows.iter().map(|r| r.end).max().unwrap_or(0);
        let mask = if rows.iter().all(|row| *row == (from..to)) {
            Mask::None
        } else if matches!(self, Self::Chunk { start: 0, .. }) && rows.iter().all(|r| r.start == 0)
        {
            Mask::Causal
        } else {
            let width = to - from;
            let mut table = vec![f32::NEG_INFINITY; rows.len() * width];
            for (line, row) in table.chunks_exact_mut(width.max(1)).zip(&rows) {
                line[row.start - from..row.end - from].fill(0.0);
            }
            Mask::Table(table)
        };
        View {
            cells: from..to,
            mask,
        }
    }
}

/// A checked batch.
#[derive(Debug)]
pub(super) struct Step {
    /// Tokens of the rows.
    pub tokens: Vec<i64>,
    /// Their positions.
    pub positions: Vec<i64>,
    /// The rows of the cache that they are written to.
    pub cells: Vec<i64>,
    /// Rows that ask for logits.
    pub outputs: Vec<i64>,
    /// The rows' attention, in their order.
    pub groups: Vec<Group>,
    /// Sequences with the length that they have afterwards.
    pub lengths: Vec<(SequenceId, u32)>,
}

impl Step {
    /// Checks a batch against the cache.
    ///
    /// # Errors
    /// [`BackendError::CacheFull`] if a sequence would outgrow its context,
    /// [`BackendError::Limit`] for a token, sequence or position that does not
    /// exist or does not follow what the sequence holds.
    pub fn new(batch: &Batch, cache: &KvCache, vocab: usize) -> Result<Self, BackendError> {
        let context = cache.context();
        let mut held = cache.lengths().to_vec();
        let mut step = Self {
            tokens: Vec::with_capacity(batch.len()),
            positions: Vec::with_capacity(batch.len()),
            cells: Vec::with_capacity(batch.len()),
            outputs: Vec::new(),
            groups: Vec::new(),
            lengths: Vec::new(),
        };
        let mut chunks: Vec<(usize, usize, usize, usize)> = Vec::new();
        for (index, row) in batch.rows().iter().enumerate() {
            let sequences = held.len();
            let Some(length) = held.get_mut(row.sequence as usize) else {
                return Err(BackendError::Limit {
                    field: "sequence",
                    value: row.sequence.to_string(),
                    limit: format!("sequences 0 to {}", sequences.saturating_sub(1)),
                });
            };
            if row.position != *length {
                return Err(BackendError::Limit {
                    field: "position",
                    value: row.position.to_string(),
                    limit: format!("the next position of sequence {}, {length}", row.sequence),
                });
            }
            if row.position as usize >= context {
                return Err(BackendError::CacheFull { rows: batch.len() });
            }
            if row.token as usize >= vocab {
                return Err(BackendError::Limit {
                    field: "token",
                    value: row.token.to_string(),
                    limit: format!("the vocabulary of {vocab}"),
                });
            }
            *length += 1;
            let (sequence, position) = (row.sequence as usize, row.position as usize);
            step.tokens.push(i64::from(row.token));
            step.positions.push(i64::from(row.position));
            step.cells.push((sequence * context + position) as i64);
            if row.logits {
                step.outputs.push(index as i64);
            }
            match chunks.last_mut() {
                Some((_, last, _, rows)) if *last == sequence => *rows += 1,
                _ => chunks.push((index, sequence, position, 1)),
            }
        }
        let grown = held.iter().zip(cache.lengths()).enumerate();
        step.lengths = grown
            .filter(|(_, (now, before))| now != before)
            .map(|(sequence, (&now, _))| (sequence as SequenceId, now))
            .collect();
        step.groups = groups(&chunks);
        Ok(step)
    }
}

/// Joins single rows of consecutive sequences if one padded call costs less than a call for each.
fn groups(chunks: &[(usize, usize, usize, usize)]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &(first_row, sequence, start, rows) in chunks {
        if rows > 1 {
            groups.push(Group::Chunk {
                first_row,
                sequence,
                start,
                rows,
            });
            continue;
        }
        let length = start + 1;
        if let Some(Group::Rows {
            first_row: first,
            first_sequence,
            lengths,
        }) = groups.last_mut()
            && *first_sequence + lengths.len() == sequence
            && *first + lengths.len() == first_row
        {
            let longest = lengths.iter().copied().max().unwrap_or(0).max(length);
            let work: usize = lengths.iter().sum::<usize>() + length;
            if longest * (lengths.len() + 1) <= work + CALL_COST * lengths.len() {
                lengths.push(length);
                continue;
            }
        }
        groups.push(Group::Rows {
            first_row,
            first_sequence: sequence,
            lengths: vec![length],
        });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: f32 = f32::NEG_INFINITY;

    #[test]
    fn consecutive_rows_of_like_length_attend_together() {
        let joined = groups(&[
            (0, 0, 9, 1),
            (1, 1, 11, 1),
            (2, 2, 4000, 1),
            (3, 5, 7, 1),
            (4, 6, 0, 3),
        ]);
        assert_eq!(joined.len(), 4, "{joined:?}");
        assert_eq!(
            joined.iter().map(Group::rows).collect::<Vec<_>>(),
            [2, 1, 1, 3]
        );
        let Group::Rows { lengths, .. } = &joined[0] else {
            panic!("{joined:?}");
        };
        assert_eq!(lengths, &[10, 12]);
    }

    #[test]
    fn a_short_row_does_not_see_a_long_ones_cells() {
        let group = Group::Rows {
            first_row: 0,
            first_sequence: 0,
            lengths: vec![1, 3],
        };
        let view = group.view(None);
        assert_eq!(view.cells, 0..3);
        assert_eq!(
            view.mask,
            Mask::Table(vec![0.0, HIDDEN, HIDDEN, 0.0, 0.0, 0.0])
        );
        let view = group.view(Some(2));
        assert_eq!(
            view.mask,
            Mask::Table(vec![0.0, HIDDEN, HIDDEN, HIDDEN, 0.0, 0.0])
        );
    }

    #[test]
    fn equal_rows_need_no_mask_and_a_window_moves_their_view() {
        let group = Group::Rows {
            first_row: 0,
            first_sequence: 0,
            lengths: vec![7, 7],
        };
        assert_eq!(
            group.view(None),
            View {
                cells: 0..7,
                mask: Mask::None
            }
        );
        assert_eq!(
            group.view(Some(3)),
            View {
                cells: 4..7,
                mask: Mask::None
            }
        );
    }

    #[test]
    fn a_chunk_is_causal_from_its_start() {
        let chunk = |start| Group::Chunk {
            first_row: 0,
            sequence: 0,
            start,
            rows: 2,
        };
        assert_eq!(chunk(0).view(None).mask, Mask::Causal);
        assert_eq!(chunk(0).view(Some(2)).mask, Mask::Causal);
        assert_eq!(
            chunk(0).view(Some(1)).mask,
            Mask::Table(vec![0.0, HIDDEN, HIDDEN, 0.0])
        );
        let view = chunk(2).view(None);
        assert_eq!(view.cells, 0..4);
        assert_eq!(
            view.mask,
            Mask::Table(vec![0.0, 0.0, 0.0, HIDDEN, 0.0, 0.0, 0.0, 0.0])
        );
    }
}
