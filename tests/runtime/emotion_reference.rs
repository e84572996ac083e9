//! The dynamics agree with sequences recorded on the reference.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod appraisal;
mod behavior;

use std::sync::Arc;

use elpis::emotion::{
    EmotionConfig, EmotionError, EmotionTracker, EmotionalState, Modulation, SamplingBase,
    replay_line,
};
use serde_json::{Value, json};

const SEQUENCES: &str = include_str!("../data/emotion_sequences.jsonl");
const TOLERANCE: f64 = 1e-12;

/// What is computed, and was not recorded.
const BESIDES: [&str; 1] = ["mood"];

fn assert_agrees(path: &str, ours: &Value, theirs: &Value) -> usize {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys = |map: &serde_json::Map<String, Value>| {
                let mut keys: Vec<_> = map.keys().cloned().collect();
                keys.retain(|key| !BESIDES.contains(&key.as_str()));
                keys.sort();
                keys
            };
            assert_eq!(keys(ours), keys(theirs), "{path}");
            theirs
                .iter()
                .map(|(key, value)| assert_agrees(&format!("{path}.{key}"), &ours[key], value))
                .sum()
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{path}");
            ours.iter()
                .zip(theirs)
                .enumerate()
                .map(|(index, (ours, theirs))| {
                    assert_agrees(&format!("{path}[{index}]"), ours, theirs)
                })
                .sum()
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            assert!(
                (ours - theirs).abs() <= TOLERANCE,
                "{path}: {ours} against {theirs}"
            );
            1
        }
        _ => {
            assert_eq!(ours, theirs, "{path}");
            1
        }
    }
}

const COMPUTED: [&str; 7] = [
    "valence",
    "arousal",
    "quadrant",
    "temperature",
    "top_p",
    "coefficients",
    "trajectory",
];

#[test]
fn recorded_sequences_are_reproduced() {
    let mut sequences = 0;
    let mut figures = 0;
    for line in SEQUENCES.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let mut input = expected.clone();
        for step in input["steps"].as_array_mut().unwrap() {
            let step = step.as_object_mut().unwrap();
            step.retain(|key, _| !COMPUTED.contains(&key.as_str()));
        }
        let replayed = replay_line(&input.to_string()).unwrap();
        figures += assert_agrees(&format!("seed {}", expected["seed"]), &replayed, &expected);
        assert_eq!(
            replay_line(line).unwrap(),
            replayed,
            "computed fields are not input"
        );
        sequences += 1;
    }
    assert_eq!(sequences, 24);
    assert!(figures > 24 * 25 * 15, "{figures}");
}

#[test]
fn stale_computed_fields_are_replaced_and_unknown_ones_kept() {
    let line = json!({
        "seed": 7, "note": {"by": "hand"}, "settings": {"decay_rate": 0.5},
        "steps": [{"at": 0, "event": "success", "valence": 9, "tag": "x"},
                  {"at": 2.0, "event": "deploy", "intensity": 1, "delta_valence": 0.1, "delta_arousal": -0.3}],
    });
    let replayed = replay_line(&line.to_string()).unwrap();
    assert_eq!(replayed["seed"], 7);
    assert_eq!(replayed["note"], json!({"by": "hand"}));
    assert_eq!(replayed["steps"][0]["tag"], "x");
    assert_eq!(replayed["steps"][0]["valence"], 0.2);
    let decayed = (-1.0_f64).exp();
    let valence = replayed["steps"][1]["valence"].as_f64().unwrap();
    assert!((valence - (0.2 * decayed + 0.1)).abs() < 1e-15, "{valence}");
    let arousal = replayed["steps"][1]["arousal"].as_f64().unwrap();
    assert!((arousal - (0.1 * decayed - 0.3)).abs() < 1e-15, "{arousal}");
}

#[test]
fn replay_errors_name_step_and_field() {
    let step = |step: Value| json!({"steps": [{"at": 1, "event": "idle"}, step]}).to_string();
    for (line, kind, field, text) in [
        (String::new(), "malformed", "line", "line is malformed"),
        ("[]".into(), "malformed", "line", "line is malformed"),
        (
            "{}".into(),
            "malformed",
            "steps",
            "steps is malformed: missing or not an array",
        ),
        (
            r#"{"settings": {"decayrate": 1}, "steps": []}"#.into(),
            "malformed",
            "settings",
            "decayrate",
        ),
        (
            r#"{"settings": {"decay_rate": "x"}, "steps": []}"#.into(),
            "malformed",
            "settings",
            "invalid type",
        ),
        (
            r#"{"settings": {"decay_rate": -1}, "steps": []}"#.into(),
            "out_of_range",
            "decay_rate",
            "decay_rate is -1, must be in 0..=100",
        ),
        (step(json!(3)), "malformed", "steps", "step 1: "),
        (
            step(json!({"event": "idle"})),
            "malformed",
            "at",
            "step 1: at is malformed: missing",
        ),
        (
            step(json!({"at": "x", "event": "idle"})),
            "malformed",
            "at",
            "step 1: at is malformed: not a number",
        ),
        (
            step(json!({"at": 1e300, "event": "idle"})),
            "out_of_range",
            "at",
            "step 1: at is 1",
        ),
        (
            step(json!({"at": 1})),
            "malformed",
            "event",
            "step 1: event is malformed: missing",
        ),
        (
            step(json!({"at": 1, "event": 5})),
            "malformed",
            "event",
            "step 1: event",
        ),
        (
            step(json!({"at": 1, "event": ""})),
            "invalid_name",
            "event",
            "step 1: event is \"\", must have",
        ),
        (
            step(json!({"at": 1, "event": "idle", "intensity": -1})),
            "out_of_range",
            "intensity",
            "step 1: intensity is -1",
        ),
        (
            step(json!({"at": 1, "event": "x", "delta_valence": 1})),
            "malformed",
            "delta_arousal",
            "step 1: delta_arousal",
        ),
        (
            step(json!({"at": 1, "event": "x", "delta_valence": 2, "delta_arousal": 0})),
            "out_of_range",
            "delta_valence",
            "step 1: delta_valence is 2",
        ),
    ] {
        let error = replay_line(&line).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (kind, field),
            "{line}: {error}"
        );
        assert!(error.to_string().contains(text), "{line}: {error}");
    }
}

#[test]
fn settings_are_checked_field_by_field() {
    let defaults = serde_json::to_value(EmotionConfig::default()).unwrap();
    let config: EmotionConfig = serde_json::from_str(r#"{"dynamics": 2}"#).unwrap();
    assert_eq!(config, EmotionConfig::default());
    config.validate().unwrap();
    assert!(serde_json::from_str::<EmotionConfig>(r#"{"decay": 1}"#).is_err());
    let mut checked = 0;
    for (field, default) in defaults.as_object().unwrap() {
        let bad: &[Value] = match default {
            Value::Bool(_) | Value::Array(_) | Value::String(_) => continue,
            Value::Null => &[json!(0)],
            Value::Number(number) if number.is_u64() => &[json!(0), json!(1_000_000)],
            _ => &[json!(-1e6), json!(1e6)],
        };
        for value in bad {
            let mut settings = defaults.clone();
            settings[field] = value.clone();
            let read = serde_json::from_value::<EmotionConfig>(settings);
            checked += 1;
            // Durations are never negative.
            if field.ends_with("_seconds") && value.as_f64() < Some(0.0) {
                assert!(read.unwrap_err().to_string().contains("-1000000 seconds"));
                continue;
            }
            let config = read.unwrap();
            match config.validate() {
                Err(EmotionError::OutOfRange {
                    field: named,
                    value: given,
                    ..
                }) => {
                    assert_eq!(named, field);
                    assert_eq!(Some(given), value.as_f64());
                }
                other => panic!("{field} = {value}: {other:?}"),
            }
            assert!(EmotionTracker::new(Arc::new(config), 0.0).is_err());
        }
    }
    assert_eq!(checked, 2 * 31 + 1);
    for factor in [f64::NAN, 0.009, 1.1] {
        let config = EmotionConfig::default().streak_compounding_factor(factor);
        assert_eq!(
            config.validate().unwrap_err().field(),
            "streak_compounding_factor"
        );
    }
}

#[test]
fn the_base_of_sampling_is_respected_and_bounded() {
    let tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    for (base, temperature, top_p) in [
        (SamplingBase::default(), 0.7, 0.9),
        (SamplingBase::new(0.0, 0.0).unwrap(), 0.0, 0.001),
        (SamplingBase::new(0.05, 0.3).unwrap(), 0.05, 0.3),
        (SamplingBase::new(2.0, 1.0).unwrap(), 2.0, 1.0),
        (
            SamplingBase {
                temperature: f64::NAN,
                top_p: f64::NAN,
            },
            0.7,
            0.9,
        ),
    ] {
        let modulation = tracker.modulation_at(0.0, base);
        assert_eq!(
            (modulation.temperature, modulation.top_p),
            (temperature, top_p)
        );
    }
    assert_eq!(
        SamplingBase::new(f64::NAN, 0.9).unwrap_err().field(),
        "temperature"
    );
    assert_eq!(SamplingBase::new(0.7, 1.1).unwrap_err().field(), "top_p");
}

#[test]
fn greedy_stays_greedy_and_the_mood_moves_around_what_the_user_has_set() {
    let at = |temperature, top_p, valence, arousal| {
        let base = SamplingBase::new(temperature, top_p).unwrap();
        let state = EmotionalState::new(valence, arousal).unwrap();
        let modulation = Modulation::new(state, base, 1.0);
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        (round(modulation.temperature), round(modulation.top_p))
    };
    for (base, mood, expected) in [
        ((0.0, 0.9), (-1.0, -1.0), (0.0, 0.8)),
        ((0.0, 0.9), (1.0, 1.0), (0.0, 1.0)),
        ((0.05, 0.3), (-1.0, 1.0), (0.025, 0.2)),
        ((0.05, 0.3), (1.0, -1.0), (0.25, 0.4)),
        ((0.05, 0.1), (-1.0, 0.0), (0.05, 0.05)),
        ((0.1, 0.5), (-1.0, 1.0), (0.1, 0.5)),
        ((1.5, 1.0), (1.0, -1.0), (1.5, 1.0)),
        ((1.7, 0.9), (0.0, 0.5), (1.6, 0.9)),
        ((1.7, 0.9), (0.0, -0.5), (1.8, 0.9)),
        ((2.0, 0.9), (0.0, -1.0), (2.0, 0.9)),
        ((2.0, 0.9), (0.0, 1.0), (1.8, 0.9)),
    ] {
        assert_eq!(
            at(base.0, base.1, mood.0, mood.1),
            expected,
            "{base:?} {mood:?}"
        );
    }
}
