//! A session that is being read keeps nobody waiting but its own callers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use elpis::ManualClock;
use elpis::emotion::JournalRecord;
use elpis::settings::Durability;
use elpis::store::StoreError;
use elpis::{Elpis, Error, GenerationEvent, SafetyLimits};

use super::{settings, start, until};
use elpis_testkit::shelf::Shelf;

/// How long the store takes to read the cold session.
const SLOW: Duration = Duration::from_secs(5);
/// The longest that 99 of 100 other calls may wait meanwhile, beyond what the
/// machine itself held up.
const SOON: Duration = Duration::from_millis(5);
/// The longest for the last one: on a crowded machine threads wait for each
/// other in ways that [`Stalls`] does not see.
const STRANGE: Duration = Duration::from_millis(100);

/// Measures when the machine gave this process no time, so that a busy machine
/// is not taken for a slow store.
struct Stalls {
    told: Arc<Mutex<Vec<(Instant, Instant)>>>,
    stop: Arc<AtomicBool>,
}

impl Stalls {
    fn watch() -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (stalls, stopped) = (Arc::clone(&told), Arc::clone(&stop));
        std::thread::spawn(move || {
            const STEP: Duration = Duration::from_micros(500);
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(STEP);
                let end = Instant::now();
                if end - start > 2 * STEP {
                    stalls.lock().unwrap().push((start + STEP, end));
                }
            }
        });
        Self { told, stop }
    }

    /// How much of the time between two moments the machine held up.
    fn between(&self, from: Instant, to: Instant) -> Duration {
        let told = self.told.lock().unwrap();
        let overlap = |&(start, end): &(Instant, Instant)| {
            end.min(to).saturating_duration_since(start.max(from))
        };
        told.iter().map(overlap).sum()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Reading that waits goes on, also when a test fails meanwhile.
struct Held<'a>(&'a Shelf);

impl<'a> Held<'a> {
    fn new(shelf: &'a Shelf, session: &str) -> Self {
        shelf.hold_loads_of(Some(session));
        Self(shelf)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold_loads_of(None);
    }
}

async fn with_sessions(shelf: &Shelf, durability: Durability, names: &[&str]) -> Elpis {
    let clock = Arc::new(ManualClock::new(1000.0));
    let elpis = start(shelf, Arc::clone(&clock) as _, settings(durability)).await;
    for name in names {
        elpis.session(name).unwrap().feel("success").await.unwrap();
    }
    elpis.shutdown().await;
    start(shelf, clock, settings(durability)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_while_a_session_is_read() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let elpis = with_sessions(&shelf, durability, &["cold", "warm"]).await;
        let (cold, warm) = (
            elpis.session("cold").unwrap(),
            elpis.session("warm").unwrap(),
        );
        warm.state().await.unwrap();
        let held = Held::new(&shelf, "cold");
        let loads = shelf.loads.load(Ordering::SeqCst);
        let felt = tokio::spawn({
            let cold = cold.clone();
            async move { cold.feel("failure").await }
        });
        until(|| shelf.loads.load(Ordering::SeqCst) > loads).await;

        let stalls = Stalls::watch();
        let begun = Instant::now();
        let mut waits = Vec::new();
        while begun.elapsed() < SLOW {
            let start = Instant::now();
            warm.state().await.unwrap();
            waits.push((start, Instant::now()));
            let start = Instant::now();
            warm.set_strength(0.5).await.unwrap();
            if durability == Durability::Relaxed {
                waits.push((start, Instant::now()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let fresh = elpis.session("fresh").unwrap();
        fresh.feel("success").await.unwrap();
        assert!(elpis.sessions().await.unwrap().len() >= 2);
        // A reply ends, and what it was like is felt.
        let mut stream = warm.chat("go on").max_tokens(3).stream().await.unwrap();
        let mut finished = false;
        while let Some(event) = stream.next().await {
            finished |= matches!(event.unwrap(), GenerationEvent::Finished(_));
        }
        assert!(finished);
        assert!(waits.len() > 500, "{} calls in {SLOW:?}", waits.len());
        // The machine's last stall is told once it is over.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let beyond_stalls = |&(start, end): &(Instant, Instant)| {
            (end - start).saturating_sub(stalls.between(start, end))
        };
        let mut waits: Vec<_> = waits.iter().map(beyond_stalls).collect();
        waits.sort();
        let (usual, longest) = (waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
        assert!(
            usual < SOON && longest < STRANGE,
            "99 of 100 calls of another session waited up to {usual:?}, one {longest:?}"
        );
        assert!(!felt.is_finished());

        drop(held);
        felt.await.unwrap().unwrap();
        assert_eq!(cold.state().await.unwrap().events_applied, 2);
        elpis.shutdown().await;
        assert_eq!(shelf.replayed("cold").unwrap().events_applied(), 2);
    }
}

/// Calls are told apart by what they leave in the journal and by their answers.
#[tokio::test]
async fn calls_of_a_session_that_is_read_keep_their_order() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let elpis = with_sessions(&shelf, durability, &["ada"]).await;
        let ada = elpis.session("ada").unwrap();
        let held = Held::new(&shelf, "ada");
        let limits = SafetyLimits::default();
        let release = async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        let ((), one, before, reset, after, strength, limited, two) = tokio::join!(
            release,
            ada.feel("failure"),
            ada.state(),
            ada.reset(),
            ada.state(),
            ada.set_strength(0.5),
            ada.set_limits(limits),
            ada.feel("insight"),
        );
        assert!(one.is_ok() && reset.is_ok() && strength.is_ok() && limited.is_ok() && two.is_ok());
        if durability == Durability::Relaxed {
            assert_eq!(before.unwrap().events_applied, 2);
            assert_eq!(after.unwrap().events_applied, 0);
        }
        elpis.shutdown().await;
        let what: Vec<_> = shelf
            .entries("ada")
            .into_iter()
            .map(|entry| entry.what)
            .collect();
        assert!(
            matches!(
                what[..],
                [
                    JournalRecord::Started(_),
                    JournalRecord::Felt(_),
                    JournalRecord::Felt(_),
                    JournalRecord::Reset,
                    JournalRecord::Strength(_),
                    JournalRecord::Limits(_),
                    JournalRecord::Felt(_)
                ]
            ),
            "{what:?}"
        );
    }
}

#[tokio::test]
async fn a_session_can_be_forgotten_while_it_is_read() {
    for durability in [Durability::Relaxed, Durability::Sync] {
        let shelf = Shelf::default();
        let elpis = with_sessions(&shelf, durability, &["ada"]).await;
        let ada = elpis.session("ada").unwrap();
        let stranger = elpis.session("stranger").unwrap();
        let held = Held::new(&shelf, "ada");
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(held);
        };
        let (felt, forgotten, again, again_forgotten, nobody, ()) = tokio::join!(
            ada.feel("failure"),
            ada.forget(),
            ada.feel("insight"),
            ada.forget(),
            stranger.forget(),
            release,
        );
        felt.unwrap();
        again.unwrap();
        assert!(forgotten.unwrap() && again_forgotten.unwrap() && !nobody.unwrap());
        ada.feel("success").await.unwrap();
        elpis.shutdown().await;
        assert_eq!(shelf.entries("ada").len(), 2);
    }
}

#[tokio::test]
async fn callers_of_a_session_that_cannot_be_read_are_all_told() {
    let shelf = Shelf::default();
    let elpis = with_sessions(&shelf, Durability::Relaxed, &["ada"]).await;
    let ada = elpis.session("ada").unwrap();
    let held = Held::new(&shelf, "ada");
    tokio::time::pause();
    // Time that is held does not run by itself while something blocks.
    let before = shelf.loads.load(Ordering::SeqCst);
    let pass = async {
        // The reading has begun, and so has the wait of both callers.
        let mut turns = 0;
        while turns < 50 || shelf.loads.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
            turns += 1;
        }
        tokio::time::advance(Duration::from_secs(31)).await;
    };
    let (felt, state, ()) = tokio::join!(ada.feel("failure"), ada.state(), pass);
    for error in [felt.unwrap_err(), state.unwrap_err()] {
        let is_slow = matches!(error, Error::Store(StoreError::Slow { seconds: 30 }));
        assert!(is_slow, "{error}");
    }
    // The reading has given up, too, before anything can be read.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    drop(held);
    // Until the reading itself has been given up, callers share its fate.
    while ada.state().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ada.state().await.unwrap().events_applied, 1);
    elpis.shutdown().await;
}

/// More calls than a mailbox has places, all for sessions that are being read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_calls_for_a_session_that_is_read_leaves_the_mailbox_to_others() {
    let shelf = Shelf::default();
    let elpis = with_sessions(&shelf, Durability::Relaxed, &["cold", "warm"]).await;
    let warm = elpis.session("warm").unwrap();
    warm.state().await.unwrap();
    let held = Held::new(&shelf, "cold");
    let cold = elpis.session("cold").unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let cold = cold.clone();
        calls.spawn(async move { cold.feel("idle").await.is_ok() });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answered = tokio::time::timeout(Duration::from_secs(5), warm.feel("success")).await;
    answered.expect("others are served").unwrap();
    drop(held);
    assert!(calls.join_all().await.into_iter().all(|felt| felt));
    assert_eq!(cold.state().await.unwrap().events_applied, 10_001);
    elpis.shutdown().await;
}
