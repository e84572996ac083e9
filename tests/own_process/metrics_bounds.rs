//! However long a process lives and whatever its callers name, what Prometheus
//! reads stays small. One test alone: metrics belong to the process.

use std::net::TcpListener;
use std::path::Path;

use crate::in_own_process;
use elpis::backend::BackendFactory;
use elpis::settings::{MetricsSettings, ModelSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{Coefficients, Elpis, Settings};
use elpis_testkit::http;
use elpis_testkit::scripted::Scripted;

const RELOADS: u16 = 2000;

/// Puts a vector into the folder at one stroke.
fn put(folder: &Path, vectors: &Path, scale: f32) {
    let vector = SteeringVector::bare(vec![0.1, scale, 0.0, 0.1]).unwrap();
    let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
    let aside = folder.join("new");
    std::fs::write(&aside, bytes).unwrap();
    std::fs::rename(aside, vectors.join("excited.safetensors")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_versions_without_end_make_no_series_without_end() {
    in_own_process!(names_and_versions_without_end_make_no_series_without_end);
    let folder = tempfile::tempdir().unwrap();
    let vectors = folder.path().join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    put(folder.path(), &vectors, 0.5);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let address = address.unwrap();
    let factory = BackendFactory::new(|_| Ok(Box::new(Scripted::new(2, 64, 1000, usize::MAX))));
    let model = ModelSettings::default()
        .chat_format("chatml")
        .emotion_vectors_dir(vectors.clone());
    let settings = Settings::default()
        .model(model)
        .metrics(MetricsSettings::default().listen(address));
    let elpis = Elpis::builder(settings).backend(factory);
    let elpis = elpis.start().await.unwrap();
    let ada = elpis.session("ada").unwrap();

    // A caller names 1,000 emotions that are not there, and one that is.
    for round in 0..10 {
        let mut coefficients = Coefficients::new();
        coefficients.insert("excited", 0.5).unwrap();
        coefficients.insert("calm", 0.0).unwrap();
        for number in 0..100 {
            let name = format!("nobody_knows_{round}_{number}");
            coefficients.insert(name, 1.0).unwrap();
        }
        let reply = ada.chat("hello").coefficients(coefficients).max_tokens(2);
        reply.complete().await.unwrap();
    }
    // Vectors change again and again, and now and then are wrong.
    for number in 0..RELOADS {
        put(folder.path(), &vectors, f32::from(number + 1) / 10_000.0);
        elpis.reload_vectors().await.unwrap();
    }
    for number in 0..20 {
        let bad = vectors.join(format!("bad_{number}.safetensors"));
        std::fs::write(&bad, "no vector").unwrap();
        elpis.reload_vectors().await.unwrap_err();
        std::fs::remove_file(bad).unwrap();
    }
    elpis.reload_vectors().await.unwrap();

    let text = http::get(address, "/metrics");
    assert!(text.len() < 100_000, "{} bytes", text.len());
    assert!(!text.contains("nobody_knows_") && !text.contains("bad_"));
    let of = |name: &str| -> Vec<&str> {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.collect()
    };
    assert_eq!(
        of("elpis_steering_coefficient_count"),
        ["elpis_steering_coefficient_count{model=\"scripted\",emotion=\"excited\"} 10"]
    );
    let versions = of("elpis_steering_library_version");
    let [version] = versions.as_slice() else {
        panic!("one series: {versions:?}");
    };
    let number: f64 = version.rsplit(' ').next().unwrap().parse().unwrap();
    let library = elpis.steering_library();
    assert_eq!(
        format!("{:012x}", number as u64),
        library.version()[..12],
        "it can be read back"
    );
    let ok = of("elpis_steering_reloads_total{outcome=\"ok\"}");
    let ok: u32 = ok[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(ok >= RELOADS.into(), "{ok}");
    elpis.shutdown().await;
}
