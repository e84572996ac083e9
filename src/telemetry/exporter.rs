//! The exporter for Prometheus.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use metrics_process::Collector;

use super::table::{
    AROUSAL, BATCH_ROWS, INTER_TOKEN_LATENCY, LATENCY, OTEL_DURATION, OTEL_PER_TOKEN,
    OTEL_TIME_TO_FIRST_TOKEN, OTEL_TOKENS, QUEUE_TIME, STEERING_COEFFICIENT, STEERING_FRACTION,
    STEERING_RELOAD_TIME, STORE_COMMIT, TIME_TO_FIRST_TOKEN, VALENCE,
};
use crate::error::Error;

/// vLLM's buckets of times to the first token.
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// vLLM's buckets of times between tokens, with finer ones below.
const BETWEEN_TOKENS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
    5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// vLLM's buckets of whole requests.
const REQUEST: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const SHORT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
const ROWS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0,
];
const PLANE: &[f64] = &[-0.8, -0.6, -0.4, -0.2, -0.05, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0];
const FRACTION: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0];

const COEFFICIENT: &[f64] = &[
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
];
/// The conventions' buckets of durations.
const OTEL_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// The conventions' buckets of times to the first token.
const OTEL_FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// The conventions' buckets of times per token.
const OTEL_PER_TOKEN_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// The conventions' buckets of tokens.
const OTEL_COUNTS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

const BUCKETS: &[(&str, &[f64])] = &[
    (TIME_TO_FIRST_TOKEN, FIRST_TOKEN),
    (INTER_TOKEN_LATENCY, BETWEEN_TOKENS),
    (QUEUE_TIME, REQUEST),
    (LATENCY, REQUEST),
    (STORE_COMMIT, SHORT),
    (STEERING_RELOAD_TIME, SHORT),
    (BATCH_ROWS, ROWS),
    (VALENCE, PLANE),
    (AROUSAL, PLANE),
    (STEERING_FRACTION, FRACTION),
    (STEERING_COEFFICIENT, COEFFICIENT),
    (OTEL_DURATION, OTEL_SECONDS),
    (OTEL_TIME_TO_FIRST_TOKEN, OTEL_FIRST_TOKEN),
    (OTEL_PER_TOKEN, OTEL_PER_TOKEN_SECONDS),
    (OTEL_TOKENS, OTEL_COUNTS),
];

/// Where this process listens.
static LISTENING: Mutex<Option<SocketAddr>> = Mutex::new(None);

/// Measures memory, processor time, threads and open files of this process,
/// under the names that Prometheus' own clients give them.
pub(crate) fn process() {
    Collector::default().collect();
}

/// Makes the metrics of this process readable over HTTP, until it ends: they
/// belong to it and not to one runtime, of which there may be several.
pub(crate) fn listen(address: SocketAddr) -> Result<(), Error> {
    let refused = |reason: String| Error::Metrics {
        listen: address.to_string(),
        reason,
    };
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    match *listening {
        Some(already) if already == address => return Ok(()),
        Some(already) => {
            return Err(refused(format!(
                "this process listens on {already} already"
            )));
        }
        None => {}
    }
    let (report, started) = std::sync::mpsc::channel();
    // With a thread of its own it outlives the caller's asynchronous runtime.
    std::thread::Builder::new()
        .name("elpis-metrics".to_owned())
        .spawn(move || serve(address, &report))
        .map_err(|error| refused(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => {
            Collector::default().describe();
            *listening = Some(address);
            Ok(())
        }
        Ok(Err(reason)) => Err(refused(reason)),
        Err(_) => Err(refused("its thread ended".to_owned())),
    }
}

fn serve(address: SocketAddr, report: &Sender<Result<(), String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(error.to_string()));
            return;
        }
    };
    let served = runtime.block_on(async {
        let (recorder, exporter) = builder(address)
            .and_then(PrometheusBuilder::build)
            .map_err(|error| match error {
                BuildError::FailedToCreateHTTPListener(reason) => reason,
                error => error.to_string(),
            })?;
        metrics::set_global_recorder(recorder).map_err(|_| {
            "this process has a recorder of its own, which receives the metrics; unset \
             metrics.listen"
                .to_owned()
        })?;
        let _ = report.send(Ok(()));
        exporter.await.map_err(|error| format!("{error:?}"))
    });
    if let Err(reason) = served {
        tracing::error!(reason, "the metrics cannot be read");
        let _ = report.send(Err(reason));
    }
}

fn builder(address: SocketAddr) -> Result<PrometheusBuilder, BuildError> {
    let builder = PrometheusBuilder::new().with_http_listener(address);
    BUCKETS
        .iter()
        .try_fold(builder, |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
        })
}
