//! Safety limits: a mood stays below its ceilings, events come no faster than
//! allowed, spirals are damped, and whatever acts leaves a trace.
#![allow(clippy::float_cmp, reason = "ceilings are exact")]

use std::sync::Arc;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{EmotionConfig, EmotionEvent, EmotionTracker, SafetyLimit, Spiral};
use elpis::settings::ModelSettings;
use elpis::{Delivery, Elpis, Error, Event, Events, ManualClock, SafetyLimits, Settings};
use elpis_testkit::scripted::Scripted;
use proptest::prelude::*;

fn event(name: &str, intensity: f64) -> EmotionEvent {
    let named = EmotionEvent::named(name).unwrap();
    named.with_intensity(intensity).unwrap()
}

fn tracker(config: EmotionConfig) -> EmotionTracker {
    EmotionTracker::new(Arc::new(config), 0.0).unwrap()
}

proptest! {
    #[test]
    fn no_sequence_of_events_passes_a_ceiling(
        valence in 0.0..=1.0,
        arousal in 0.0..=1.0,
        own_valence in 0.0..=1.0,
        own_arousal in 0.0..=1.0,
        events in prop::collection::vec(
            (prop::sample::select(vec!["success", "failure", "blocked", "insight", "idle"]), 0.0..2.0, 0.0..30.0),
            1..40,
        ),
    ) {
        let mut tracker = tracker(EmotionConfig::default().valence_limit(valence).arousal_limit(arousal));
        let own = SafetyLimits { valence: own_valence, arousal: own_arousal, strength: 0.5 };
        tracker.set_limits(own).unwrap();
        let (valence, arousal) = (f64::min(valence, own_valence), f64::min(arousal, own_arousal));
        let mut now = 0.0;
        for (name, intensity, wait) in events {
            now += wait;
            let applied = tracker.apply(&event(name, intensity), now).unwrap();
            for at in [now, now + 0.5, now + 60.0] {
                let state = tracker.state_at(at);
                prop_assert!(state.valence().abs() <= valence && state.arousal() <= arousal);
            }
            let limited = applied.rules.valence_limited || applied.rules.arousal_limited;
            let at_edge = applied.after.valence().abs() >= valence || applied.after.arousal() >= arousal;
            prop_assert!(!limited || at_edge);
        }
        prop_assert!(tracker.steering_strength() <= 0.5);
        let written = serde_json::to_string(&tracker).unwrap();
        prop_assert_eq!(serde_json::from_str::<EmotionTracker>(&written).unwrap(), tracker);
    }
}

#[test]
fn without_limits_nothing_changes() {
    let mut tracker = tracker(EmotionConfig::default());
    for at in 0..8 {
        let applied = tracker
            .apply(&event("blocked", 2.0), f64::from(at))
            .unwrap();
        assert_eq!(applied.rules.safety_limits().count(), 0);
    }
    assert_eq!(tracker.state_at(7.0).arousal(), 1.0);
}

#[test]
fn a_spiral_is_damped_until_an_event_leads_back() {
    let spiralling = |damping| {
        let mut tracker = tracker(
            EmotionConfig::default()
                .spiral_damping(damping)
                .streak_compounding_enabled(false)
                .mood_inertia_enabled(false)
                .decay_rate(0.0),
        );
        for at in 0..5 {
            let applied = tracker
                .apply(&event("failure", 0.5), f64::from(at))
                .unwrap();
            assert_eq!(applied.rules.spiral, None, "not yet a spiral");
        }
        assert_ne!(tracker.trajectory_at(5.0).spiral, Spiral::None);
        tracker
    };
    let mut damped = spiralling(0.25);
    let on = damped.apply(&event("failure", 1.0), 5.0).unwrap();
    assert_eq!((on.rules.spiral, on.intensity), (Some(0.25), 0.25));
    assert!(on.rules.safety_limits().eq([SafetyLimit::Spiral]));
    let back = damped.apply(&event("success", 1.0), 6.0).unwrap();
    assert_eq!((back.rules.spiral, back.intensity), (None, 1.0));
    let on = spiralling(1.0).apply(&event("failure", 1.0), 5.0).unwrap();
    assert_eq!((on.rules.spiral, on.intensity), (None, 1.0));
    let still = spiralling(0.0).apply(&event("failure", 1.0), 5.0).unwrap();
    assert_eq!(still.before, still.after);
}

#[test]
fn limits_that_contradict_the_settings_are_refused() {
    for (config, field) in [
        (
            EmotionConfig::default()
                .baseline_valence(-0.5)
                .valence_limit(0.25),
            "valence_limit",
        ),
        (
            EmotionConfig::default()
                .baseline_arousal(0.5)
                .arousal_limit(0.25),
            "arousal_limit",
        ),
        (
            EmotionConfig::default()
                .steering_strength(2.0)
                .strength_limit(1.0),
            "strength_limit",
        ),
        (
            EmotionConfig::default().events_per_minute(Some(0)),
            "events_per_minute",
        ),
    ] {
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

async fn start(emotion: EmotionConfig, clock: &Arc<ManualClock>) -> Elpis {
    let factory = BackendFactory::new(|options| {
        Ok(Box::new(Scripted::new(
            options.n_sequences,
            64,
            1000,
            usize::MAX,
        )))
    });
    let mut settings = Settings::default().model(ModelSettings::default().chat_format("chatml"));
    settings.emotion = emotion;
    Elpis::builder(settings)
        .clock(Arc::clone(clock) as _)
        .backend(factory)
        .start()
        .await
        .unwrap()
}

async fn acted(events: &mut Events) -> (String, SafetyLimit, String) {
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), events.next()).await;
        if let Some(Delivery::Event(event)) = next.unwrap()
            && let Event::LimitActed {
                session,
                limit,
                asked,
            } = &*event
        {
            return (session.to_string(), *limit, asked.clone());
        }
    }
}

#[tokio::test]
async fn events_beyond_the_rate_are_refused_and_change_nothing() {
    let clock = Arc::new(ManualClock::new(1000.0));
    let config = EmotionConfig::default().events_per_minute(Some(3));
    let elpis = start(config, &clock).await;
    let mut events = elpis.events();
    let (ada, bob) = (elpis.session("ada").unwrap(), elpis.session("bob").unwrap());
    for _ in 0..3 {
        ada.feel("user_positive").await.unwrap();
    }
    let before = ada.state().await.unwrap();
    let refused = ada.feel("user_positive").await.unwrap_err();
    assert!(
        matches!(refused, Error::TooManyEvents { per_minute: 3, .. }),
        "{refused}"
    );
    assert_eq!(ada.state().await.unwrap(), before);
    assert_eq!(
        acted(&mut events).await,
        ("ada".into(), SafetyLimit::EventRate, "user_positive".into())
    );
    bob.feel("user_positive").await.unwrap();
    clock.advance(Duration::from_secs(20));
    ada.feel("user_positive").await.unwrap();
    assert!(ada.feel("user_positive").await.is_err());
    elpis.shutdown().await;
}

#[tokio::test]
async fn a_sessions_own_ceilings_hold_for_it_alone() {
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(EmotionConfig::default(), &clock).await;
    let mut events = elpis.events();
    let (ada, bob) = (elpis.session("ada").unwrap(), elpis.session("bob").unwrap());
    let limits = SafetyLimits {
        arousal: 0.1,
        strength: 0.5,
        ..SafetyLimits::default()
    };
    ada.set_limits(limits).await.unwrap();
    let applied = ada.feel("blocked").await.unwrap();
    assert_eq!(applied.after.arousal(), 0.1);
    assert_eq!(
        acted(&mut events).await,
        ("ada".into(), SafetyLimit::Arousal, "blocked".into())
    );
    assert!(bob.feel("blocked").await.unwrap().after.arousal() > 0.2);
    assert!(ada.set_strength(1.0).await.is_err());
    assert_eq!(
        acted(&mut events).await,
        ("ada".into(), SafetyLimit::Strength, "set_strength".into())
    );
    bob.set_strength(1.0).await.unwrap();
    let wrong = SafetyLimits {
        arousal: f64::NAN,
        ..limits
    };
    let error = ada.set_limits(wrong).await.unwrap_err().to_string();
    assert!(error.contains("arousal_limit"), "{error}");
    elpis.shutdown().await;
}
