//! The exporter for Prometheus.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use metrics_process::Collector;

use super::buckets;
use crate::error::{Error, MetricsFault};

/// Why nothing listens, by kind and in words.
type Refusal = (MetricsFault, String);

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
    let refused = |(fault, reason): Refusal| Error::Metrics {
        listen: address.to_string(),
        fault,
        reason,
    };
    let other = |reason: String| refused((MetricsFault::Other, reason));
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    match *listening {
        Some(already) if already == address => return Ok(()),
        Some(already) => {
            let reason = format!("this process listens on {already} already");
            return Err(refused((MetricsFault::Taken, reason)));
        }
        None => {}
    }
    // The exporter gives no more than words; the system's own error can be told apart.
    TcpListener::bind(address).map_err(|error| refused(of_bind(&error)))?;
    let (report, started) = std::sync::mpsc::channel();
    // With a thread of its own it outlives the caller's asynchronous runtime.
    std::thread::Builder::new()
        .name("elpis-metrics".to_owned())
        .spawn(move || serve(address, &report))
        .map_err(|error| other(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => {
            *listening = Some(address);
            Ok(())
        }
        Ok(Err(reason)) => Err(refused(reason)),
        Err(_) => Err(other("its thread ended".to_owned())),
    }
}

fn of_bind(error: &io::Error) -> Refusal {
    let fault = match error.kind() {
        ErrorKind::AddrInUse => MetricsFault::InUse,
        ErrorKind::AddrNotAvailable => MetricsFault::NotThere,
        ErrorKind::PermissionDenied => MetricsFault::Forbidden,
        _ => MetricsFault::Other,
    };
    (fault, error.to_string())
}

fn serve(address: SocketAddr, report: &Sender<Result<(), Refusal>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err((MetricsFault::Other, error.to_string())));
            return;
        }
    };
    let served = runtime.block_on(async {
        let (recorder, exporter) = builder(address)
            .and_then(PrometheusBuilder::build)
            .map_err(|error| match error {
                BuildError::FailedToCreateHTTPListener(reason) => reason,
                error => error.to_string(),
            })
            .map_err(|reason| (MetricsFault::Other, reason))?;
        metrics::set_global_recorder(recorder).map_err(|_| {
            let reason = "this process has a recorder of its own, which receives the metrics; unset \
                          metrics.listen";
            (MetricsFault::Taken, reason.to_owned())
        })?;
        let _ = report.send(Ok(()));
        exporter.await.map_err(|error| (MetricsFault::Other, format!("{error:?}")))
    });
    if let Err(refusal) = served {
        tracing::error!(reason = refusal.1, "the metrics cannot be read");
        let _ = report.send(Err(refusal));
    }
}

fn builder(address: SocketAddr) -> Result<PrometheusBuilder, BuildError> {
    let builder = PrometheusBuilder::new().with_http_listener(address);
    buckets().try_fold(builder, |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    })
}
