//! The behaviour monitor agrees with the reference.

use std::sync::Arc;

use elpis::emotion::{BehaviorMonitor, EmotionConfig, EmotionEvent, GenerationTime};

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
