//! Saves and restores a session's cached sequence.

use super::cached_sequence::CachedSequence;
use super::step::Scheduler;
use crate::backend::ModelFacts;
use crate::error::EngineError;
use crate::inference::{KvSnapshot, KvSnapshotError, KvSpan, SessionId};

impl Scheduler {
    /// Serialises the latest finished cached sequence of a session; `None` if none is kept.
    ///
    /// # Errors
    /// [`EngineError::Backend`] if the cache cannot be read.
    pub fn save(&mut self, session: &SessionId) -> Result<Option<Vec<u8>>, EngineError> {
        let latest = self.cache.latest(self.backend.as_mut(), session)?;
        let Some((cached, state)) = latest else {
            return Ok(None);
        };
        let snapshot = KvSnapshot {
            model: fingerprint(&self.shared.facts),
            tokens: cached.tokens().to_vec(),
            spans: cached
                .spans()
                .iter()
                .map(|span| KvSpan {
                    end: span.end as u32,
                    key: span.key,
                })
                .collect(),
            state,
        };
        Ok(Some(snapshot.to_bytes()?))
    }

    /// Keeps a cached sequence returned by [`save`](Self::save) for a session's next turn, and
    /// returns its length in tokens. If the backend refuses it at that point, the prompt is
    /// evaluated instead.
    ///
    /// # Errors
    /// [`EngineError::KvSnapshot`] if the bytes are damaged, belong to another model or are too
    /// long. In that case nothing changes.
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
        let (bytes, limit) = (snapshot.state.len(), self.cache.memory());
        if bytes > limit {
            return Err(KvSnapshotError::NoMemory { bytes, limit }.into());
        }
        let cached = CachedSequence::of(snapshot.tokens, snapshot.spans.iter());
        let (session, backend) = (session.clone(), self.backend.as_mut());
        self.cache
            .keep_stored(backend, session, cached, snapshot.state)?;
        Ok(tokens)
    }

    /// Drops the cached sequences of a session, including those of running generations.
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

/// Identifies the model that a snapshot belongs to. The description names the number type; the
/// digest covers samples of the weights.
fn fingerprint(facts: &ModelFacts) -> String {
    format!(
        "{} ({}, {}, {} layers of {}, {} tokens, {} parameters, {} bytes, weights {})",
        facts.name,
        facts.backend,
        facts.description,
        facts.n_layers,
        facts.n_embd,
        facts.n_vocab,
        facts.n_params,
        facts.size_bytes,
        facts.weights_digest
    )
}
