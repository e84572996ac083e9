//! An engine thread that has nothing to do sleeps until it is woken. One process for each test,
//! since the thread is found by its name.

use std::time::Duration;

use elpis::backend::BackendFactory;
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::{Delivery, Elpis, EngineError, Error, Event, Settings};
use elpis_testkit::scripted::Scripted;

use crate::in_own_process;

/// A time in which a thread that polls would have woken many times.
const WHILE: Duration = Duration::from_millis(400);

/// One generation at a time, which pauses as soon as its reader lags.
async fn start() -> Elpis {
    let runtime = RuntimeSettings::default()
        .n_parallel(1_usize)
        .queue_limit(0_usize)
        .stream_buffer(1_usize)
        .shutdown_timeout(Duration::from_mins(10));
    let model = ModelSettings::default().chat_format("chatml");
    let settings = Settings::default().runtime(runtime).model(model);
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(1, 64, 1000, usize::MAX))));
    let builder = Elpis::builder(settings).backend(factory);
    soon(builder.start()).await.unwrap()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, work).await.expect("no answer")
}

/// How often the engine thread has gone to sleep so far.
fn sleeps() -> u64 {
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        if field("Name:") == "elpis-engine" {
            return field("voluntary_ctxt_switches:").parse().unwrap();
        }
    }
    panic!("there is no engine thread");
}

/// Waits until nothing wakes the engine thread any more, which something that polls never reaches.
async fn sleeps_on() {
    let rests = async {
        let mut last = sleeps();
        loop {
            tokio::time::sleep(WHILE).await;
            let now = sleeps();
            if now == last {
                return;
            }
            last = now;
        }
    };
    soon(rests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_sleeps_and_is_woken_by_a_request_and_by_a_shutdown() {
    in_own_process!(an_idle_engine_sleeps_and_is_woken_by_a_request_and_by_a_shutdown);
    let elpis = start().await;
    sleeps_on().await;
    let session = elpis.session("a").unwrap();
    let reply = soon(session.chat("one").max_tokens(5).complete()).await;
    assert_eq!(reply.unwrap().text.len(), 5);
    sleeps_on().await;
    // A cache command finds it asleep as well.
    let saved = soon(session.save_kv()).await.unwrap();
    assert!(saved.is_some());
    soon(elpis.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_engine_sleeps_until_its_reader_makes_room_or_leaves() {
    in_own_process!(a_stalled_engine_sleeps_until_its_reader_makes_room_or_leaves);
    let elpis = start().await;
    let session = elpis.session("a").unwrap();
    let chat = session.chat("one").max_tokens(100);
    let mut stream = soon(chat.clone().stream()).await.unwrap();
    soon(stream.next()).await.unwrap().unwrap();
    sleeps_on().await;
    let reply = soon(stream.completion()).await.unwrap();
    assert_eq!(reply.report.completion_tokens, 100);
    // One that leaves makes its slot free.
    let mut stream = soon(chat.clone().stream()).await.unwrap();
    soon(stream.next()).await.unwrap().unwrap();
    sleeps_on().await;
    drop(stream);
    let free = async {
        loop {
            match chat.clone().stream().await {
                Err(Error::Engine(EngineError::Overloaded { .. })) => {
                    tokio::task::yield_now().await;
                }
                answer => return answer.unwrap(),
            }
        }
    };
    let reply = soon(soon(free).await.completion()).await.unwrap();
    assert_eq!(reply.report.completion_tokens, 100);
    soon(elpis.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_generation_ends_when_its_time_is_over() {
    in_own_process!(a_stalled_generation_ends_when_its_time_is_over);
    let elpis = start().await;
    let mut events = elpis.events();
    let session = elpis.session("a").unwrap();
    let chat = session
        .chat("one")
        .max_tokens(100)
        .timeout(Duration::from_millis(500));
    let stream = soon(chat.stream()).await.unwrap();
    let failed = async {
        loop {
            match events.next().await.unwrap() {
                Delivery::Event(event) => {
                    if let Event::GenerationFailed { id, kind, .. } = *event {
                        return (id, kind);
                    }
                }
                Delivery::Lagged(_) => {}
            }
        }
    };
    assert_eq!(soon(failed).await, (stream.id(), "timeout"));
    drop(stream);
    soon(elpis.shutdown()).await;
}
