//! The contents of a sequence in the KV cache.

use super::cells::{Cell, Cells};
use crate::backend::Token;
use crate::inference::KvSpan;
use crate::steering::PlanKey;

/// Consecutive positions that were evaluated under one steering plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The position after the last.
    pub(super) end: usize,
    /// The plan's content hash; `None` if not steered.
    pub(super) key: Option<PlanKey>,
}

/// The evaluated tokens of a sequence and the steering under which they were evaluated. Keys are
/// hashes of values rather than names, so a vector that changes under the same name counts as
/// another vector.
#[derive(Debug, Default)]
pub(super) struct CachedSequence {
    tokens: Vec<Token>,
    spans: Vec<Span>,
    cells: Vec<Cell>,
}

/// Which positions of a cached sequence a prompt may reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// All of them, whatever their steering.
    Any,
    /// Those evaluated under this steering plan.
    Under(Option<PlanKey>),
}

impl CachedSequence {
    /// Creates an empty cached sequence with room for `capacity` tokens.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            tokens: Vec::with_capacity(capacity),
            spans: Vec::with_capacity(8),
            cells: Vec::with_capacity(capacity),
        }
    }

    /// Creates a cached sequence that uses no cells.
    pub(super) fn of<'a>(tokens: Vec<Token>, spans: impl Iterator<Item = &'a KvSpan>) -> Self {
        let spans = spans.map(|span| Span {
            end: span.end as usize,
            key: span.key,
        });
        Self {
            spans: spans.collect(),
            cells: Vec::new(),
            tokens,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Appends tokens evaluated under one plan, in newly taken cells.
    pub(super) fn append(&mut self, tokens: &[Token], key: Option<PlanKey>, cells: &mut Cells) {
        if tokens.is_empty() {
            return;
        }
        cells.take(tokens.len(), &mut self.cells);
        self.tokens.extend_from_slice(tokens);
        self.extend_spans(key);
    }

    /// Appends the first `length` positions of another cached sequence and shares their cells. This
    /// one must be empty.
    pub(super) fn share(&mut self, other: &Self, length: usize, cells: &mut Cells) {
        let length = length.min(other.len());
        cells.share(
            &other.cells[..length.min(other.cells.len())],
            &mut self.cells,
        );
        for span in &other.spans {
            if self.tokens.len() >= length {
                break;
            }
            let end = span.end.min(length);
            self.tokens
                .extend_from_slice(&other.tokens[self.tokens.len()..end]);
            self.extend_spans(span.key);
        }
    }

    /// Becomes another cached sequence but keeps its own capacity. This one must be empty.
    pub(super) fn take_over(&mut self, other: Self) {
        self.tokens.extend(other.tokens);
        self.spans.extend(other.spans);
        self.cells.extend(other.cells);
    }

    fn extend_spans(&mut self, key: Option<PlanKey>) {
        let end = self.tokens.len();
        match self.spans.last_mut() {
            Some(last) if last.key == key => last.end = end,
            _ => self.spans.push(Span { end, key }),
        }
    }

    /// Removes the positions from `length` on, which were never evaluated.
    pub(super) fn shorten(&mut self, length: usize, cells: &mut Cells) {
        self.tokens.truncate(length);
        let kept = self.cells.len().min(length);
        cells.release(self.cells.drain(kept..));
        let starts =
            |index: usize, spans: &[Span]| index.checked_sub(1).map_or(0, |i| spans[i].end);
        while let Some(last) = self.spans.len().checked_sub(1)
            && starts(last, &self.spans) >= length
        {
            self.spans.pop();
        }
        if let Some(last) = self.spans.last_mut() {
            last.end = last.end.min(length);
        }
    }

    /// Releases the cells: the cached sequence is no longer in the KV cache.
    pub(super) fn leave(&mut self, cells: &mut Cells) {
        cells.release(self.cells.drain(..));
        self.cells.shrink_to_fit();
        self.tokens.shrink_to_fit();
    }

    /// Appends the first `length` positions of another cached sequence, in newly taken cells. This
    /// one must be empty.
    pub(super) fn repeat(&mut self, other: &Self, length: usize, cells: &mut Cells) {
        for span in &other.spans {
            let from = self.tokens.len();
            let to = span.end.min(length);
            if from < to {
                self.append(&other.tokens[from..to], span.key, cells);
            }
        }
    }

    /// Number of leading positions that a prompt can reuse.
    pub(super) fn usable(&self, prompt: &[Token], allowed: Allowed) -> usize {
        let limit = match allowed {
            Allowed::Any => self.len(),
            Allowed::Under(key) => self
                .spans
                .iter()
                .take_while(|span| span.key == key)
                .last()
                .map_or(0, |span| span.end),
        };
        common_prefix(&self.tokens[..limit], prompt)
    }

    /// How many of the first `length` positions were evaluated under a plan other than `key`.
    pub(super) fn under_other(&self, length: usize, key: Option<PlanKey>) -> usize {
        let mut start = 0;
        let mut count = 0;
        for span in &self.spans {
            let end = span.end.min(length);
            if span.key != key {
                count += end.saturating_sub(start);
            }
            start = end;
        }
        count
    }

    /// Whether this cached sequence is a prefix of the other, under the same steering.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        other.tokens.starts_with(&self.tokens)
            && self.spans.iter().enumerate().all(|(index, span)| {
                other.spans.get(index).is_some_and(|theirs| {
                    let last = index + 1 == self.spans.len();
                    theirs.key == span.key
                        && (theirs.end == span.end || (last && theirs.end > span.end))
                })
            })
    }
}

/// Number of leading tokens that both have in common.
pub(super) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(parts: &[(&[Token], Option<PlanKey>)], cells: &mut Cells) -> CachedSequence {
        let mut cached = CachedSequence::default();
        for (tokens, key) in parts {
            cached.append(tokens, *key, cells);
        }
        cached
    }

    fn key(byte: u8) -> PlanKey {
        PlanKey::from_bytes([byte; 32])
    }

    #[test]
    fn a_prompt_takes_over_what_its_policy_allows() {
        let mut cells = Cells::new(100);
        let cached = cached(
            &[
                (&[1, 2, 3], None),
                (&[4, 5], Some(key(1))),
                (&[6], Some(key(2))),
            ],
            &mut cells,
        );
        let prompt = [1, 2, 3, 4, 5, 9];
        assert_eq!(cached.usable(&prompt, Allowed::Any), 5);
        assert_eq!(cached.usable(&prompt, Allowed::Under(None)), 3);
        assert_eq!(cached.usable(&prompt, Allowed::Under(Some(key(1)))), 0);
        assert_eq!(cached.usable(&[7], Allowed::Any), 0);
        assert_eq!(cached.under_other(5, None), 2);
        assert_eq!(cached.under_other(5, Some(key(1))), 3);
        assert_eq!(cached.under_other(9, Some(key(2))), 5);
        assert_eq!(cells.available(), 94);
    }

    #[test]
    fn a_shared_prefix_keeps_its_spans_and_its_cells() {
        let mut cells = Cells::new(10);
        let mut whole = cached(&[(&[1, 2], None), (&[3, 4], Some(key(1)))], &mut cells);
        let mut part = CachedSequence::default();
        part.share(&whole, 3, &mut cells);
        assert_eq!(part.tokens(), [1, 2, 3]);
        assert_eq!(
            part.spans(),
            [
                Span { end: 2, key: None },
                Span {
                    end: 3,
                    key: Some(key(1))
                }
            ]
        );
        assert!(part.is_part_of(&whole) && !whole.is_part_of(&part));
        assert_eq!(cells.available(), 6);
        part.leave(&mut cells);
        assert_eq!(cells.available(), 6);
        whole.leave(&mut cells);
        assert_eq!(cells.available(), 10);
    }

    #[test]
    fn what_was_never_evaluated_is_forgotten_with_its_cells() {
        let mut cells = Cells::new(10);
        let mut whole = cached(&[(&[1, 2], None), (&[3, 4], Some(key(1)))], &mut cells);
        for (length, spans) in [(3, 2), (2, 1), (1, 1), (0, 0)] {
            whole.shorten(length, &mut cells);
            assert_eq!(whole.tokens(), &[1, 2, 3, 4][..length]);
            assert_eq!(whole.spans().len(), spans);
            assert_eq!(whole.spans().last().map_or(0, |span| span.end), length);
            assert_eq!(cells.available(), 10 - length);
        }
    }

    #[test]
    fn the_same_tokens_under_other_steering_are_another_past() {
        let mut cells = Cells::new(20);
        let short = cached(&[(&[1, 2], Some(key(1)))], &mut cells);
        let other = cached(&[(&[1, 2, 3], Some(key(2)))], &mut cells);
        let same = cached(&[(&[1, 2, 3], Some(key(1)))], &mut cells);
        assert!(!short.is_part_of(&other));
        assert!(short.is_part_of(&same));
    }
}
