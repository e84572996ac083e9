//! Invalid records, events, places and coefficients.

use std::sync::Arc;

use elpis_emotion::{
    Coefficients, EmotionConfig, EmotionEvent, EmotionTracker, known, place_coefficients,
};

#[test]
fn bad_records_are_refused() {
    let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    for at in [1.0, 2.0] {
        tracker.apply(&known::FAILURE.into(), at).unwrap();
    }
    let good = serde_json::to_value(&tracker).unwrap();
    for (pointer, value) in [
        ("/config/decay_rate", serde_json::json!(-1)),
        ("/steering_strength", serde_json::json!(3.5)),
        ("/state/valence", serde_json::json!(1.5)),
        ("/last_at", serde_json::json!(1.5)),
        ("/last_at", serde_json::json!(1e13)),
        ("/history/0/at", serde_json::json!(3)),
        ("/quadrant_since", serde_json::json!(3)),
        ("/history/0/state/arousal", serde_json::json!(-2)),
        ("/streaks", serde_json::json!({"idle": [1.0]})),
        ("/streaks", serde_json::json!({"failure": [2.0, 1.0]})),
        (
            "/streaks",
            serde_json::json!({"failure": [1, 1, 1, 1, 1, 1, 1]}),
        ),
        ("/events_applied", serde_json::json!(-1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(
            serde_json::from_value::<EmotionTracker>(bad).is_err(),
            "{pointer}"
        );
    }
    assert_eq!(
        serde_json::from_value::<EmotionTracker>(good).unwrap(),
        tracker
    );
}

#[test]
fn events_are_checked() {
    let long = "é".repeat(65);
    for name in ["", "a\nb", "\0", &long] {
        assert_eq!(
            EmotionEvent::named(name).unwrap_err().kind(),
            "invalid_name",
            "{name:?}"
        );
    }
    assert!(EmotionEvent::named(&long[2..]).is_ok());
    assert_eq!(
        EmotionEvent::named("anything").unwrap().shift(),
        (0.0, 0.05)
    );
    assert_eq!(EmotionEvent::named("blocked").unwrap().shift(), (-0.2, 0.3));
    assert_eq!(
        EmotionEvent::custom("x", 0.0, f64::NAN)
            .unwrap_err()
            .field(),
        "delta_arousal"
    );
    for intensity in [-0.1, f64::NAN, f64::INFINITY] {
        let error = EmotionEvent::named("x")
            .unwrap()
            .with_intensity(intensity)
            .unwrap_err();
        assert_eq!((error.kind(), error.field()), ("out_of_range", "intensity"));
    }
    for text in [
        r#"{"event":"blocked","intensity":0.5}"#,
        r#"{"event":"x","intensity":1.0,"delta_valence":0.1,"delta_arousal":0.2}"#,
    ] {
        let event: EmotionEvent = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
    for text in [
        r#"{"event":""}"#,
        r#"{"event":"x","intensity":-1}"#,
        r#"{"event":"x","delta_valence":0.1}"#,
        r#"{"event":"x","extra":1}"#,
    ] {
        assert!(
            serde_json::from_str::<EmotionEvent>(text).is_err(),
            "{text}"
        );
    }
}

#[test]
fn places_and_coefficients_are_checked() {
    let place = |v, a, places: &[(&'static str, f64, f64)]| {
        place_coefficients(v, a, 1.0, places.iter().copied())
    };
    assert_eq!(
        place(0.0, 0.0, &[("excited", 0.0, 0.0)])
            .unwrap_err()
            .kind(),
        "invalid_name"
    );
    assert_eq!(
        place(0.0, 0.0, &[("a", 0.0, 0.0), ("a", 0.1, 0.0)])
            .unwrap_err()
            .kind(),
        "invalid_name"
    );
    assert_eq!(
        place(0.0, 0.0, &[("a", 1.1, 0.0)]).unwrap_err().field(),
        "place_valence"
    );
    assert_eq!(place(f64::NAN, 0.0, &[]).unwrap_err().field(), "valence");
    // A place where the state stands weighs as much as the four corners together.
    let weights = place(0.3, -0.2, &[("awe", 0.3, -0.2)]).unwrap();
    assert!((weights.get("awe").unwrap() - 0.5).abs() < 1e-15);
    let mut coefficients = Coefficients::new();
    assert!(coefficients.is_empty());
    assert_eq!(
        coefficients.insert("a", f64::NAN).unwrap_err().field(),
        "coefficient"
    );
    assert_eq!(coefficients.insert("a", 0.5).unwrap(), None);
    assert_eq!(coefficients.insert("a", -0.5).unwrap(), Some(0.5));
    assert_eq!(
        serde_json::to_string(&coefficients).unwrap(),
        r#"{"a":-0.5}"#
    );
}
