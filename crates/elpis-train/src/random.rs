//! Random vectors, which trained ones are compared with.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::error::TrainingError;
use elpis_steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringPlan, SteeringVector,
    VectorFormat, write,
};

/// A plan with the layers and norms of another and random directions.
pub(super) fn random_plan(
    plan: &SteeringPlan,
    seed: u64,
    context: &LibraryContext,
    blend: BlendOptions,
) -> Result<Option<Arc<SteeringPlan>>, TrainingError> {
    const NAME: &str = "calm";
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // A sum of twelve uniform numbers is close to normal.
    let mut normal = || -> f64 {
        let uniform = (0..12).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5);
        uniform.sum()
    };
    let rows = plan.layers.iter().map(|layer| {
        let row: Vec<f64> = layer.values.iter().map(|_| normal()).collect();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        let factor = f64::from(layer.norm) / norm.max(f64::MIN_POSITIVE);
        let row = row.into_iter().map(|x| (x * factor) as f32).collect();
        (layer.layer, row)
    });
    let vector = SteeringVector::layered(rows.collect()).map_err(|source| {
        let emotion = "a random vector".to_owned();
        TrainingError::Vector { emotion, source }
    })?;
    let bytes = write(VectorFormat::Safetensors, &vector).map_err(|source| {
        let emotion = "a random vector".to_owned();
        TrainingError::Format { emotion, source }
    })?;
    let file = LibraryFile {
        name: format!("{NAME}.{}", VectorFormat::Safetensors.extension()),
        bytes,
    };
    let library = SteeringLibrary::build(vec![file], context)?;
    let coefficients = [(NAME, 1.0)].into_iter();
    Ok(library.blend(coefficients, &blend).map(Arc::new))
}
