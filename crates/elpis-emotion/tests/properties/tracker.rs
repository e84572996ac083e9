//! Trackers under odd events, clocks and settings.

use std::sync::Arc;

use elpis_emotion::{EmotionConfig, EmotionEvent, EmotionTracker, KNOWN_EVENTS, Momentum, known};

#[test]
fn a_flood_of_events_leaves_a_bounded_tracker() {
    let config = EmotionConfig::default().streak_compounding_factor(0.01);
    let mut tracker = EmotionTracker::new(Arc::new(config), 0.0).unwrap();
    for index in 0..20_000 {
        let event = EmotionEvent::from(KNOWN_EVENTS[index % KNOWN_EVENTS.len()]);
        tracker.apply(&event, index as f64 * 1e-3).unwrap();
        tracker
            .apply(&EmotionEvent::named(format!("other-{index}")).unwrap(), 0.0)
            .unwrap();
    }
    let record = serde_json::to_value(&tracker).unwrap();
    assert_eq!(record["history"].as_array().unwrap().len(), 20);
    let streaks = record["streaks"].as_object().unwrap();
    assert_eq!(streaks.len(), 8);
    assert!(
        streaks
            .values()
            .all(|times| times.as_array().unwrap().len() == 101)
    );
}

#[test]
fn time_does_not_run_backwards() {
    let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 100.0).unwrap();
    tracker.apply(&known::SUCCESS.into(), 110.0).unwrap();
    let applied = tracker.apply(&known::SUCCESS.into(), 50.0).unwrap();
    assert_eq!((applied.at, applied.time_clamped), (110.0, true));
    assert_eq!(tracker.state_at(0.0), applied.after);
    let before = tracker.clone();
    for at in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e12] {
        assert_eq!(
            tracker.apply(&known::IDLE.into(), at).unwrap_err().field(),
            "at"
        );
        assert!(tracker.reset(at).is_err());
        assert!(EmotionTracker::new(Arc::default(), at).is_err());
    }
    assert_eq!(tracker, before);
    assert_eq!(tracker.state_at(f64::NAN), applied.after);
}

#[test]
fn applied_events_name_the_rules() {
    let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    let failure = EmotionEvent::from(known::FAILURE);
    let first = tracker.apply(&failure, 0.0).unwrap();
    assert_eq!(first.rules, elpis_emotion::AppliedRules::default());
    assert_eq!((first.delta_valence, first.intensity), (-0.2, 1.0));
    let second = tracker.apply(&failure, 1.0).unwrap();
    assert_eq!(
        (second.rules.streak, second.rules.inertia),
        (Some(1.2), None)
    );
    assert_eq!(tracker.trajectory_at(1.0).momentum, Momentum::Negative);
    let third = tracker
        .apply(&failure.clone().with_intensity(5.0).unwrap(), 2.0)
        .unwrap();
    assert_eq!(third.rules.inertia, Some(1.1));
    assert!(third.rules.intensity_clamped && third.rules.streak == Some(1.4));
    let opposed = tracker.apply(&known::USER_POSITIVE.into(), 3.0).unwrap();
    assert_eq!(opposed.rules.inertia, Some(0.6));
    let shock = EmotionEvent::custom("shock", -1.0, 1.0)
        .unwrap()
        .with_intensity(2.0)
        .unwrap();
    let applied = tracker.apply(&shock, 4.0).unwrap();
    assert_eq!(
        (applied.rules.delta_clamped, applied.delta_valence),
        (true, -0.5)
    );
    assert!(tracker.apply(&shock, 4.0).unwrap().rules.state_clamped);
}

#[test]
fn settings_and_clock_can_change_under_a_tracker() {
    let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
    for at in 0..30 {
        tracker
            .apply(&known::FAILURE.into(), f64::from(at))
            .unwrap();
    }
    let before = tracker.state_at(40.0);
    let mut moved = tracker.clone();
    moved.shift_time(1000.0).unwrap();
    assert_eq!(moved.state_at(1040.0), before);
    assert_eq!(moved.trajectory_at(1040.0), tracker.trajectory_at(40.0));
    assert!(moved.shift_time(1e12).is_err() && moved.shift_time(f64::NAN).is_err());

    let still = EmotionConfig::default()
        .decay_rate(0.0)
        .trajectory_history_size(6);
    tracker.reconfigure(Arc::new(still), 40.0).unwrap();
    assert_eq!(tracker.state_at(1e6), before);
    assert_eq!(tracker.history().len(), 6);
    let bad = EmotionConfig::default().decay_rate(f64::NAN);
    assert_eq!(
        tracker
            .reconfigure(Arc::new(bad), 41.0)
            .unwrap_err()
            .field(),
        "decay_rate"
    );
}
