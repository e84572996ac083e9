//! The dynamics agree with sequences recorded on the reference.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

use std::sync::Arc;

use elpis::ReferenceAppraiser;
use elpis::emotion::{
    BehaviorMonitor, EmotionConfig, EmotionError, EmotionEvent, EmotionTracker, EmotionalState,
    GenerationTime, Modulation, SamplingBase, replay_line,
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
fn replies_are_appraised() {
    let score = |n: f64, d: f64| Some(0.3 + 0.5 * (n.sqrt() / d).min(1.0));
    for (reply, event, intensity) in [
        ("", "", None),
        ("The sky is blue.", "", None),
        (
            "They renewed the abandoned incorrect_thing on resame street",
            "",
            None,
        ),
        ("is_new = find_bug(x)", "", None),
        ("Done.", "success", score(1.0, 2.0)),
        ("DONE, done and done", "success", score(1.0, 2.0)),
        (
            "Successfully completed, fixed, solved: all works, passed",
            "success",
            score(6.0, 2.0),
        ),
        (
            "It failed with errors: cannot parse",
            "error",
            score(3.0, 2.0),
        ),
        (
            "How frustrating, I am stuck",
            "frustration",
            score(2.0, 2.0),
        ),
        (
            "a new and interesting novel",
            "exploration",
            score(3.0, 2.5),
        ),
        ("perhaps", "novelty", score(1.0, 3.0)),
        ("Fixed the bug", "success", score(1.0, 2.0)),
        ("It failed again", "frustration", Some(0.5 + 0.3 * 0.3)),
        (
            "Still the same error, yet another crash, it keeps on",
            "frustration",
            Some(0.8),
        ),
        (
            "still, still, still an error",
            "frustration",
            Some(0.5 + 0.3 * 0.3),
        ),
        ("yet, another error", "frustration", Some(0.5 + 0.3 * 0.3)),
    ] {
        let appraised = ReferenceAppraiser::default().appraise(reply);
        assert_eq!(
            appraised.as_ref().map_or("", EmotionEvent::name),
            event,
            "{reply}"
        );
        match (appraised.map(|event| event.intensity()), intensity) {
            (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-12, "{reply}: {ours}"),
            (ours, theirs) => assert_eq!(ours, theirs, "{reply}"),
        }
    }
}

#[test]
fn the_words_of_a_reply_are_told() {
    for (reply, words) in [
        ("Fixed the bug, all works", "fixed, works"),
        ("Yet another crash", "yet another, crash"),
        ("It failed again, still", "still, again, failed"),
    ] {
        let appraised = ReferenceAppraiser::default().appraise(reply).unwrap();
        assert_eq!(appraised.words(), Some(words), "{reply}");
    }
}

#[test]
fn amplifiers_reach_fifty_characters() {
    for (gap, event) in [(50, "frustration"), (51, "error")] {
        for reply in [
            format!("again{}failed wrong", "-".repeat(gap)),
            format!("wrong failed{}again", "·".repeat(gap)),
        ] {
            let appraised = ReferenceAppraiser::default().appraise(&reply).unwrap();
            assert_eq!(appraised.name(), event, "{reply}");
        }
    }
}

#[test]
fn the_threshold_silences_weak_replies() {
    let config = EmotionConfig::default().response_analysis_threshold(0.6);
    let appraiser = ReferenceAppraiser::new(&config);
    assert_eq!(appraiser.appraise("done"), None);
    assert!(appraiser.appraise("done, fixed").is_some());
    let config = EmotionConfig::default().response_analysis_threshold(0.0);
    assert_eq!(ReferenceAppraiser::new(&config).appraise("the sky"), None);
}

fn tool_events(monitor: &mut BehaviorMonitor, tool: &str, ok: bool, at: f64) -> Vec<(String, f64)> {
    let events = monitor.tool_called(tool, ok, at).unwrap();
    events
        .iter()
        .map(|event| (event.name().to_owned(), event.intensity()))
        .collect()
}

#[test]
fn behaviour_raises_events() {
    let frustration = || ("frustration".to_owned(), 0.6);
    let error = |intensity| ("error".to_owned(), intensity);
    let mut monitor = BehaviorMonitor::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    for (tool, ok, at, expected) in [
        ("grep", true, 0.0, vec![]),
        ("grep", true, 30.0, vec![]),
        ("grep", true, 60.5, vec![]),
        ("grep", true, 61.0, vec![frustration()]),
        ("grep", true, 90.0, vec![]),
        ("grep", true, 91.0, vec![frustration()]),
        ("ls", false, 200.0, vec![]),
        ("make", false, 201.0, vec![error(0.5)]),
        ("ls", false, 202.0, vec![error(0.6)]),
        ("ls", false, 203.0, vec![error(0.7)]),
        ("ls", false, 204.0, vec![frustration(), error(0.8)]),
        ("ls", true, 205.0, vec![]),
        ("ls", false, 206.0, vec![]),
    ] {
        assert_eq!(
            tool_events(&mut monitor, tool, ok, at),
            expected,
            "{tool} at {at}"
        );
    }
    for step in 0..20 {
        let tool = if step % 2 == 0 { "a" } else { "b" };
        let events = tool_events(&mut monitor, tool, false, 300.0 + f64::from(step));
        assert!(
            events
                .iter()
                .all(|(name, intensity)| name == "error" && *intensity <= 1.0)
        );
    }
    assert_eq!(tool_events(&mut monitor, "a", false, 330.0), [error(1.0)]);
}

/// A generation of so many tokens, at so many seconds each.
fn took(tokens: u32, seconds: f64) -> GenerationTime {
    GenerationTime {
        prompt_tokens: tokens,
        prompt_seconds: seconds * f64::from(tokens) / 10.0,
        reply_tokens: tokens,
        reply_seconds: seconds * f64::from(tokens),
    }
}

#[test]
fn a_slow_generation_is_judged_by_those_before_it() {
    let felt = |generations: &[GenerationTime]| {
        let config = Arc::new(EmotionConfig::default());
        let mut monitor = BehaviorMonitor::new(config, 0.0).unwrap();
        let mut felt = Vec::new();
        for (at, took) in generations.iter().enumerate() {
            felt.push(monitor.generation_finished(took, at as f64).unwrap());
        }
        felt
    };
    let events = |generations: &[GenerationTime]| {
        let felt = felt(generations);
        felt.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    // A slow machine, long replies on it, and a reply that is long for its tokens.
    assert_eq!(events(&[took(100, 2.0); 6]), [false; 6]);
    let usual = took(100, 0.1);
    assert_eq!(events(&[usual, usual, usual, took(4000, 0.1)]), [false; 4]);
    assert_eq!(
        events(&[took(100, 1.0); 3]),
        [false; 3],
        "nothing to judge by"
    );
    assert_eq!(
        events(&[usual, usual, took(100, 1.0)]),
        [false; 3],
        "too little"
    );
    let slow = took(100, 1.0);
    assert_eq!(
        events(&[usual, usual, usual, slow]),
        [false, false, false, true]
    );
    // Slower than usual, but over before anybody waits.
    assert_eq!(
        events(&[took(10, 0.1), took(10, 0.1), took(10, 0.1), took(10, 1.0)]),
        [false; 4]
    );
    // A machine that stays slow is soon the usual one.
    let mut course = vec![usual; 3];
    course.extend([slow; 12]);
    let count = events(&course).iter().filter(|felt| **felt).count();
    assert!((1..=4).contains(&count), "{count}");
    // A long prompt takes its time.
    let read = GenerationTime {
        prompt_tokens: 20_000,
        prompt_seconds: 200.0,
        ..usual
    };
    assert_eq!(events(&[usual, usual, usual, read]), [false; 4]);

    let event = felt(&[usual, usual, usual, slow]).pop().unwrap().unwrap();
    assert_eq!((event.name(), event.intensity()), ("blocked", 0.3));
    let words = event.words().unwrap();
    assert_eq!(words, "a reply that took 110 s instead of 11 s");
}

#[test]
fn silence_raises_events() {
    let mut monitor = BehaviorMonitor::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    let intensity = |event: Option<EmotionEvent>| event.map(|event| event.intensity());
    monitor.generation_finished(&took(10, 1.0), 60.0).unwrap();
    assert_eq!(monitor.next_idle_check(), Some(180.0));
    for (at, expected) in [
        (179.9, None),
        (180.0, Some(0.5)),
        (239.0, None),
        (240.0, Some(0.5)),
    ] {
        assert_eq!(intensity(monitor.check_idle(at).unwrap()), expected, "{at}");
    }
    monitor.active(250.0).unwrap();
    assert_eq!(monitor.next_idle_check(), Some(370.0));
    assert_eq!(intensity(monitor.check_idle(369.0).unwrap()), None);
    assert_eq!(intensity(monitor.check_idle(370.0).unwrap()), Some(0.5));

    for seconds in [f64::NAN, f64::INFINITY, -1.0] {
        let error = monitor.generation_finished(&took(1, seconds), 0.0);
        assert_eq!(error.unwrap_err().field(), "prompt_seconds");
    }
    assert_eq!(
        monitor.check_idle(f64::INFINITY).unwrap_err().kind(),
        "out_of_range"
    );
    assert_eq!(
        monitor.tool_called("", true, 0.0).unwrap_err().kind(),
        "invalid_name"
    );
}

#[test]
fn monitoring_can_be_off() {
    let config = EmotionConfig::default().behavioral_monitoring_enabled(false);
    let mut monitor = BehaviorMonitor::new(Arc::new(config), 0.0).unwrap();
    for at in 0..5 {
        assert!(tool_events(&mut monitor, "a", false, f64::from(at)).is_empty());
    }
    for seconds in [0.1, 0.1, 0.1, 9.0] {
        let event = monitor.generation_finished(&took(100, seconds), 110.0);
        assert_eq!(event.unwrap(), None);
    }
    assert_eq!(monitor.check_idle(1000.0).unwrap(), None);
    assert_eq!(monitor.next_idle_check(), None);
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
