//! Norms of the residual stream at each layer: the unit of steering.

use super::{Backend, BackendError, ModelFacts, Token};
use elpis_steering::ReadingAxes;
use elpis_steering::contrast::median_norm;

/// The prompt on which the residual stream's norms are measured. Its content does not matter as
/// long as its tokens are ordinary.
const PROBE: &str = "The train was late this morning, so we walked along the river and talked \
    about the garden, the weather and the small repairs that an old house asks for every year.";
const PROBE_TOKENS: usize = 64;

/// The median norm at the output of each of the first `n_layers` layers.
///
/// # Errors
/// As [`Backend::residual_stream`].
pub fn measure(backend: &mut dyn Backend, n_layers: usize) -> Result<Vec<f32>, BackendError> {
    let mut tokens = backend.tokenizer().encode(PROBE, false)?;
    let facts = backend.facts();
    let most = PROBE_TOKENS
        .min(facts.batch_size)
        .min(facts.context_length as usize);
    tokens.truncate(most);
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let layers: Vec<usize> = (0..n_layers).collect();
    let stream = backend.residual_stream(&tokens, &layers)?;
    stream
        .iter()
        .map(|rows| median_norm(rows))
        .collect::<Result<_, _>>()
        .map_err(|error| BackendError::Native {
            call: "norm measurement",
            reason: error.to_string(),
        })
}

/// Checks the arguments of [`Backend::set_reading`].
///
/// # Errors
/// [`BackendError::Limit`] for a layer that does not exist or axes of another width,
/// [`BackendError::Native`] for a model whose layers are not accessible.
pub fn check_axes(facts: &ModelFacts, axes: Option<&ReadingAxes>) -> Result<(), BackendError> {
    let Some(axes) = axes else {
        return Ok(());
    };
    if let Some(reason) = &facts.unsteerable {
        return Err(BackendError::Native {
            call: "set_reading",
            reason: reason.clone(),
        });
    }
    let limit = |field, value: usize, limit| {
        Err(BackendError::Limit {
            field,
            value: value.to_string(),
            limit,
        })
    };
    let last = facts.n_layers.saturating_sub(1);
    if axes.layer > last {
        return limit(
            "layer",
            axes.layer,
            format!("layers 0 to {last} of this model"),
        );
    }
    for axis in [&axes.valence, &axes.arousal] {
        if axis.len() != facts.n_embd {
            return limit(
                "width of an axis",
                axis.len(),
                format!("{} of this model", facts.n_embd),
            );
        }
    }
    Ok(())
}

/// Checks the arguments of [`Backend::residual_stream`].
///
/// # Errors
/// [`BackendError::Limit`] for a layer that does not exist, or more tokens than one batch.
pub fn check(facts: &ModelFacts, tokens: &[Token], layers: &[usize]) -> Result<(), BackendError> {
    let limit = facts.n_layers;
    if let Some(&layer) = layers.iter().find(|&&layer| layer >= limit) {
        return Err(BackendError::Limit {
            field: "layer",
            value: layer.to_string(),
            limit: format!("layers 0 to {} of this model", limit.saturating_sub(1)),
        });
    }
    if tokens.len() > facts.batch_size {
        return Err(BackendError::Limit {
            field: "tokens",
            value: tokens.len().to_string(),
            limit: format!("one batch of {}", facts.batch_size),
        });
    }
    Ok(())
}
