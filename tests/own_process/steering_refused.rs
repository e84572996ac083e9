//! What a runtime tells of vectors that it refuses: to the one who asked, on
//! the bus, and in the metrics. One test alone: metrics belong to the process.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::settings::{MetricsSettings, ModelSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{Delivery, Elpis, Error, Event, Events, Settings};
use elpis_testkit::http;
use elpis_testkit::scripted::Scripted;

/// Kind, file and reason of the next refusal.
async fn refusal(events: &mut Events) -> (&'static str, Option<String>, String) {
    let found = async {
        loop {
            match events.next().await {
                Some(Delivery::Event(event)) => {
                    if let Event::SteeringRefused { kind, file, reason } = &*event {
                        return (*kind, file.clone(), reason.clone());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .expect("a refusal is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_file_and_reason_everywhere() {
    in_own_process!(a_refusal_names_file_and_reason_everywhere);
    let folder = tempfile::tempdir().unwrap();
    let replace = |name: &str, bytes: &[u8]| {
        let beside = folder.path().join("new");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, folder.path().join(name)).unwrap();
    };
    let vector = |width: usize| {
        let vector = SteeringVector::bare(vec![0.1; width]).unwrap();
        write(VectorFormat::Safetensors, &vector).unwrap()
    };
    replace("calm.safetensors", &vector(4));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let model = ModelSettings::default()
        .chat_format("chatml")
        .emotion_vectors_dir(Path::new(folder.path()));
    let settings = Settings::default()
        .model(model)
        .metrics(MetricsSettings::default().listen(address));
    let elpis = Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap();
    let version = elpis.steering_library().version().to_owned();
    let mut events = elpis.events();

    replace("calm.safetensors", &vector(3));
    let (kind, file, reason) = refusal(&mut events).await;
    assert_eq!((kind, file.as_deref()), ("width", Some("calm.safetensors")));
    assert_eq!(
        reason,
        "calm.safetensors: width is 3, must be the model's 4"
    );

    // Another that is to blame; the call's answer says the same.
    replace("vectors.toml", b"scale = \"big\"");
    let (kind, file, reason) = refusal(&mut events).await;
    assert_eq!(
        (kind, file.as_deref()),
        ("wrong_type", Some("vectors.toml"))
    );
    let Error::Steering(error) = elpis.reload_vectors().await.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.to_string(), reason);
    assert_eq!(refusal(&mut events).await, (kind, file, reason));
    assert_eq!(elpis.steering_library().version(), version);

    let metrics = http::get(address, "/metrics");
    let count = |reason: &str| {
        let lines = metrics.lines().filter(|line| {
            line.starts_with("elpis_steering_reloads_total{")
                && line.contains("outcome=\"refused\"")
                && line.contains(&format!("reason=\"{reason}\""))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum::<u64>()
    };
    assert_eq!((count("width"), count("wrong_type")), (1, 2), "{metrics}");
    elpis.shutdown().await;
}
