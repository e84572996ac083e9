//! Which sentences are trained on, and by which an emotion is judged.

use std::collections::{BTreeMap, HashMap};

use crate::pairs::Contrast;

/// Every fourth pair of an emotion is held out when layers are judged.
const HELD_OUT: usize = 4;

/// A pair, its sentences as places in a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) positive: usize,
    pub(super) negative: usize,
    /// Not trained on when layers are judged, but judged.
    pub(super) held_out: bool,
}

/// A sentence, which several pairs may share; it is evaluated once.
#[derive(Debug)]
pub(super) struct Sentence<'a> {
    pub(super) text: &'a str,
    /// The pair, from 1, that has it first, and the side.
    pub(super) first: (usize, &'static str),
    /// Whether directions are found with it before layers are judged.
    pub(super) trained: bool,
}

/// The pairs of each emotion, and the sentences in all of them.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) sentences: Vec<Sentence<'a>>,
    pub(super) rows: BTreeMap<&'a str, Vec<Row>>,
}

/// By which sentences an emotion's direction is judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) positive: Vec<usize>,
    pub(super) negative: Vec<usize>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(contrasts: &[Contrast<'a>]) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for contrast in contrasts {
            *counts.entry(contrast.emotion).or_default() += 1;
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut sentences: Vec<Sentence<'a>> = Vec::new();
        let mut rows: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for (index, contrast) in contrasts.iter().enumerate() {
            let own = rows.entry(contrast.emotion).or_default();
            let count = counts.get(contrast.emotion).copied().unwrap_or(1);
            // The last of a short list, so that each emotion has one.
            let held_out = (own.len() + 1).is_multiple_of(HELD_OUT.min(count));
            let mut place = |text: &'a str, side| {
                let place = *places.entry(text).or_insert_with(|| {
                    sentences.push(Sentence {
                        text,
                        first: (index + 1, side),
                        trained: false,
                    });
                    sentences.len() - 1
                });
                if let Some(sentence) = sentences.get_mut(place) {
                    sentence.trained |= !held_out;
                }
                place
            };
            own.push(Row {
                positive: place(contrast.positive, "positive"),
                negative: place(contrast.negative, "negative"),
                held_out,
            });
        }
        Self { sentences, rows }
    }

    /// The held-out sentences of an emotion that no training pair has.
    fn fresh(&self, emotion: &str, side: impl Fn(&Row) -> usize) -> Vec<usize> {
        let trained = |place: &usize| self.sentences.get(*place).is_some_and(|s| s.trained);
        self.held_out(emotion, side)
            .into_iter()
            .filter(|place| !trained(place))
            .collect()
    }

    fn held_out(&self, emotion: &str, side: impl Fn(&Row) -> usize) -> Vec<usize> {
        let rows = self.rows.get(emotion).into_iter().flatten();
        rows.filter(|row| row.held_out).map(side).collect()
    }

    /// For each emotion, the held-out sentences. One that is trained on as
    /// well, because another pair has it, judges only where there is no other.
    pub(super) fn judged(&self) -> BTreeMap<&'a str, Judged> {
        let positive = |emotion: &str| {
            let fresh = self.fresh(emotion, |row| row.positive);
            if fresh.is_empty() {
                self.held_out(emotion, |row| row.positive)
            } else {
                fresh
            }
        };
        let judged = self.rows.keys().map(|&emotion| {
            let mut negative = self.fresh(emotion, |row| row.negative);
            for other in self.rows.keys().filter(|&&other| other != emotion) {
                negative.extend(positive(other));
            }
            if negative.is_empty() {
                negative = self.held_out(emotion, |row| row.negative);
            }
            let positive = positive(emotion);
            (emotion, Judged { positive, negative })
        });
        judged.collect()
    }
}
