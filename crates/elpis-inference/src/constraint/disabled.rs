//! Uninhabited types for builds without the cargo feature `tools`.

use super::{ConstraintError, Grammar, Progress, Scope};
use crate::sampling::Sampler;

/// Masks of a vocabulary; there are none in this build.
#[derive(Debug)]
pub enum Vocabulary {}

impl Vocabulary {
    /// Refuses, as this build has no masks.
    ///
    /// # Errors
    /// [`ConstraintError::NotBuilt`].
    pub fn new(
        _: usize,
        _: impl FnMut(u32, &mut Vec<u8>),
        _: impl FnMut(u32) -> bool,
    ) -> Result<Self, ConstraintError> {
        let field = "tools and response_format";
        Err(ConstraintError::NotBuilt { field })
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn compile(
        self: &std::sync::Arc<Self>,
        _: &Grammar,
        _: Scope,
    ) -> Result<Guide, ConstraintError> {
        match **self {}
    }
}

/// The tokens that may follow; there are none in this build.
#[derive(Debug)]
pub enum Mask {}

impl Mask {
    /// Cannot be called.
    pub fn words(&self) -> &[u32] {
        match *self {}
    }
}

/// A constraint in force; there is none in this build.
#[derive(Debug)]
pub enum Guide {}

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "as in the build with them"
)]
impl Guide {
    pub fn is_active(&self) -> bool {
        match *self {}
    }

    pub fn is_binding(&self) -> bool {
        match *self {}
    }

    pub fn is_accepting(&mut self) -> bool {
        match *self {}
    }

    pub fn writes_calls(&self) -> bool {
        match *self {}
    }

    pub fn mask(&mut self) -> Result<Mask, ConstraintError> {
        match *self {}
    }

    pub fn choose(&mut self, _: &mut Sampler, _: &[f32]) -> Result<u32, ConstraintError> {
        match *self {}
    }

    pub fn accept(&mut self, _: u32, _: &mut Vec<u8>) -> Result<Progress, ConstraintError> {
        match *self {}
    }
}
