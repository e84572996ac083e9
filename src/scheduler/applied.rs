//! Turns a modulation into sampling parameters and a steering plan.

use std::sync::Arc;

use super::task::Task;
use crate::emotion::{Coefficients, EmotionalState, Modulation, Mood};
use crate::inference::{AppliedModulation, AppliedSteering, SamplingParams};
use crate::steering::{BlendOptions, Place, SteeringLibrary, SteeringPlan};

/// What is changed in the steering of a reply because of the reply itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Correction {
    /// Factor on the coefficients, by the repetition guard.
    pub(super) factor: f64,
    /// Added to the state before its coefficients are computed, by the expression control.
    pub(super) offset: Place,
}

/// Turns a modulation into sampling parameters and a steering plan.
pub(super) fn apply(
    task: &Task,
    modulation: Option<&Modulation>,
    from_token: u32,
    correction: Correction,
    library: &SteeringLibrary,
    blend: BlendOptions,
) -> (AppliedModulation, Option<Arc<SteeringPlan>>) {
    let mut base = task.sampling;
    let mut coefficients = Coefficients::default();
    let mut state = EmotionalState::default();
    let mut mood = Mood::Neutral;
    if let Some(modulation) = modulation {
        base.temperature = modulation.temperature as f32;
        base.top_p = modulation.top_p as f32;
        coefficients = library.coefficients(
            (modulation.valence + correction.offset.valence).clamp(-1.0, 1.0),
            (modulation.arousal + correction.offset.arousal).clamp(-1.0, 1.0),
            modulation.strength,
        );
        state = modulation.state();
        mood = modulation.mood;
    }
    if let Some(asked) = &task.options.coefficients {
        coefficients = asked.clone();
    }
    let sampling: SamplingParams = task.options.sampling(&base);
    let plan = plan(&coefficients, correction.factor, library, blend);
    let offset = correction.offset;
    let is_corrected = offset.valence != 0.0 || offset.arousal != 0.0;
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
        expression_offset: is_corrected.then_some(offset),
        steering_factor: correction.factor,
        library_version: library.version().to_string(),
        steering: added(plan.as_deref()),
    };
    (applied, plan)
}

fn plan(
    coefficients: &Coefficients,
    factor: f64,
    library: &SteeringLibrary,
    blend: BlendOptions,
) -> Option<Arc<SteeringPlan>> {
    let coefficients = coefficients.iter();
    let scaled = coefficients.map(|(emotion, coefficient)| (emotion, coefficient * factor));
    library.blend(scaled, &blend).map(Arc::new)
}

fn added(plan: Option<&SteeringPlan>) -> Vec<AppliedSteering> {
    plan.into_iter().flat_map(applied_steering).collect()
}

fn applied_steering(plan: &SteeringPlan) -> impl Iterator<Item = AppliedSteering> + '_ {
    plan.layers.iter().map(|layer| AppliedSteering {
        layer: layer.layer,
        norm: layer.norm,
        residual_fraction: layer.residual_fraction,
        clamped: layer.clamped,
    })
}
