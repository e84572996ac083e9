//! Whatever breaks in an engine, and wherever: every caller gets an answer or
//! an error, every feeling is kept, and the next generation works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::fragile::{self, Site};
use elpis::backend::{BackendError, BackendFactory};
use elpis::settings::{MetricsSettings, ModelSettings, RuntimeSettings};
use elpis::{Elpis, EngineError, Error, Settings};

const SYSTEM: &str = "You are a helpful assistant who answers every question at once.";

fn settings() -> Settings {
    let runtime = RuntimeSettings::default()
        .n_parallel(2_usize)
        .restart_max(1000_u32)
        .restart_backoff_initial(Duration::from_millis(1))
        .restart_backoff_max(Duration::from_millis(5));
    let model = ModelSettings::default().chat_format("chatml");
    // Those that look at the time now and then must not meet a fault that is not their own.
    let metrics = MetricsSettings::default().interval(Duration::from_hours(1));
    let mut settings = Settings::default()
        .runtime(runtime)
        .model(model)
        .metrics(metrics);
    settings.emotion.behavioral_monitoring_enabled = false;
    settings
}

async fn start(settings: Settings, factory: BackendFactory) -> Elpis {
    let builder = Elpis::builder(settings).backend(factory);
    builder.start().await.unwrap()
}

fn sound() -> BackendFactory {
    fragile::factory(|_, _| Ok(()))
}

fn error() -> BackendError {
    BackendError::Native {
        call: "injected",
        reason: "fault".into(),
    }
}

/// Never waits for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, work).await.expect("no answer")
}

/// A conversation that uses all that a backend can do: two sessions side by
/// side behind one system prompt, in turns, saved and restored.
async fn converse(elpis: &Elpis) -> Vec<Result<String, Error>> {
    let mut told = Vec::new();
    for turn in 0..3 {
        let mut both = Vec::new();
        for name in ["ada", "bob"] {
            let session = elpis.session(name).unwrap();
            session.feel("failure").await.unwrap();
            let messages = [
                elpis::ChatMessage::system(SYSTEM),
                elpis::ChatMessage::user(format!("{name} {turn}")),
            ];
            let stream = session.chat(&messages[..]).max_tokens(12).stream().await;
            both.push(stream.unwrap());
        }
        for stream in both {
            let reply = soon(stream.completion()).await;
            told.push(reply.map(|reply| reply.text).map_err(Error::from));
        }
        let ada = elpis.session("ada").unwrap();
        match soon(ada.save_kv()).await {
            Ok(Some(bytes)) => told.push(soon(ada.restore_kv(bytes)).await.map(|_| String::new())),
            Ok(None) => {}
            Err(error) => told.push(Err(error)),
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_anywhere_is_an_error_of_those_it_hits_and_the_engine_goes_on() {
    let sites = [
        Site::Decode,
        Site::Logits,
        Site::Truncate,
        Site::Share,
        Site::Save,
        Site::Restore,
    ];
    for site in sites {
        let mut reached = 0;
        // The first, one in the middle: prompts and replies are both hit.
        for at in [0, 1, 2, 5, 9] {
            for panics in [false, true] {
                let hits = Arc::new(AtomicU32::new(0));
                let counted = Arc::clone(&hits);
                let factory = fragile::factory(move |here, number| {
                    if (here, number) != (site, at) {
                        return Ok(());
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                    assert!(!panics, "injected panic");
                    Err(error())
                });
                let case = format!("{site:?} {at} {panics}");
                let elpis = start(settings(), factory).await;
                for outcome in converse(&elpis).await {
                    match outcome {
                        Ok(_)
                        | Err(Error::Engine(
                            EngineError::EngineRestarted
                            | EngineError::Backend(_)
                            | EngineError::KvSnapshot(_),
                        )) => {}
                        Err(other) => panic!("{case}: {other}"),
                    }
                }
                for name in ["ada", "bob"] {
                    let session = elpis.session(name).unwrap();
                    let felt = session.state().await.unwrap();
                    assert_eq!(felt.events_applied, 3, "{case}");
                    // The fault may come only now, but it comes once.
                    let ask = async || session.chat("and now?").max_tokens(5).complete().await;
                    let reply = match soon(ask()).await {
                        Err(_) => soon(ask()).await,
                        reply => reply,
                    };
                    assert_eq!(reply.unwrap().text.len(), 5, "{case}");
                }
                reached += hits.load(Ordering::SeqCst);
                elpis.shutdown().await;
            }
        }
        assert!(reached > 0, "{site:?} is never reached");
    }
}

/// Starts four generations of two sessions on two slots and reads them.
async fn four(elpis: &Elpis) -> Vec<Result<elpis::Completion, EngineError>> {
    let mut streams = Vec::new();
    for number in 0..4 {
        let session = elpis.session(format!("s{}", number % 2)).unwrap();
        let chat = session.chat(format!("{SYSTEM} {number}"));
        streams.push(match chat.max_tokens(30).seed(number).stream().await {
            Ok(stream) => Ok(tokio::spawn(stream.completion())),
            // The runtime ended before this one began.
            Err(Error::Stopped { reason, .. }) => Err(EngineError::Stopped { reason }),
            Err(error) => panic!("{error}"),
        });
    }
    let mut replies = Vec::new();
    for stream in streams {
        replies.push(match stream {
            Ok(stream) => soon(stream).await.unwrap(),
            Err(error) => Err(error),
        });
    }
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_generation_goes_on_as_if_nothing_had_happened() {
    let mut resuming = settings();
    resuming.runtime = resuming.runtime.resume_generations(true);
    let elpis = start(settings(), sound()).await;
    let undisturbed = four(&elpis).await;
    elpis.shutdown().await;
    // In a prompt, in its middle, and deep in the replies; twice as well.
    for panics_at in [
        vec![0],
        vec![1],
        vec![2],
        vec![7],
        vec![20],
        vec![5, 6],
        vec![9, 25],
    ] {
        let times = panics_at.len() as u32;
        let factory = fragile::factory(move |site, number| {
            let hit = site == Site::Decode && panics_at.contains(&number);
            assert!(!hit, "injected panic");
            Ok(())
        });
        let elpis = start(resuming.clone(), factory).await;
        let resumed = four(&elpis).await;
        let mut resumes = 0;
        for (resumed, undisturbed) in resumed.into_iter().zip(&undisturbed) {
            let (resumed, undisturbed) = (resumed.unwrap(), undisturbed.as_ref().unwrap());
            assert_eq!(resumed.text, undisturbed.text);
            let (ours, theirs) = (&resumed.report, &undisturbed.report);
            assert_eq!(ours.completion_tokens, theirs.completion_tokens);
            assert_eq!(ours.prompt_tokens, theirs.prompt_tokens);
            resumes = resumes.max(ours.resumes);
        }
        assert!((1..=times).contains(&resumes), "{resumes} of {times}");
        elpis.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_whose_engine_hangs_goes_on_in_the_next() {
    let mut hanging = settings();
    hanging.runtime = hanging
        .runtime
        .resume_generations(true)
        // Longer than a step may take on a machine that is busy.
        .watchdog(Duration::from_secs(2))
        .shutdown_timeout(Duration::from_millis(500));
    let elpis = start(settings(), sound()).await;
    let undisturbed = four(&elpis).await;
    elpis.shutdown().await;
    // In a prompt, and in the replies.
    for hangs_at in [1, 12] {
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let factory = fragile::factory(move |site, number| {
            if site == Site::Decode && number == hangs_at {
                let _ = held.recv();
            }
            Ok(())
        });
        let elpis = start(hanging.clone(), factory).await;
        let mut resumed = Vec::new();
        for reply in four(&elpis).await {
            resumed.push(reply.unwrap());
        }
        for (resumed, undisturbed) in resumed.iter().zip(&undisturbed) {
            assert_eq!(resumed.text, undisturbed.as_ref().unwrap().text);
        }
        assert!(resumed.iter().any(|reply| reply.report.resumes == 1));
        // The old thread still hangs, and may wake up.
        drop(release);
        let session = elpis.session("s0").unwrap();
        let reply = soon(session.chat("and now?").max_tokens(5).complete()).await;
        assert_eq!(reply.unwrap().text.len(), 5);
        elpis.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_hangs_every_engine_ends_with_the_second() {
    let mut hanging = settings();
    hanging.runtime = hanging
        .runtime
        .resume_generations(true)
        .watchdog(Duration::from_secs(1))
        .shutdown_timeout(Duration::from_millis(500));
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let loads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&loads);
    let factory = fragile::factory(move |site, _| {
        if site == Site::Load {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        if site == Site::Decode && counted.load(Ordering::SeqCst) <= 2 {
            let _ = held.recv();
        }
        Ok(())
    });
    let elpis = start(hanging, factory).await;
    let session = elpis.session("a").unwrap();
    let reply = soon(session.chat("one").max_tokens(5).complete()).await;
    assert!(
        matches!(reply, Err(Error::Engine(EngineError::EngineRestarted))),
        "{reply:?}"
    );
    let reply = soon(session.chat("two").max_tokens(5).complete()).await;
    assert_eq!(reply.unwrap().text.len(), 5);
    assert_eq!(loads.load(Ordering::SeqCst), 3);
    drop(release);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_breaks_every_engine_is_given_up() {
    let mut resuming = settings();
    resuming.runtime = resuming.runtime.resume_generations(true);
    // Whenever it is evaluated: after two engines more.
    let loads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&loads);
    let factory = fragile::factory(move |site, _| {
        if site == Site::Load {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let poisoned = counted.load(Ordering::SeqCst) <= 3;
        assert!(site != Site::Decode || !poisoned, "injected panic");
        Ok(())
    });
    let elpis = start(resuming, factory).await;
    let session = elpis.session("a").unwrap();
    let reply = soon(session.chat("one").max_tokens(5).complete()).await;
    assert!(
        matches!(reply, Err(Error::Engine(EngineError::EngineRestarted))),
        "{reply:?}"
    );
    assert_eq!(loads.load(Ordering::SeqCst), 3);
    let reply = soon(session.chat("two").max_tokens(5).complete()).await;
    assert_eq!(reply.unwrap().text.len(), 5);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_whose_own_token_broke_the_engine_does_not_resume() {
    let mut resuming = settings();
    resuming.runtime = resuming.runtime.resume_generations(true);
    let factory = fragile::factory(|site, number| {
        assert!(site != Site::Piece || number != 9, "injected panic");
        Ok(())
    });
    let elpis = start(resuming, factory).await;
    let replies = four(&elpis).await;
    let ended = replies.iter().filter(|reply| reply.is_err()).count();
    assert_eq!(ended, 1, "{replies:?}");
    let resumed = replies.iter().flatten().map(|reply| reply.report.resumes);
    assert_eq!(resumed.sum::<u32>(), 1, "the one beside it");
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_resume_ends_when_the_runtime_does() {
    let mut resuming = settings();
    resuming.runtime = resuming.runtime.resume_generations(true).restart_max(0_u32);
    let factory = fragile::factory(|site, number| {
        assert!(site != Site::Decode || number != 5, "injected panic");
        Ok(())
    });
    let elpis = start(resuming, factory).await;
    for reply in four(&elpis).await {
        let error = reply.unwrap_err();
        assert!(matches!(error, EngineError::Stopped { .. }), "{error}");
    }
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_hangs_is_answered_and_one_behind_it_is_carried_out() {
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let mut watched = settings();
    watched.runtime = watched
        .runtime
        .watchdog(Duration::from_secs(2))
        .shutdown_timeout(Duration::from_millis(500));
    let (reach, reached) = tokio::sync::oneshot::channel();
    let reach = std::sync::Mutex::new(Some(reach));
    let factory = fragile::factory(move |site, number| {
        if (site, number) == (Site::Save, 0) {
            if let Some(reach) = reach.lock().unwrap().take() {
                let _ = reach.send(());
            }
            let _ = held.recv();
        }
        Ok(())
    });
    let elpis = start(watched, factory).await;
    let ada = elpis.session("ada").unwrap();
    soon(ada.chat("one").max_tokens(5).complete())
        .await
        .unwrap();
    let other = ada.clone();
    let hangs = tokio::spawn(async move { other.save_kv().await });
    soon(reached).await.unwrap();
    let waits = soon(ada.save_kv()).await.unwrap();
    assert_eq!(waits, None, "the next engine has nothing of it");
    let error = soon(hangs).await.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Engine(EngineError::EngineRestarted)),
        "{error}"
    );
    drop(release);
    elpis.shutdown().await;
}
