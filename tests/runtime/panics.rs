//! A panic in each actor at each kind of message: the caller gets its answer
//! or a typed error, the actor is started again, and states, vectors and
//! streams are what they were.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fragile::{self, Site};
use elpis::internal::Probe;
use elpis::settings::{MetricsSettings, ModelSettings, RuntimeSettings, StoreSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{
    Delivery, Elpis, EngineError, Error, Event, Events, FailureKind, ManualClock, SafetyLimits,
    Session, Settings,
};
use elpis_testkit::shelf::Shelf;

/// Panics at the next message of the kind that it is armed for.
#[derive(Debug, Clone, Default)]
struct Trap(Arc<Mutex<Option<(&'static str, &'static str)>>>);

impl Trap {
    fn arm(&self, actor: &'static str, kind: &'static str) {
        *self.0.lock().unwrap() = Some((actor, kind));
    }

    fn is_armed(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    fn probe(&self) -> Probe {
        let trap = self.clone();
        Probe::new(move |actor, kind| {
            let here = Some((actor, kind));
            let mut armed = trap.0.lock().unwrap();
            let hit = *armed == here;
            if hit {
                *armed = None;
            }
            drop(armed);
            assert!(!hit, "injected panic of {actor} at {kind}");
        })
    }
}

/// A runtime whose parts a test can break.
struct World {
    elpis: Elpis,
    events: Events,
    trap: Trap,
    /// Breaks the engine thread at its next step.
    break_engine: Arc<AtomicBool>,
    folder: tempfile::TempDir,
    shelf: Shelf,
}

/// Never waits for ever.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    let ended = tokio::time::timeout(limit, work).await;
    ended.unwrap_or_else(|_| panic!("{what}: no answer"))
}

fn put_vector(folder: &Path, length: f32) {
    let vector = SteeringVector::bare(vec![length, 0.0, 0.0, 0.0]).unwrap();
    let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
    // Renamed into place, so that no half of it is read.
    let beside = folder.join("calm.part");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, folder.join("calm.safetensors")).unwrap();
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        put_vector(folder.path(), 0.01);
        let shelf = Shelf::default();
        let trap = Trap::default();
        let break_engine = Arc::<AtomicBool>::default();
        let breaks = Arc::clone(&break_engine);
        let factory = fragile::factory(move |site, _| {
            let hit = site == Site::Decode && breaks.swap(false, Ordering::SeqCst);
            assert!(!hit, "injected panic of the thread");
            Ok(())
        });
        let runtime = RuntimeSettings::default()
            .n_parallel(2_usize)
            .restart_max(1000_u32)
            .restart_backoff_initial(Duration::from_millis(1))
            .restart_backoff_max(Duration::from_millis(5))
            .vectors_debounce(Duration::from_millis(5))
            .bus_capacity(65_536_usize);
        let model = ModelSettings::default()
            .chat_format("chatml")
            .emotion_vectors_dir(folder.path());
        let settings = Settings::default()
            .runtime(runtime)
            .model(model)
            .metrics(MetricsSettings::default().interval(Duration::from_hours(1)))
            .store(
                StoreSettings::default()
                    .flush_interval(Duration::from_millis(5))
                    .idle_timeout(Duration::from_secs(1)),
            );
        let elpis = Elpis::builder(settings)
            .clock(Arc::new(ManualClock::new(1000.0)))
            .backend(factory)
            .store(Arc::new(shelf.clone()))
            .probe(trap.probe())
            .start()
            .await
            .unwrap();
        Self {
            events: elpis.events(),
            elpis,
            trap,
            break_engine,
            folder,
            shelf,
        }
    }

    fn session(&self, name: &str) -> Session {
        self.elpis.session(name).unwrap()
    }

    /// Has an actor receive a message of this kind, and judges the answer.
    async fn provoke(&self, actor: &str, kind: &str) {
        let bob = self.session("bob");
        match (actor, kind) {
            ("emotion", "feel") => drop(bob.feel("success").await.unwrap()),
            ("emotion", "observe") => drop(bob.record_tool_call("grep", true).await.unwrap()),
            ("emotion", "snapshot") => drop(bob.state().await.unwrap()),
            ("emotion", "follow") => {
                drop(bob.chat("hello").max_tokens(2).complete().await.unwrap());
            }
            ("emotion", "reset") => bob.reset().await.unwrap(),
            ("emotion", "set_strength") => bob.set_strength(0.5).await.unwrap(),
            ("emotion", "set_limits") => bob.set_limits(SafetyLimits::default()).await.unwrap(),
            ("emotion", "forget") => drop(bob.forget().await.unwrap()),
            ("emotion", "list") => assert!(!self.elpis.sessions().await.unwrap().is_empty()),
            // They come by themselves.
            ("emotion", "sweep" | "report_idle") | ("engine", "watch") => {}
            ("steering", "changed" | "settled") => put_vector(self.folder.path(), 0.01),
            ("steering", "reload") => drop(self.elpis.reload_vectors().await.unwrap()),
            ("steering", "model_loaded") | ("engine", "thread_ended") => {
                self.break_engine.store(true, Ordering::SeqCst);
            }
            ("hardware", "refresh") => drop(self.elpis.refresh_hardware().await.unwrap()),
            other => panic!("nothing sends {other:?}"),
        }
    }

    /// Waits until an actor has panicked and works again.
    async fn restarted(&mut self, name: &str) {
        let mut panicked = false;
        loop {
            let Some(Delivery::Event(event)) = self.events.next().await else {
                panic!("the bus is gone or lags");
            };
            match *event {
                Event::ActorRestarting {
                    actor,
                    kind: FailureKind::Panic,
                    ref cause,
                    ..
                } if actor.as_str() == name => {
                    assert!(cause.contains("injected panic of"), "{cause}");
                    panicked = true;
                }
                Event::ActorRestarted { actor } if panicked && actor.as_str() == name => return,
                Event::Stopped { ref reason } => panic!("{reason}"),
                _ => {}
            }
        }
    }
}

const KINDS: [(&str, &str); 18] = [
    ("hardware", "refresh"),
    ("engine", "watch"),
    ("engine", "thread_ended"),
    ("steering", "changed"),
    ("steering", "settled"),
    ("steering", "model_loaded"),
    ("steering", "reload"),
    ("emotion", "feel"),
    ("emotion", "observe"),
    ("emotion", "snapshot"),
    ("emotion", "follow"),
    ("emotion", "reset"),
    ("emotion", "set_strength"),
    ("emotion", "set_limits"),
    ("emotion", "forget"),
    ("emotion", "list"),
    ("emotion", "sweep"),
    ("emotion", "report_idle"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_at_any_message_comes_back_and_nothing_is_lost() {
    let mut world = World::start().await;
    let version = world.elpis.steering_library().version().to_string();
    let ada = world.session("ada");
    let mut felt = 0;
    for (actor, kind) in KINDS {
        let case = format!("{actor} at {kind}");
        ada.feel("success").await.unwrap();
        felt += 1;
        let before = ada.state().await.unwrap();
        // Longer than the buffer of its reader: it is not over before it is read.
        let chat = ada.chat("go on").max_tokens(200);
        let mut stream = chat.stream().await.unwrap();
        soon(&case, stream.next()).await.unwrap().unwrap();

        world.trap.arm(actor, kind);
        let breaks_engine = matches!(kind, "model_loaded" | "thread_ended");
        soon(&case, world.provoke(actor, kind)).await;
        // Only one that is read goes on, and meets the fault.
        let reading = if breaks_engine {
            let reading = tokio::spawn(stream.completion());
            soon(&case, world.restarted(actor)).await;
            reading
        } else {
            soon(&case, world.restarted(actor)).await;
            tokio::spawn(stream.completion())
        };
        assert!(!world.trap.is_armed(), "{case}");

        let read = soon(&case, reading).await.unwrap();
        if breaks_engine || actor == "engine" {
            assert_eq!(read.unwrap_err(), EngineError::EngineRestarted, "{case}");
        } else {
            assert_eq!(read.unwrap().report.completion_tokens, 200, "{case}");
        }
        let after = soon(&case, ada.state()).await.unwrap();
        assert_eq!(after.events_applied, felt, "{case}");
        assert_eq!(before.valence.to_bits(), after.valence.to_bits(), "{case}");
        let library = world.elpis.steering_library();
        assert_eq!(library.version().to_string(), version, "{case}");
        let chat = ada.chat("and now?").max_tokens(5).complete();
        assert_eq!(soon(&case, chat).await.unwrap().text.len(), 5, "{case}");
    }
    world.elpis.shutdown().await;
    assert_eq!(world.shelf.replayed("ada").unwrap().events_applied(), felt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_panics_at_any_message_leaves_nobody_waiting() {
    for kind in ["restart", "started", "shutdown"] {
        let world = World::start().await;
        let ada = world.session("ada");
        ada.feel("success").await.unwrap();
        world.elpis.flush().await.unwrap();
        let stream = ada.chat("go on").max_tokens(900).stream().await.unwrap();
        world.trap.arm("supervisor", kind);
        if kind == "shutdown" {
            let reading = tokio::spawn(stream.completion());
            soon("the shutdown", world.elpis.shutdown()).await;
            drop(soon("the reader", reading).await.unwrap());
        } else {
            world.break_engine.store(true, Ordering::SeqCst);
            let error = soon("the stream", stream.completion()).await.unwrap_err();
            assert_eq!(error, EngineError::EngineRestarted);
            // An engine that lives already dies with its supervisor.
            let told = loop {
                let asked = soon("a generation", ada.chat("more").max_tokens(900).complete()).await;
                match asked.unwrap_err() {
                    Error::Engine(EngineError::EngineRestarted) => {}
                    error => break error.to_string(),
                }
            };
            assert!(told.contains("supervisor failed"), "{told}");
        }
        let error = soon("an event", ada.feel("success")).await.unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{kind}: {error}");
        assert!(!world.trap.is_armed(), "{kind}");
        soon("the end", world.elpis.shutdown()).await;
        assert_eq!(world.shelf.replayed("ada").unwrap().events_applied(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steering_restart_keeps_the_library_in_force() {
    let mut world = World::start().await;
    let library = world.elpis.steering_library();
    assert!(!library.is_empty());
    let ada = world.session("ada");
    let mut stream = ada.chat("go on").max_tokens(200).stream().await.unwrap();
    stream.next().await.unwrap().unwrap();
    // Garbage, so that only what was kept can be in force.
    std::fs::write(world.folder.path().join("calm.safetensors"), "garbage").unwrap();
    world.trap.arm("steering", "reload");
    let elpis = world.elpis.clone();
    let reload = tokio::spawn(async move { elpis.reload_vectors().await });
    soon("restart", world.restarted("steering")).await;
    let error = soon("reload", reload).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Steering(_)), "{error}");
    let kept = world.elpis.steering_library();
    assert_eq!(kept.version(), library.version());

    let reply = soon("stream", stream.completion()).await.unwrap();
    assert_eq!(reply.report.completion_tokens, 200, "streams go on");
    let next = ada.chat("next").max_tokens(5).complete().await.unwrap();
    let applied = next.report.modulation().unwrap();
    assert_eq!(applied.library_version, library.version().to_string());

    // What is good again is taken over.
    put_vector(world.folder.path(), 0.02);
    let reloaded = soon("reload", world.elpis.reload_vectors()).await.unwrap();
    assert_ne!(reloaded.version(), library.version());
    world.elpis.shutdown().await;
}
