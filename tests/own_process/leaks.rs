//! A runtime that was shut down leaves nothing behind. One test alone, since
//! it counts the threads and open files of the process.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::settings::{Durability, ModelSettings, StoreSettings};
use elpis::{Elpis, Settings};
use elpis_testkit::scripted::Scripted;

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Threads and open files.
type Left = (usize, usize);

fn no_more(now: Left, before: Left) -> bool {
    now.0 <= before.0 && now.1 <= before.1
}

/// Chats and feels, is left in the middle of a reply, and is shut down.
async fn live(folder: &Path, durability: Durability, clean: bool) {
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let model = ModelSettings::default()
        .chat_format("chatml")
        .emotion_vectors_dir(folder.join("vectors"));
    let store = StoreSettings::default()
        .path(folder.join("moods.db"))
        .durability(durability);
    let settings = Settings::default().model(model).store(store);
    let builder = Elpis::builder(settings).backend(factory);
    let elpis = builder.start().await.unwrap();
    let session = elpis.session("ada").unwrap();
    session.feel("success").await.unwrap();
    session.chat("one").max_tokens(5).complete().await.unwrap();
    let mut stream = session.chat("two").max_tokens(400).stream().await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    if clean {
        elpis.shutdown().await;
        elpis.shutdown().await;
        return;
    }
    drop((session, elpis));
    // Nobody waits for the end of a runtime that is dropped; it comes soon.
    let lock = folder.join("moods.db.lock");
    for _ in 0..2000 {
        let file = std::fs::File::open(&lock).unwrap();
        if file.try_lock().is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the store is never given up");
}

#[test]
fn nothing_is_left_after_a_shutdown() {
    in_own_process!(nothing_is_left_after_a_shutdown);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("vectors")).unwrap();
    let mut before = None;
    for round in 0..12 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let durability = [Durability::Relaxed, Durability::Sync][round % 2];
        runtime.block_on(live(folder.path(), durability, round % 3 != 0));
        let metrics = runtime.metrics();
        let mut tasks = metrics.num_alive_tasks();
        for _ in 0..2000 {
            if tasks == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            tasks = metrics.num_alive_tasks();
        }
        assert_eq!(tasks, 0, "tasks in round {round}");
        drop(runtime);
        let mut now = (entries("/proc/self/task"), entries("/proc/self/fd"));
        for _ in 0..2000 {
            if before.is_none_or(|before| no_more(now, before)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            now = (entries("/proc/self/task"), entries("/proc/self/fd"));
        }
        // What is made once for the process is made in the first rounds.
        if round < 3 {
            before = Some(now);
        } else {
            let known = before.is_some_and(|before| no_more(now, before));
            assert!(
                known,
                "threads and files in round {round}: {now:?}, before {before:?}"
            );
        }
    }
}
