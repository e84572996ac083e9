//! The model that a library is for.

use super::error::LibraryError;
use crate::vector::{MAX_LAYERS, MAX_WIDTH};

/// The model that a library is for.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryContext {
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// The layer of a bare vector if the manifest names none.
    pub default_layer: Option<usize>,
    /// Median Euclidean norm of the residual stream at the output of each layer, if measured;
    /// without the last layer if that one cannot be steered.
    pub residual_norms: Option<Vec<f32>>,
    /// Why no layer can be steered; `None` if layers can be.
    pub unsteerable: Option<String>,
}

impl LibraryContext {
    /// Creates the context of a model without a default layer and without measured norms.
    pub fn new(n_layers: usize, n_embd: usize) -> Self {
        Self {
            n_layers,
            n_embd,
            default_layer: None,
            residual_norms: None,
            unsteerable: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), LibraryError> {
        let refuse = |field, value: String, limit: String| {
            Err(LibraryError::Context {
                field,
                value,
                limit,
            })
        };
        if self.n_layers > MAX_LAYERS {
            return refuse(
                "n_layers",
                self.n_layers.to_string(),
                format!("at most {MAX_LAYERS}"),
            );
        }
        if self.n_embd == 0 || self.n_embd > MAX_WIDTH {
            return refuse(
                "n_embd",
                self.n_embd.to_string(),
                format!("from 1 to {MAX_WIDTH}"),
            );
        }
        let Some(norms) = &self.residual_norms else {
            return Ok(());
        };
        let but_last = self.n_layers.saturating_sub(1);
        if norms.len() != but_last && norms.len() != self.n_layers {
            return refuse(
                "residual_norms",
                format!("{} values", norms.len()),
                format!("one for each of the {} layers", self.n_layers),
            );
        }
        match norms.iter().find(|&&n| !(n > 0.0 && n.is_finite())) {
            Some(norm) => refuse(
                "residual_norms",
                norm.to_string(),
                "finite and above 0".to_owned(),
            ),
            None => Ok(()),
        }
    }

    pub(super) fn residual(&self, layer: usize) -> Option<f32> {
        self.residual_norms.as_ref()?.get(layer).copied()
    }

    /// The first layer that cannot be steered.
    pub(super) fn limit(&self) -> usize {
        self.residual_norms.as_ref().map_or(self.n_layers, Vec::len)
    }
}
