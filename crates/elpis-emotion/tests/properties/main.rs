//! Properties of the dynamics: exactness, bounds, persistence.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod machines;
mod refusals;
mod tracker;

use std::sync::Arc;

use elpis_emotion::{
    Coefficients, EmotionConfig, EmotionEvent, EmotionTracker, EmotionalState, KNOWN_EVENTS,
    Quadrant, STREAK_WINDOW_SECONDS, decay, known, place_coefficients,
};
use proptest::prelude::*;

/// Coordinates, often on the axes, the edges or equal to one another.
fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1.0..=1.0_f64,
        2 => (-10..=10_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => Just(0.0),
        1 => Just(1e-9),
    ]
}

fn state() -> impl Strategy<Value = EmotionalState> {
    (coordinate(), coordinate()).prop_map(|(v, a)| EmotionalState::new(v, a).unwrap())
}

fn multiplier() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.1..3.0_f64, 1 => Just(0.0), 1 => Just(1.0)]
}

fn config() -> impl Strategy<Value = EmotionConfig> {
    let rate = prop_oneof![4 => 0.0..2.0_f64, 1 => Just(0.0), 1 => Just(0.1)];
    (
        coordinate(),
        coordinate(),
        rate,
        multiplier(),
        multiplier(),
        multiplier(),
        multiplier(),
    )
        .prop_map(
            |(valence, arousal, rate, excited, frustrated, calm, depleted)| {
                EmotionConfig::default()
                    .baseline_valence(valence)
                    .baseline_arousal(arousal)
                    .decay_rate(rate)
                    .decay_multiplier_excited(excited)
                    .decay_multiplier_frustrated(frustrated)
                    .decay_multiplier_calm(calm)
                    .decay_multiplier_depleted(depleted)
            },
        )
}

fn event() -> impl Strategy<Value = EmotionEvent> {
    let known = (0..KNOWN_EVENTS.len()).prop_map(|index| EmotionEvent::from(KNOWN_EVENTS[index]));
    let custom = (-1.0..=1.0_f64, -1.0..=1.0_f64)
        .prop_map(|(v, a)| EmotionEvent::custom("custom", v, a).unwrap());
    (prop_oneof![4 => known, 1 => custom], 0.0..3.0_f64)
        .prop_map(|(event, intensity)| event.with_intensity(intensity).unwrap())
}

fn timeline() -> impl Strategy<Value = Vec<(f64, EmotionEvent)>> {
    prop::collection::vec((0.0..120.0_f64, event()), 0..60).prop_map(|steps| {
        let mut at = 0.0;
        steps
            .into_iter()
            .map(|(pause, event)| {
                at += pause;
                (at, event)
            })
            .collect()
    })
}

fn distance(a: EmotionalState, b: EmotionalState) -> f64 {
    (a.valence() - b.valence())
        .abs()
        .max((a.arousal() - b.arousal()).abs())
}

/// Decay in many small steps of the rule itself, for comparison.
fn decay_in_steps(
    start: EmotionalState,
    config: &EmotionConfig,
    seconds: f64,
    steps: u32,
) -> EmotionalState {
    let mut state = start;
    let step = seconds / f64::from(steps);
    for _ in 0..steps {
        let rate = config.decay_rate * config.decay_multiplier(state.quadrant());
        let kept = (-rate * step).exp();
        let toward = |value: f64, baseline: f64| baseline + (value - baseline) * kept;
        state = EmotionalState::new(
            toward(state.valence(), config.baseline_valence).clamp(-1.0, 1.0),
            toward(state.arousal(), config.baseline_arousal).clamp(-1.0, 1.0),
        )
        .unwrap();
    }
    state
}

proptest! {
    #[test]
    fn reading_changes_nothing(
        config in config(), timeline in timeline(), reads in prop::collection::vec(-10.0..9e3_f64, 0..20),
    ) {
        let config = Arc::new(config);
        let mut quiet = EmotionTracker::new(config.clone(), 0.0).unwrap();
        let mut watched = quiet.clone();
        for (index, (at, event)) in timeline.iter().enumerate() {
            for read in &reads {
                watched.snapshot_at(at + read / (index + 1) as f64);
            }
            prop_assert_eq!(quiet.apply(event, *at).unwrap(), watched.apply(event, *at).unwrap());
        }
        prop_assert_eq!(quiet, watched);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn decay_composes(
        start in state(), config in config(), first in 0.0..40.0_f64, second in 0.0..40.0_f64,
    ) {
        let whole = decay(start, &config, first + second);
        let parts = decay(decay(start, &config, first), &config, second);
        prop_assert!(distance(whole, parts) <= 1e-12, "{whole:?} against {parts:?}");
    }

    #[test]
    fn decay_composes_at_a_crossing(
        start in state(), config in config(), later in 0.0..40.0_f64, shift in -3..=3_i32,
    ) {
        // Bisect for the last moment in the first quadrant, and cut the time around it.
        let (mut low, mut high) = (0.0, 80.0);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if decay(start, &config, middle).quadrant() == start.quadrant() {
                low = middle;
            } else {
                high = middle;
            }
        }
        let first = (low * (1.0 + f64::from(shift) * f64::EPSILON)).max(0.0);
        let whole = decay(start, &config, first + later);
        let parts = decay(decay(start, &config, first), &config, later);
        prop_assert!(distance(whole, parts) <= 1e-12, "{whole:?} against {parts:?} at {first}");
    }

    #[test]
    fn decay_approaches_the_baseline_and_never_passes_it(
        start in state(), config in config(), seconds in 0.0..1e4_f64,
    ) {
        let after = decay(start, &config, seconds);
        let between = |value: f64, from: f64, to: f64| {
            (from.min(to) - 1e-15..=from.max(to) + 1e-15).contains(&value)
        };
        prop_assert!(between(after.valence(), start.valence(), config.baseline_valence));
        prop_assert!(between(after.arousal(), start.arousal(), config.baseline_arousal));
    }
}

proptest! {
    #[test]
    fn decay_agrees_with_small_steps(start in state(), config in config(), seconds in 0.0..10.0_f64) {
        // Where a quadrant does not decay at all, a step that overshoots its border is off for good.
        prop_assume!(Quadrant::ALL.iter().all(|q| config.decay_multiplier(*q) > 0.0));
        let exact = decay(start, &config, seconds);
        let stepped = decay_in_steps(start, &config, seconds, 20_000);
        prop_assert!(distance(exact, stepped) <= 5e-3, "{exact:?} against {stepped:?}");
    }

    #[test]
    fn a_tracker_survives_serialisation_exactly(
        config in config(), timeline in timeline(), more in event(), pause in 0.0..900.0_f64,
    ) {
        let mut tracker = EmotionTracker::new(Arc::new(config), 0.0).unwrap();
        tracker.set_steering_strength(1.7).unwrap();
        for (at, event) in &timeline {
            tracker.apply(event, *at).unwrap();
        }
        let text = serde_json::to_string(&tracker).unwrap();
        let mut restored: EmotionTracker = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&restored, &tracker);
        let at = tracker.last_at() + pause;
        prop_assert_eq!(tracker.apply(&more, at).unwrap(), restored.apply(&more, at).unwrap());
        prop_assert_eq!(tracker.snapshot_at(at + 1.0), restored.snapshot_at(at + 1.0));
    }

    #[test]
    fn everything_stays_in_range(config in config(), timeline in timeline()) {
        let limit = config.max_delta;
        let mut tracker = EmotionTracker::new(Arc::new(config), 0.0).unwrap();
        for (at, event) in &timeline {
            let applied = tracker.apply(event, *at).unwrap();
            prop_assert!((0.0..=2.2 + 1e-12).contains(&applied.intensity));
            prop_assert!(applied.delta_valence.abs() <= limit && applied.delta_arousal.abs() <= limit);
            let snapshot = tracker.snapshot_at(*at);
            prop_assert_eq!((snapshot.valence, snapshot.arousal), (applied.after.valence(), applied.after.arousal()));
            let modulation = &snapshot.modulation;
            prop_assert!((0.5 - 1e-12..=0.9 + 1e-12).contains(&modulation.temperature));
            prop_assert!((0.8 - 1e-12..=1.0).contains(&modulation.top_p));
            prop_assert!((modulation.coefficients.iter().map(|(_, c)| c).sum::<f64>() - 1.0).abs() < 1e-14);
            prop_assert!(snapshot.trajectory.valence_velocity.abs() <= 1.0);
            prop_assert!(tracker.history().len() <= 20);
        }
        prop_assert_eq!(tracker.events_applied(), timeline.len() as u64);
    }

    #[test]
    fn a_reset_tracker_is_a_new_one(config in config(), timeline in timeline(), pause in 0.0..10.0_f64) {
        let config = Arc::new(config);
        let mut tracker = EmotionTracker::new(config.clone(), 0.0).unwrap();
        for (at, event) in &timeline {
            tracker.apply(event, *at).unwrap();
        }
        let at = tracker.last_at() + pause;
        tracker.reset(at).unwrap();
        prop_assert_eq!(tracker, EmotionTracker::new(config, at).unwrap());
    }

    #[test]
    fn places_reduce_to_the_bilinear_rule(at in state(), strength in 0.0..=3.0_f64) {
        let places = place_coefficients(at.valence(), at.arousal(), strength, std::iter::empty()).unwrap();
        let bilinear = Coefficients::bilinear(at.valence(), at.arousal(), strength);
        prop_assert_eq!(places.len(), 4);
        for (emotion, coefficient) in bilinear.iter() {
            prop_assert!((places.get(emotion).unwrap() - coefficient).abs() <= 1e-14);
        }
    }

    #[test]
    fn places_share_the_strength(at in state(), places in prop::collection::vec(state(), 1..6), strength in 0.0..=3.0_f64) {
        let names: Vec<String> = (0..places.len()).map(|index| format!("e{index}")).collect();
        let places = names.iter().zip(&places).map(|(name, place)| (name.as_str(), place.valence(), place.arousal()));
        let weights = place_coefficients(at.valence(), at.arousal(), strength, places).unwrap();
        prop_assert_eq!(weights.len(), 4 + names.len());
        prop_assert!(weights.iter().all(|(_, weight)| weight >= 0.0));
        prop_assert!((weights.iter().map(|(_, weight)| weight).sum::<f64>() - strength).abs() < 1e-12);
    }

    #[test]
    fn remembered_streaks_are_exact(
        factor in prop_oneof![0.01..=1.0_f64, Just(0.01), Just(0.1), Just(0.2), Just(0.0)],
        pauses in prop::collection::vec(prop_oneof![0.0..8.0_f64, Just(100.0), Just(0.0)], 1..400),
        failing in any::<bool>(),
    ) {
        let config = EmotionConfig::default().streak_compounding_factor(factor).mood_inertia_enabled(false);
        let event = EmotionEvent::from(if failing { known::BLOCKED } else { known::INSIGHT });
        let mut tracker = EmotionTracker::new(Arc::new(config), 0.0).unwrap();
        let mut times: Vec<f64> = Vec::new();
        for pause in pauses {
            let at = times.last().copied().unwrap_or(0.0) + pause;
            let n = times.iter().filter(|time| **time > at - STREAK_WINDOW_SECONDS).count() as f64;
            let expected = if failing { (1.0 + factor * n).min(2.0) } else { (1.0 - factor * n).max(0.5) };
            let applied = tracker.apply(&event, at).unwrap();
            prop_assert_eq!(applied.intensity.to_bits(), expected.to_bits());
            times.push(at);
        }
    }
}

#[test]
fn a_path_through_the_origin_skips_quadrants_it_only_touches() {
    // Calm and frustrated do not decay: a rounding into one of them would hold the path for ever.
    let base = EmotionConfig::default()
        .decay_multiplier_calm(0.0)
        .decay_multiplier_frustrated(0.0);
    for (v, a, scale) in [
        (0.07, 0.1, 3.0),
        (0.1, 0.3, 1.0),
        (0.013, 0.29, 2.7),
        (0.3, 0.3, 0.1),
    ] {
        let config = base.clone().baseline_valence(v).baseline_arousal(a);
        let start = EmotionalState::new(-v * scale, -a * scale).unwrap();
        let end = decay(start, &config, 1e4);
        assert!(distance(end, config.baseline()) < 1e-12, "{v} {a}: {end:?}");
    }
}

#[test]
fn decay_at_the_borders() {
    let config = |valence, frustrated, calm| {
        EmotionConfig::default()
            .baseline_valence(valence)
            .decay_multiplier_frustrated(frustrated)
            .decay_multiplier_calm(calm)
    };
    let at = |v, a| EmotionalState::new(v, a).unwrap();
    // From excited into frustrated: ln(1.5)/0.1 s to the axis, then half as fast.
    let to_axis = (0.75_f64 / 0.5).ln() / 0.1;
    let end = decay(at(0.25, 0.0), &config(-0.5, 0.5, 1.0), to_axis + 4.0);
    assert!(
        (end.valence() - (-0.5 + 0.5 * (-0.2_f64).exp())).abs() < 1e-15,
        "{end:?}"
    );
    // It stops on an axis beyond which nothing decays, and says which side it is on.
    let stopped = decay(at(0.25, 0.0), &config(-0.5, 0.0, 1.0), 1e9);
    assert_eq!(
        (stopped.valence(), stopped.quadrant()),
        (0.0, Quadrant::Excited)
    );
    // On the axis, the side that lies ahead counts.
    let end = decay(at(0.0, 0.0), &config(-0.5, 0.5, 1.0), 4.0);
    assert!(
        (end.valence() - (-0.5 + 0.5 * (-0.2_f64).exp())).abs() < 1e-15,
        "{end:?}"
    );
    // Zero rate, zero time, no time.
    let still = EmotionConfig::default().decay_rate(0.0);
    assert_eq!(decay(at(0.3, -0.7), &still, f64::INFINITY), at(0.3, -0.7));
    for seconds in [0.0, -1.0, f64::NAN] {
        assert_eq!(
            decay(at(0.3, -0.7), &EmotionConfig::default(), seconds),
            at(0.3, -0.7)
        );
    }
    assert!(
        distance(
            decay(at(0.3, -0.7), &EmotionConfig::default(), f64::INFINITY),
            at(0.0, 0.0)
        ) < 1e-300
    );
}

#[test]
fn quadrants_own_their_positive_axes() {
    for (v, a, quadrant) in [
        (0.0, 0.0, "excited"),
        (-0.0, 0.0, "excited"),
        (-1e-300, 0.0, "frustrated"),
        (0.0, -1e-300, "calm"),
        (-1.0, -1.0, "depleted"),
    ] {
        let state = EmotionalState::new(v, a).unwrap();
        assert_eq!(state.quadrant().to_string(), quadrant);
        assert_eq!(serde_json::to_value(state.quadrant()).unwrap(), quadrant);
    }
    for (v, a) in [
        (f64::NAN, 0.0),
        (0.0, f64::NAN),
        (1.0001, 0.0),
        (0.0, -1.0001),
    ] {
        assert!(EmotionalState::new(v, a).is_err());
    }
}

#[test]
fn spirals_are_told_by_their_direction() {
    let still = EmotionConfig::default()
        .decay_rate(0.0)
        .mood_inertia_enabled(false);
    for (v, a, spiral) in [
        (0.1, 0.05, "positive"),
        (-0.1, 0.05, "negative"),
        (0.05, 0.1, "escalating"),
        (0.05, -0.1, "withdrawing"),
        (0.1, 0.1, "positive"),
        // Too small a change to tell: where it ends decides, the arousal on a tie.
        (0.01, 0.01, "escalating"),
        (-0.01, 0.005, "negative"),
        (0.0, 0.0, "none"),
    ] {
        let mut tracker = EmotionTracker::new(Arc::new(still.clone()), 0.0).unwrap();
        let event = EmotionEvent::custom("step", v, a).unwrap();
        for at in 0..5 {
            assert_eq!(tracker.trajectory_at(f64::from(at)).spiral.as_str(), "none");
            tracker.apply(&event, f64::from(at)).unwrap();
        }
        assert_eq!(
            tracker.trajectory_at(5.0).spiral.as_str(),
            spiral,
            "{v} {a}"
        );
    }
}
