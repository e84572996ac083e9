//! Random sequences of calls lose nothing.

use std::sync::Arc;
use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::emotion::{EmotionConfig, EmotionEvent};
use elpis::settings::Durability;
use elpis::{Elpis, ManualClock, SafetyLimits};
use elpis_testkit::scripted::Scripted;
use elpis_testkit::shelf::Shelf;
use proptest::prelude::*;

use super::{settings, start};

#[derive(Debug, Clone)]
enum Deed {
    Feel(&'static str, f64),
    Strength(f64),
    Limits(f64),
    Reset,
    Forget,
    Wait(f64),
    Restart(f64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let names = prop::sample::select(vec!["success", "failure", "blocked", "idle", "insight"]);
    let deed = prop_oneof![
        8 => (names, 0.0..2.5).prop_map(|(name, intensity)| Deed::Feel(name, intensity)),
        1 => (0.0..1.5).prop_map(Deed::Strength),
        1 => (0.2..1.0).prop_map(Deed::Limits),
        1 => Just(Deed::Reset),
        1 => Just(Deed::Forget),
        4 => (0.0..400.0).prop_map(Deed::Wait),
        2 => prop::sample::select(vec![0.008, 0.004]).prop_map(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The store never makes a difference: not when it is written, not when
    /// the process starts again.
    #[test]
    fn a_kept_session_is_the_same_as_one_that_never_slept(deeds in deeds(), sync in any::<bool>()) {
        let durability = if sync { Durability::Sync } else { Durability::Relaxed };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let shelf = Shelf::default();
            let clock = Arc::new(ManualClock::new(1000.0));
            let mut config = EmotionConfig::default();
            let with = |config: &EmotionConfig| settings(durability).emotion(config.clone());
            let mut elpis = start(&shelf, Arc::clone(&clock) as _, with(&config)).await;
            let mut awake = Elpis::builder(with(&config))
                .clock(Arc::clone(&clock) as _)
                .backend(BackendFactory::new(|_| Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX)))))
                .start()
                .await
                .unwrap();
            for deed in deeds {
                let pair = [elpis.session("a").unwrap(), awake.session("a").unwrap()];
                match deed {
                    Deed::Feel(name, intensity) => {
                        let event = EmotionEvent::named(name).unwrap().with_intensity(intensity).unwrap();
                        for session in &pair {
                            session.feel(&event).await.unwrap();
                        }
                    }
                    Deed::Strength(strength) => for session in &pair {
                        session.set_strength(strength).await.unwrap();
                    },
                    Deed::Limits(ceiling) => for session in &pair {
                        let limits = SafetyLimits { valence: ceiling, ..SafetyLimits::default() };
                        session.set_limits(limits).await.unwrap();
                    },
                    Deed::Reset => for session in &pair {
                        session.reset().await.unwrap();
                    },
                    Deed::Forget => for session in &pair {
                        session.forget().await.unwrap();
                    },
                    Deed::Wait(seconds) => clock.advance(Duration::from_secs_f64(seconds)),
                    Deed::Restart(decay_rate) => {
                        elpis.shutdown().await;
                        // Without a store other settings begin with new sessions.
                        if shelf.entries("a").is_empty() {
                            config.decay_rate = decay_rate;
                            awake.shutdown().await;
                            awake = Elpis::builder(with(&config))
                                .clock(Arc::clone(&clock) as _)
                                .backend(BackendFactory::new(|_| {
                                    Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX)))
                                }))
                                .start()
                                .await
                                .unwrap();
                        }
                        elpis = start(&shelf, Arc::clone(&clock) as _, with(&config)).await;
                    }
                }
            }
            let kept = elpis.session("a").unwrap().state().await.unwrap();
            let never_slept = awake.session("a").unwrap().state().await.unwrap();
            assert_eq!(kept, never_slept);
            elpis.shutdown().await;
            awake.shutdown().await;
            shelf.replayed("a");
        });
    }
}
