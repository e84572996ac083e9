//! A backend beside one that evaluates everything anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use elpis::backend::{Backend, BackendError, BackendLayer, Batch, SequenceId, Token};
use elpis::steering::SteeringPlan;

/// A token and what it was evaluated under.
pub type Evaluated = (Token, Option<Arc<SteeringPlan>>);

/// What was seen of a backend.
#[derive(Debug, Default)]
pub struct Seen {
    /// Rows whose logits were compared.
    pub compared: usize,
    /// Those of them that were steered.
    pub steered: usize,
    /// How far logits were from those of the reference, by its norm.
    pub furthest: f32,
    /// Calls that failed because a prefix was evicted.
    pub gone: usize,
    /// Sequences that another one's beginning was given to.
    pub shared: usize,
    /// Sequences that were filled again.
    pub restored: usize,
    /// What was evaluated so far in the sequences, the last state of each.
    pub sequences: Vec<Vec<Evaluated>>,
}

impl Seen {
    /// The longest evaluated sequence that begins with `prompt`.
    pub fn prefix_of(&self, prompt: &[Token]) -> Option<Vec<Token>> {
        let tokens = |prefix: &Vec<Evaluated>| prefix.iter().map(|(token, _)| *token).collect();
        let sequences = self.sequences.iter().map(tokens);
        let sequences = sequences.filter(|prefix: &Vec<Token>| prefix.starts_with(prompt));
        sequences.max_by_key(Vec::len)
    }
}

/// Compares the logits of rows with those of a reference, in which the row's
/// whole sequence is evaluated anew: whatever sequences share, lose or take up
/// again, each row has to come out as if it were alone.
///
/// The first row of each evaluation after a change of the KV cache is compared,
/// and every third of the others; with `ELPIS_TEST_LONG` all are.
pub struct Compared {
    pub inner: Box<dyn Backend>,
    /// The same model, loaded once more.
    pub reference: Box<dyn Backend>,
    pub seen: Arc<Mutex<Seen>>,
    sequences: HashMap<SequenceId, Vec<Evaluated>>,
    /// Sequences whose cache was cut, shared or restored since a row of theirs was compared.
    changed: HashSet<SequenceId>,
    /// Rows that could be compared.
    rows: usize,
    /// One row of so many is compared.
    every: usize,
    saved: Vec<(Vec<u8>, Vec<Evaluated>)>,
}

impl Compared {
    pub fn new(inner: Box<dyn Backend>, reference: Box<dyn Backend>) -> Self {
        Self {
            inner,
            reference,
            seen: Arc::default(),
            sequences: HashMap::new(),
            changed: HashSet::new(),
            rows: 0,
            every: elpis_testkit::repeats(3, 1),
            saved: Vec::new(),
        }
    }

    /// The logits after the last token of a sequence.
    fn expected(&mut self, prefix: &[Evaluated]) -> Vec<f32> {
        let most = self.reference.facts().batch_size;
        let runs = prefix.chunk_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        });
        let mut position = 0;
        let mut last = 0;
        for part in runs.flat_map(|run| run.chunks(most)) {
            let tokens: Vec<Token> = part.iter().map(|(token, _)| *token).collect();
            let mut batch = Batch::default();
            batch.push(0, position, &tokens, true, part[0].1.as_ref());
            self.reference.decode(&batch).unwrap();
            position += tokens.len() as u32;
            last = tokens.len() - 1;
        }
        let logits = self.reference.logits(last).unwrap().to_vec();
        self.reference.truncate(0, 0).unwrap();
        logits
    }

    fn note<T>(&self, result: Result<T, BackendError>) -> Result<T, BackendError> {
        if let Err(BackendError::PrefixEvicted { .. }) = &result {
            self.seen.lock().unwrap().gone += 1;
        }
        result
    }
}

/// The distance of two rows by the length of the second; infinite if there is
/// no saying.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    let length = |row: &mut dyn Iterator<Item = f32>| row.map(|x| x * x).sum::<f32>().sqrt();
    let apart = length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut b.iter().copied());
    if apart.is_nan() { f32::INFINITY } else { apart }
}

impl BackendLayer for Compared {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.inner
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.inner.decode(batch)?;
        for (index, row) in batch.rows().iter().enumerate() {
            let plan = batch
                .plan_index_of(index)
                .map(|plan| Arc::clone(&batch.plans()[plan as usize]));
            let prefix = self.sequences.entry(row.sequence).or_default();
            assert_eq!(prefix.len(), row.position as usize);
            let steered = plan.is_some();
            prefix.push((row.token, plan));
            if row.logits {
                let prefix = prefix.clone();
                self.rows += 1;
                let is_compared =
                    self.changed.remove(&row.sequence) || self.rows.is_multiple_of(self.every);
                let apart = if is_compared {
                    let expected = self.expected(&prefix);
                    Some(distance(self.inner.logits(index)?, &expected))
                } else {
                    None
                };
                let mut seen = self.seen.lock().unwrap();
                if let Some(apart) = apart {
                    seen.compared += 1;
                    seen.steered += usize::from(steered);
                    seen.furthest = seen.furthest.max(apart);
                }
                seen.sequences
                    .retain(|earlier| !is_beginning(earlier, &prefix));
                seen.sequences.push(prefix);
            }
        }
        Ok(())
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        let cut = self.inner.truncate(sequence, from);
        self.note(cut)?;
        self.sequences
            .entry(sequence)
            .or_default()
            .truncate(from as usize);
        self.changed.insert(sequence);
        Ok(())
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        let shared = self.inner.share_prefix(from, to, length);
        self.note(shared)?;
        self.seen.lock().unwrap().shared += 1;
        let prefix = self.sequences[&from][..length as usize].to_vec();
        let before = self.sequences.insert(to, prefix);
        assert!(before.is_none_or(|before| before.is_empty()));
        self.changed.extend([from, to]);
        Ok(())
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        let bytes = self.inner.save_sequence(sequence, memory)?;
        self.saved
            .push((bytes.clone(), self.sequences[&sequence].clone()));
        Ok(bytes)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.inner.restore_sequence(sequence, length, bytes)?;
        self.seen.lock().unwrap().restored += 1;
        let (_, prefix) = self.saved.iter().find(|(saved, _)| saved == bytes).unwrap();
        assert_eq!(prefix.len(), length as usize);
        self.sequences.insert(sequence, prefix.clone());
        self.changed.insert(sequence);
        Ok(())
    }
}

fn is_beginning(earlier: &[Evaluated], prefix: &[Evaluated]) -> bool {
    earlier.len() < prefix.len() && earlier.iter().zip(prefix).all(|(a, b)| a.0 == b.0)
}
