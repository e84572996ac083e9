//! The trait that every backend implements.

use std::sync::Arc;

use elpis_steering::{Projection, ReadingAxes};

use super::{BackendError, Batch, ModelFacts, SequenceId, Token, Tokenizer};

/// One loaded model with its key–value cache.
///
/// Every method added here must also be forwarded by [`BackendLayer`](crate::BackendLayer).
///
/// A backend is driven by one thread. It is `Send` so that it can be moved to that thread.
/// Positions count from 0 within a sequence.
pub trait Backend: Send {
    /// Facts about the loaded model.
    fn facts(&self) -> &Arc<ModelFacts>;

    /// The model's tokenizer, shared with callers that prepare prompts.
    fn tokenizer(&self) -> Arc<dyn Tokenizer>;

    /// Evaluates one batch: appends every row to its sequence's cache and
    /// computes logits for the rows that ask for them.
    ///
    /// # Errors
    /// [`BackendError::CacheFull`] if the cache has no room (nothing was evaluated),
    /// [`BackendError::Aborted`] after an abort, otherwise the error of the native library. After
    /// an error the caller must [`truncate`](Self::truncate) the sequences of the batch.
    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError>;

    /// Logits of a row of the last batch, `[n_vocab]`.
    ///
    /// # Errors
    /// [`BackendError::NoLogits`] if that row did not ask for logits.
    fn logits(&self, row: usize) -> Result<&[f32], BackendError>;

    /// Sets the axes that the residual stream of every row with logits is projected on from the
    /// next batch on, or none. The row is read before its own steering is added at that layer.
    ///
    /// A backend that cannot read refuses axes, which is what this does by default. After an error
    /// the axes in force stay.
    ///
    /// # Errors
    /// [`BackendError::Limit`] for a layer that does not exist or axes of another width,
    /// [`BackendError::Native`] if the backend cannot read.
    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        match axes {
            None => Ok(()),
            Some(_) => Err(BackendError::Native {
                call: "set_reading",
                reason: "this backend does not read the residual stream".to_owned(),
            }),
        }
    }

    /// The projection of a row of the last batch; `None` without axes, for a row without logits, or
    /// if the backend could not read the batch. By default there is none.
    fn projection(&self, row: usize) -> Option<Projection> {
        let _ = row;
        None
    }

    /// Removes the positions `from..` of a sequence from the cache.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the cache cannot be truncated there,
    /// [`BackendError::PrefixEvicted`] if the sequence could not continue from there.
    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError>;

    /// Makes the empty sequence `to` begin with the first `length` positions
    /// of `from`, which it shares or copies.
    ///
    /// # Errors
    /// [`BackendError::Limit`] for a sequence that does not exist, [`BackendError::PrefixEvicted`]
    /// if `to` could not continue from there.
    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError>;

    /// Returns the keys and values of a sequence, in the backend's own format.
    ///
    /// The result may reuse the buffer `memory`, which is empty or holds a dropped conversation.
    /// Copying into pages that were used before is several times faster than into fresh ones.
    ///
    /// # Errors
    /// [`BackendError::Native`] if the backend cannot read them.
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

    /// Registers `tell` to be called, once and on any thread, if the backend dies while it is idle.
    /// Only a backend in another process can.
    fn on_death(&mut self, tell: DeathNotice) {
        drop(tell);
    }
}

/// A callback for a backend that dies by itself.
pub type DeathNotice = Box<dyn FnOnce(BackendError) + Send>;
