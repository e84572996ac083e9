//! The exporter for Prometheus.

mod server;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use super::buckets;
use crate::error::{Cause, Error, MetricsErrorKind};

/// Interval at which the upkeep of histograms runs.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why the exporter cannot listen: the kind and the underlying error.
type Refusal = (MetricsErrorKind, Cause);

/// The recorder of this process.
static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// The address on which this process listens.
static LISTENING: Mutex<Option<SocketAddr>> = Mutex::new(None);

/// Measures memory, processor time, threads and open files of this process, under the names that
/// Prometheus clients use.
pub(crate) fn process() {
    Collector::default().collect();
}

/// Serves the metrics of this process over HTTP until it ends. The metrics belong to the process,
/// which may have several runtimes.
pub(crate) fn listen(address: SocketAddr) -> Result<(), Error> {
    let refused = |(kind, source): Refusal| Error::Metrics {
        listen: address.to_string(),
        kind,
        source,
    };
    let other = |source: Cause| refused((MetricsErrorKind::Other, source));
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    match *listening {
        Some(already) if already == address => return Ok(()),
        Some(already) => {
            let reason = format!("this process listens on {already} already");
            return Err(refused((MetricsErrorKind::Taken, reason.into())));
        }
        None => {}
    }
    let listener = TcpListener::bind(address).map_err(|error| refused(of_bind(error)))?;
    let (report, started) = crossbeam_channel::bounded(1);
    // A separate thread outlives the caller's asynchronous runtime.
    std::thread::Builder::new()
        .name("elpis-metrics".to_owned())
        .spawn(move || serve(listener, &report))
        .map_err(|error| other(error.into()))?;
    match started.recv() {
        Ok(Ok(())) => {
            *listening = Some(address);
            Ok(())
        }
        Ok(Err(reason)) => Err(refused(reason)),
        Err(_) => Err(other("its thread ended".into())),
    }
}

fn of_bind(error: io::Error) -> Refusal {
    let kind = match error.kind() {
        ErrorKind::AddrInUse => MetricsErrorKind::InUse,
        ErrorKind::AddrNotAvailable => MetricsErrorKind::NotThere,
        ErrorKind::PermissionDenied => MetricsErrorKind::Forbidden,
        _ => MetricsErrorKind::Other,
    };
    (kind, error.into())
}

fn serve(listener: TcpListener, report: &Sender<Result<(), Refusal>>) {
    fn other(error: impl Into<Cause>) -> Refusal {
        (MetricsErrorKind::Other, error.into())
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(other(error)));
            return;
        }
    };
    let served = runtime.block_on(async {
        listener.set_nonblocking(true).map_err(other)?;
        let listener = tokio::net::TcpListener::from_std(listener);
        let listener = listener.map_err(other)?;
        let handle = install()?;
        let _ = report.send(Ok(()));
        server::serve(listener, move || handle.render()).await;
        Ok(())
    });
    if let Err(refusal) = served {
        let _ = report.send(Err(refusal));
    }
}

/// The recorder of this process, which receives its metrics from the first call on.
///
/// # Errors
/// [`MetricsErrorKind::Taken`] if the process has a recorder of its own.
pub(crate) fn install() -> Result<PrometheusHandle, Refusal> {
    let mut installed = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let recorder = builder().map_err(|error| (MetricsErrorKind::Other, error.into()))?;
    let recorder = recorder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| {
        let reason = "this process has a recorder of its own, which receives the metrics";
        (MetricsErrorKind::Taken, reason.into())
    })?;
    let kept_up = handle.clone();
    std::thread::Builder::new()
        .name("elpis-metrics-upkeep".to_owned())
        .spawn(move || keep_up(&kept_up))
        .map_err(|error| (MetricsErrorKind::Other, error.into()))?;
    Ok(installed.insert(handle).clone())
}

/// The metrics of this process as Prometheus reads them; `None` unless
/// [`record_metrics`] was called or `metrics.listen` is set.
pub fn render_metrics() -> Option<String> {
    let installed = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = installed.clone();
    drop(installed);
    handle.map(|handle| handle.render())
}

/// Installs the recorder that [`render_metrics`] reads, unless the process has its own.
/// Returns whether it does. Must be called before the runtime starts.
pub fn record_metrics() -> bool {
    install().is_ok()
}

/// Runs the upkeep of histograms periodically, so that samples do not accumulate while nobody
/// scrapes.
fn keep_up(handle: &PrometheusHandle) {
    loop {
        std::thread::sleep(UPKEEP);
        handle.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let builder = PrometheusBuilder::new();
    buckets().try_fold(builder, |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    })
}
