//! A session's past out of the cache and back into it.

use super::Scheduler;
use super::past::Past;
use crate::backend::ModelFacts;
use crate::error::EngineError;
use crate::inference::{KvSnapshot, KvSnapshotError, KvSpan, SessionId};

impl Scheduler {
    /// The latest finished past of a session; `None` if nothing of it is kept.
    ///
    /// # Errors
    /// [`EngineError::Backend`] if the cache cannot be read.
    pub fn save(&mut self, session: &SessionId) -> Result<Option<Vec<u8>>, EngineError> {
        let Some((sequence, past)) = self.cache.latest(session) else {
            return Ok(None);
        };
        let snapshot = KvSnapshot {
            model: fingerprint(&self.shared.facts),
            tokens: past.tokens().to_vec(),
            spans: past
                .spans()
                .iter()
                .map(|span| KvSpan {
                    end: span.end as u32,
                    key: span.key,
                })
                .collect(),
            state: self.backend.save_sequence(sequence)?,
        };
        Ok(Some(snapshot.to_bytes()?))
    }

    /// Takes a past that [`save`](Self::save) gave back into the cache, for a
    /// session's next turn; returns its length in tokens.
    ///
    /// # Errors
    /// [`EngineError::KvSnapshot`] if the bytes are damaged, belong to another
    /// model or are too long; [`EngineError::Backend`] if the backend refuses
    /// them. Nothing is changed then.
    pub fn restore(&mut self, session: &SessionId, bytes: &[u8]) -> Result<usize, EngineError> {
        let snapshot = KvSnapshot::from_bytes(bytes)?;
        let facts = &self.shared.facts;
        let expected = fingerprint(facts);
        if snapshot.model != expected {
            let found = snapshot.model;
            return Err(KvSnapshotError::OtherModel { expected, found }.into());
        }
        let (tokens, limit) = (snapshot.tokens.len(), facts.context_length as usize);
        if tokens > limit {
            return Err(KvSnapshotError::TooLong { tokens, limit }.into());
        }
        if self.cache.limit() == 0 {
            return Err(KvSnapshotError::NothingKept.into());
        }
        let backend = self.backend.as_mut();
        self.cache.make_room(backend, tokens)?;
        if self.cache.cells().available() < tokens {
            let limit = self.cache.cells().available();
            return Err(KvSnapshotError::TooLong { tokens, limit }.into());
        }
        let Some(sequence) = self.cache.open() else {
            return Err(KvSnapshotError::NothingKept.into());
        };
        if let Err(error) = backend.restore_sequence(sequence, tokens as u32, &snapshot.state) {
            self.cache.close(sequence);
            return Err(error.into());
        }
        let mut past = Past::default();
        for span in &snapshot.spans {
            let part = past.len()..span.end as usize;
            past.append(&snapshot.tokens[part], span.key, self.cache.cells());
        }
        self.cache.keep(backend, session.clone(), sequence, past)?;
        Ok(tokens)
    }

    /// Forgets what a session's generations leave behind, running ones
    /// included.
    ///
    /// # Errors
    /// [`EngineError::Backend`] if the cache cannot be cleared.
    pub fn forget(&mut self, session: &SessionId) -> Result<(), EngineError> {
        for slot in self.slots.iter_mut().filter(|s| s.session() == session) {
            slot.forget();
        }
        Ok(self.cache.forget(self.backend.as_mut(), session)?)
    }
}

/// What a state belongs to. Two models that agree in all of this and differ in
/// their weights are not told apart.
fn fingerprint(facts: &ModelFacts) -> String {
    format!(
        "{} ({}, {}, {} layers of {}, {} tokens, {} parameters, {} bytes)",
        facts.name,
        facts.backend,
        facts.architecture,
        facts.n_layers,
        facts.n_embd,
        facts.n_vocab,
        facts.n_params,
        facts.size_bytes
    )
}
