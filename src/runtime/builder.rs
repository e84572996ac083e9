//! Assembles and starts a runtime.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ractor::Actor;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::appraisal::{self, Appraiser};
use super::loading::resolve;
use super::parts::Parts;
use super::{Elpis, Inner};
use crate::actors::supervisor::Supervisor;
use crate::backend::BackendFactory;
use crate::bus::EventBus;
use crate::clock::{Clock, SystemClock};
use crate::engine::{RequestQueue, retire_overdue};
use crate::error::{Error, StopReason};
use crate::event::Event;
use crate::fault_injection::Probe;
use crate::hub::{DownloadProgress, NoProgress};
use crate::settings::Settings;
use crate::store::{self, StateStore};
use crate::telemetry;

/// Configures a runtime: its clock, backend, store and appraiser can be replaced.
pub struct ElpisBuilder {
    settings: Settings,
    factory: BackendFactory,
    progress: Arc<dyn DownloadProgress>,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn StateStore>>,
    appraiser: Option<Arc<dyn Appraiser>>,
    probe: Probe,
}

impl std::fmt::Debug for ElpisBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElpisBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ElpisBuilder {
    /// Creates a builder with the default parts.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            factory: BackendFactory::default(),
            progress: Arc::new(NoProgress),
            clock: Arc::new(SystemClock::default()),
            store: None,
            appraiser: None,
            probe: Probe::default(),
        }
    }

    /// Uses another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Creates the backend with a custom function, which is called again after every restart of the
    /// engine. The function then also decides where the backend runs, and `runtime.isolation` has
    /// no effect.
    #[must_use]
    pub fn backend(mut self, factory: BackendFactory) -> Self {
        self.factory = factory;
        self
    }

    /// Uses a custom store for the sessions instead of the configured one.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn StateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Appraises texts with a custom appraiser, or with
    /// [`ModelAppraiser`](crate::runtime::ModelAppraiser), instead of the one that
    /// `emotion.appraiser` names. The texts to appraise are still chosen by the settings
    /// `emotion.response_analysis_enabled` and `emotion.message_analysis_enabled`.
    #[must_use]
    pub fn appraiser(mut self, appraiser: impl Appraiser + 'static) -> Self {
        self.appraiser = Some(Arc::new(appraiser));
        self
    }

    /// Injects faults into actors, for tests.
    #[cfg(feature = "fault-injection")]
    #[doc(hidden)]
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// Reports the progress of a model's download.
    #[must_use]
    pub fn download_progress(mut self, progress: Arc<dyn DownloadProgress>) -> Self {
        self.progress = progress;
        self
    }

    /// Loads the model and starts the runtime. Must be called within a Tokio
    /// runtime with its time driver enabled.
    ///
    /// # Errors
    /// [`Error`] if settings are out of range, hardware is missing, or the model or steering
    /// vectors cannot be loaded.
    ///
    /// # Cancel safety
    /// Not cancel safe: work in progress, such as loading the model, continues in the background
    /// until it notices that nobody waits for it.
    pub async fn start(self) -> Result<Elpis, Error> {
        let settings = self.settings;
        settings.validate()?;
        listen(&settings)?;
        telemetry::describe(settings.model.backend.as_str());
        let appraiser = self
            .appraiser
            .unwrap_or_else(|| appraisal::chosen(&settings.emotion));
        let source = resolve(&settings, self.progress).await?;
        let store = match self.store {
            Some(store) => Some(store),
            None => open_store(&settings).await?,
        };
        let parts = Parts::new(settings, store, self.clock, &self.probe)?;
        let arguments = parts.supervisor(source, self.factory, &self.probe);
        // Boxed, because the future holds the starts of all actors.
        let started = Box::pin(Actor::spawn(None, Supervisor, arguments))
            .await
            .map_err(crate::actors::supervisor::startup_error);
        let queue = || Arc::clone(&parts.request_queue);
        let supervisor = match started {
            Ok((supervisor, ended)) => {
                let stopped = Arc::clone(&parts.stopped);
                tokio::spawn(outlive(ended, queue(), parts.bus.clone(), stopped));
                supervisor
            }
            Err(error) => {
                // The store must be free for another attempt.
                let limit = parts.settings.runtime.shutdown_timeout;
                // There are no changes yet that could be lost.
                let _ = parts.sessions.close(limit).await;
                telemetry::runtime_gone();
                return Err(error);
            }
        };
        let (watching, observed) = watch::channel(());
        tokio::spawn(parts.observer()?.watch(parts.stopped.subscribe(), watching));
        let clock = Arc::clone(&parts.clock);
        tokio::spawn(retire_overdue(queue(), clock, parts.stopped.subscribe()));
        Ok(Elpis {
            inner: Arc::new(Inner {
                parts,
                appraiser,
                reported_outcomes: appraisal::ReportedOutcomes::default(),
                supervisor,
                observed,
                last_request: AtomicU64::new(0),
            }),
        })
    }
}

/// Starts the metrics exporter, if one is configured.
fn listen(settings: &Settings) -> Result<(), Error> {
    let Some(address) = settings.metrics.listen else {
        return Ok(());
    };
    #[cfg(feature = "prometheus")]
    return telemetry::listen(address.0);
    #[cfg(not(feature = "prometheus"))]
    Err(Error::Metrics {
        listen: address.0.to_string(),
        kind: crate::error::MetricsErrorKind::NotBuilt,
        source: "this build has no exporter; enable the cargo feature `prometheus`".into(),
    })
}

/// Stops the runtime if the supervisor itself fails, which nothing restarts.
async fn outlive(
    supervisor: JoinHandle<()>,
    request_queue: Arc<RequestQueue>,
    bus: EventBus,
    stopped: Arc<watch::Sender<Option<StopReason>>>,
) {
    let _ = supervisor.await;
    if stopped.borrow().is_none() {
        let reason = "the supervisor failed";
        tracing::error!(reason, "stopping the runtime");
        request_queue.close(reason);
        stopped.send_replace(Some(StopReason::new(reason)));
        bus.publish(Event::Stopped {
            reason: reason.to_owned(),
        });
    }
}

/// Opens the configured store.
async fn open_store(settings: &Settings) -> Result<Option<Arc<dyn StateStore>>, Error> {
    let settings = settings.store.clone();
    let opened = tokio::task::spawn_blocking(move || store::open(&settings)).await;
    Ok(opened.map_err(|error| Error::failed("opening the store", error))??)
}
