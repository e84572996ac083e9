//! The trait that every backend implements.

use std::sync::Arc;

use super::{BackendError, Batch, ModelFacts, SequenceId, Token, Tokenizer};

/// One loaded model with its key–value cache.
///
/// What is added here, [`BackendLayer`](crate::BackendLayer) has to hand on.
///
/// A backend is driven by one thread; it is `Send` so that the thread can be
/// given it. Positions count from 0 within a sequence.
pub trait Backend: Send {
    /// Facts about the loaded model.
    fn facts(&self) -> &Arc<ModelFacts>;

    /// The model's tokenizer, shared with callers that prepare prompts.
    fn tokenizer(&self) -> Arc<dyn Tokenizer>;

    /// Evaluates one batch: appends every row to its sequence's cache and
    /// computes logits for the rows that ask for them.
    ///
    /// # Errors
    /// [`BackendError::CacheFull`] if the cache has no room (nothing was
    /// evaluated), [`BackendError::Aborted`] after an abort, otherwise what
    /// the native library reported. After an error the caller must
    /// [`truncate`](Self::truncate) the sequences of the batch.
    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError>;

    /// Logits of a row of the last batch, `[n_vocab]`.
    ///
    /// # Errors
    /// [`BackendError::NoLogits`] if that row did not ask for logits.
    fn logits(&self, row: usize) -> Result<&[f32], BackendError>;

    /// Removes the positions `from..` of a sequence from the cache.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the cache cannot be cut there,
    /// [`BackendError::PrefixEvicted`] if the sequence could not go on from there.
    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError>;

    /// Makes the empty sequence `to` begin with the first `length` positions
    /// of `from`, which it shares or copies.
    ///
    /// # Errors
    /// [`BackendError::Limit`] for a sequence that does not exist,
    /// [`BackendError::PrefixEvicted`] if `to` could not go on from there.
    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError>;

    /// The keys and values of a sequence, in the backend's own form.
    ///
    /// They may be written over `memory`, which holds the bytes of another
    /// conversation that is no longer kept, or nothing: pages that were used
    /// before take a large copy several times faster than fresh ones do.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the backend cannot give them.
    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError>;

    /// Fills an empty sequence with `length` positions that
    /// [`save_sequence`](Self::save_sequence) returned for the same model.
    ///
    /// # Errors
    /// [`BackendError::Native`] if they do not fit; the sequence is then
    /// empty.
    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError>;

    /// Evaluates a prompt in a scratch sequence and returns the residual
    /// stream at the output of the given decoder layers: for each layer, one
    /// row of `[n_embd]` per token. The scratch sequence is empty afterwards.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`BackendError::Limit`] for a layer that
    /// does not exist or a prompt longer than one batch.
    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError>;

    /// Has `tell` called, once and on any thread, if the backend dies while
    /// nothing is asked of it. Only a backend in another process can.
    fn on_death(&mut self, tell: DeathNotice) {
        drop(tell);
    }
}

/// A callback for a backend that dies on its own.
pub type DeathNotice = Box<dyn FnOnce(BackendError) + Send>;
