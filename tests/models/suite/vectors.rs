//! Steering vectors that change while the runtime works.

mod links;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elpis::backend::BundledModel;
use elpis::settings::ModelSettings;
use elpis::steering::{SteeringVector, VectorFormat, parse, write};
use elpis::{Delivery, Elpis, Error, Event, Events, Settings};

use super::BACKEND;
use crate::support::hardware::hardware;

fn settings(folder: &Path) -> Settings {
    let model = ModelSettings::default()
        .backend(BACKEND)
        .hardware_backend(hardware())
        .emotion_vectors_dir(folder);
    Settings::default().model(model)
}

fn fill(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in BundledModel::vectors() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn scaled(factor: f64) -> Vec<u8> {
    let (_, bytes) = BundledModel::vectors()
        .iter()
        .find(|(name, _)| *name == "calm.safetensors")
        .unwrap();
    let vector = parse(VectorFormat::Safetensors, bytes).unwrap();
    write(VectorFormat::Safetensors, &vector.scaled(factor).unwrap()).unwrap()
}

#[derive(Debug)]
enum News {
    Reloaded(String),
    Refused(String, Option<String>),
}

async fn news(events: &mut Events) -> News {
    let found = async {
        loop {
            match events.next().await {
                Some(Delivery::Event(event)) => match *event {
                    Event::SteeringReloaded { version, .. } => return News::Reloaded(version),
                    Event::SteeringRefused { reason, file, .. } => {
                        return News::Refused(reason, file);
                    }
                    _ => {}
                },
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .expect("no news of the vectors")
}

async fn reloaded(events: &mut Events) -> String {
    match news(events).await {
        News::Reloaded(version) => version,
        News::Refused(reason, _) => panic!("refused: {reason}"),
    }
}

/// The next set that is taken over; a writer that was held up may have had
/// its half of a file refused more than once.
async fn in_the_end(events: &mut Events) -> String {
    loop {
        if let News::Reloaded(version) = news(events).await {
            return version;
        }
    }
}

async fn refused(events: &mut Events) -> String {
    match news(events).await {
        News::Refused(reason, file) => {
            let file = file.expect("a refusal names a file");
            assert!(reason.contains(&file), "{reason}");
            reason
        }
        News::Reloaded(version) => panic!("reloaded: {version}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_taken_over_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let elpis = Elpis::start(settings(folder.path())).await.unwrap();
    let first = elpis.steering_library().version().to_owned();
    assert_eq!(elpis.steering_library().emotions().len(), 4);
    let mut events = elpis.events();

    fs::write(folder.path().join("calm.safetensors"), scaled(0.5)).unwrap();
    let second = reloaded(&mut events).await;
    assert_ne!(second, first);
    let session = elpis.session("a").unwrap();
    let reply = session
        .chat("Tell me about rain.")
        .max_tokens(4)
        .complete()
        .await
        .unwrap();
    assert_eq!(reply.report.modulation().unwrap().library_version, second);

    // As editors write: a new file, renamed over the old one.
    fs::write(folder.path().join("calm.tmp"), scaled(0.7)).unwrap();
    fs::rename(
        folder.path().join("calm.tmp"),
        folder.path().join("calm.safetensors"),
    )
    .unwrap();
    let third = reloaded(&mut events).await;
    assert_ne!(third, second);

    let narrow = SteeringVector::bare(vec![1.0; 3]).unwrap();
    let narrow = write(VectorFormat::Safetensors, &narrow).unwrap();
    for (bytes, words) in [(narrow, "3"), (b"garbage".to_vec(), "calm.safetensors")] {
        fs::write(folder.path().join("calm.safetensors"), bytes).unwrap();
        let reason = refused(&mut events).await;
        assert!(
            reason.contains("calm.safetensors") && reason.contains(words),
            "{reason}"
        );
        assert_eq!(
            elpis.steering_library().version(),
            third,
            "the last good set serves on"
        );
        let error = elpis.reload_vectors().await.unwrap_err();
        assert!(matches!(error, Error::Steering(_)), "{error:?}");
        refused(&mut events).await;
    }
    fs::write(folder.path().join("calm.safetensors"), scaled(1.0)).unwrap();
    assert_ne!(reloaded(&mut events).await, third);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_slowly_or_deleted_is_told_and_never_served_in_part() {
    use std::io::Write;

    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let manifest = folder.path().join("vectors.toml");
    fs::write(&manifest, "layer = 2\n").unwrap();
    let elpis = Elpis::start(settings(folder.path())).await.unwrap();
    let first = elpis.steering_library().version().to_owned();
    let mut events = elpis.events();
    let file = folder.path().join("calm.safetensors");
    let whole = scaled(0.5);
    let (head, tail) = whole.split_at(whole.len() / 2);
    let mut writer = fs::File::create(&file).unwrap();
    writer.write_all(head).unwrap();
    let reason = refused(&mut events).await;
    assert!(reason.contains("calm.safetensors"), "{reason}");
    assert_eq!(elpis.steering_library().version(), first);
    writer.write_all(tail).unwrap();
    drop(writer);
    let second = in_the_end(&mut events).await;
    assert_ne!(second, first);

    // Without its file an emotion no longer steers, unless the manifest names
    // it: then the set is refused.
    fs::remove_file(&file).unwrap();
    let third = in_the_end(&mut events).await;
    assert_eq!(elpis.steering_library().emotions().len(), 3);
    fs::write(&manifest, "layer = 2\n[emotions.calm]\ncap = 1.0\n").unwrap();
    let reason = refused(&mut events).await;
    assert!(reason.contains("calm"), "{reason}");
    assert_eq!(elpis.steering_library().version(), third);
    fs::write(&file, &whole).unwrap();
    in_the_end(&mut events).await;
    assert_eq!(elpis.steering_library().emotions().len(), 4);
    elpis.shutdown().await;
}

/// Moves a folder that was filled beside it into its place: its files come all
/// at once.
fn place(folder: &Path, factor: f64) {
    let made = folder.with_extension("made");
    fill(&made);
    fs::write(made.join("calm.safetensors"), scaled(factor)).unwrap();
    fs::rename(made, folder).unwrap();
}

/// A database in the same folder, say, that is written to all the time.
fn write_beside(folder: &Path) -> (Arc<AtomicBool>, std::thread::JoinHandle<()>) {
    let file = folder.with_file_name("moods.db-wal");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            fs::write(&file, b"a page").unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    (stop, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_file_beside_the_folder_neither_delays_nor_refuses() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("vectors");
    let elpis = Elpis::start(settings(&folder)).await.unwrap();
    let mut events = elpis.events();
    let (stop, writer) = write_beside(&folder);
    // While there is no folder, what happens beside it is no news.
    tokio::time::sleep(Duration::from_millis(300)).await;
    place(&folder, 1.0);
    let mut seen = vec![reloaded(&mut events).await];
    for factor in [0.5, 0.6, 0.7] {
        fs::write(root.path().join("new"), scaled(factor)).unwrap();
        fs::rename(root.path().join("new"), folder.join("calm.safetensors")).unwrap();
        let version = reloaded(&mut events).await;
        assert!(!seen.contains(&version));
        seen.push(version);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_pause_are_followed_and_one_refusal_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let elpis = Elpis::start(settings(folder.path())).await.unwrap();
    let mut events = elpis.events();
    let (stop, writer) = write_beside(&folder.path().join("within"));
    let rename = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join("new"), bytes).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join(name)).unwrap();
    };
    rename("calm.safetensors", b"garbage");
    let reason = refused(&mut events).await;
    // The same again and again: nothing is told until it is another.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    rename("vectors.toml", b"scale = -1");
    let other = refused(&mut events).await;
    assert_ne!(reason, other);
    rename("calm.safetensors", &scaled(0.5));
    rename("vectors.toml", b"scale = 1");
    reloaded(&mut events).await;
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_set_at_the_start_fails_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    fs::write(folder.path().join("calm.safetensors"), b"garbage").unwrap();
    let error = Elpis::start(settings(folder.path())).await.unwrap_err();
    assert!(error.to_string().contains("calm.safetensors"), "{error}");
}
