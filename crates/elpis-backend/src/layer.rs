//! Wraps a backend.

use std::sync::Arc;

use elpis_steering::{Projection, ReadingAxes};

use super::{Backend, BackendError, Batch, DeathNotice, ModelFacts, SequenceId, Token, Tokenizer};

/// A backend that wraps another one, and observes or changes some of its calls. Every method that
/// is not overridden forwards the call.
///
/// A layer is also a [`Backend`], so methods called on `self` are ambiguous where both traits are
/// in scope. Call those of the inner backend instead.
///
/// In the runtime `elpis`, `BackendFactory::map` wraps the configured backend in a layer.
///
/// ```
/// use elpis_backend::{Backend, BackendError, BackendLayer, Batch};
///
/// /// Logs the number of rows of each step.
/// struct Logged(Box<dyn Backend>);
///
/// impl BackendLayer for Logged {
///     fn inner(&self) -> &dyn Backend {
///         &*self.0
///     }
///
///     fn inner_mut(&mut self) -> &mut dyn Backend {
///         &mut *self.0
///     }
///
///     fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
///         eprintln!("{} rows", batch.len());
///         self.0.decode(batch)
///     }
/// }
///
/// fn logged(inner: Box<dyn Backend>) -> Box<dyn Backend> {
///     Box::new(Logged(inner))
/// }
/// ```
#[allow(
    clippy::missing_errors_doc,
    reason = "each method forwards to the method of `Backend` with the same name"
)]
pub trait BackendLayer: Send {
    /// The inner backend.
    fn inner(&self) -> &dyn Backend;

    /// The inner backend, mutable.
    fn inner_mut(&mut self) -> &mut dyn Backend;

    /// [`Backend::facts`].
    fn facts(&self) -> &Arc<ModelFacts> {
        self.inner().facts()
    }

    /// [`Backend::tokenizer`].
    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        self.inner().tokenizer()
    }

    /// [`Backend::decode`].
    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.inner_mut().decode(batch)
    }

    /// [`Backend::logits`].
    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        self.inner().logits(row)
    }

    /// [`Backend::set_reading`].
    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        self.inner_mut().set_reading(axes)
    }

    /// [`Backend::projection`].
    fn projection(&self, row: usize) -> Option<Projection> {
        self.inner().projection(row)
    }

    /// [`Backend::truncate`].
    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.inner_mut().truncate(sequence, from)
    }

    /// [`Backend::share_prefix`].
    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.inner_mut().share_prefix(from, to, length)
    }

    /// [`Backend::save_sequence`].
    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.inner_mut().save_sequence(sequence, memory)
    }

    /// [`Backend::restore_sequence`].
    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.inner_mut().restore_sequence(sequence, length, bytes)
    }

    /// [`Backend::residual_stream`].
    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        self.inner_mut().residual_stream(tokens, layers)
    }

    /// [`Backend::on_death`].
    fn on_death(&mut self, tell: DeathNotice) {
        self.inner_mut().on_death(tell);
    }
}

impl<L: BackendLayer> Backend for L {
    fn facts(&self) -> &Arc<ModelFacts> {
        BackendLayer::facts(self)
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        BackendLayer::tokenizer(self)
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        BackendLayer::decode(self, batch)
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        BackendLayer::logits(self, row)
    }

    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        BackendLayer::set_reading(self, axes)
    }

    fn projection(&self, row: usize) -> Option<Projection> {
        BackendLayer::projection(self, row)
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        BackendLayer::truncate(self, sequence, from)
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        BackendLayer::share_prefix(self, from, to, length)
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        BackendLayer::save_sequence(self, sequence, memory)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        BackendLayer::restore_sequence(self, sequence, length, bytes)
    }

    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        BackendLayer::residual_stream(self, tokens, layers)
    }

    fn on_death(&mut self, tell: DeathNotice) {
        BackendLayer::on_death(self, tell);
    }
}
