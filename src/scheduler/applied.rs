//! Turns a modulation into sampling parameters and a steering plan.

use std::sync::Arc;

use super::shared::Shared;
use super::task::Task;
use crate::emotion::{Coefficients, EmotionalState, Modulation, Mood};
use crate::inference::{AppliedModulation, AppliedSteering, SamplingParams};
use crate::steering::SteeringPlan;

/// Turns a modulation into sampling parameters and a steering plan.
pub(super) fn apply(
    task: &Task,
    modulation: Option<&Modulation>,
    from_token: u32,
    shared: &Shared,
) -> (AppliedModulation, Option<Arc<SteeringPlan>>) {
    let mut base = task.sampling;
    let mut coefficients = Coefficients::default();
    let mut state = EmotionalState::default();
    let mut mood = Mood::Neutral;
    if let Some(modulation) = modulation {
        base.temperature = modulation.temperature as f32;
        base.top_p = modulation.top_p as f32;
        coefficients = shared.library.coefficients(
            modulation.valence,
            modulation.arousal,
            modulation.strength,
        );
        state = modulation.state();
        mood = modulation.mood;
    }
    if let Some(asked) = &task.options.coefficients {
        coefficients = asked.clone();
    }
    let sampling: SamplingParams = task.options.sampling(&base);
    let plan = shared
        .library
        .blend(coefficients.iter(), &shared.options.blend)
        .map(Arc::new);
    let applied = AppliedModulation {
        valence: state.valence(),
        arousal: state.arousal(),
        quadrant: state.quadrant(),
        mood,
        from_token,
        steering_from_token: from_token,
        sampling: SamplingParams {
            seed: task.sampling.seed,
            ..sampling
        },
        coefficients,
        library_version: shared.library.version().to_string(),
        steering: plan
            .iter()
            .flat_map(|plan| applied_steering(plan))
            .collect(),
    };
    (applied, plan)
}

fn applied_steering(plan: &SteeringPlan) -> impl Iterator<Item = AppliedSteering> + '_ {
    plan.layers.iter().map(|layer| AppliedSteering {
        layer: layer.layer,
        norm: layer.norm,
        residual_fraction: layer.residual_fraction,
        clamped: layer.clamped,
    })
}
