//! How a runtime is put together and started.

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

/// Prepares a runtime whose parts are not the usual ones.
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
    /// Prepares a runtime of the usual parts.
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

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the backend with a function of one's own, which is called again
    /// after every restart of the engine. Where the backend runs is then up to
    /// that function, whatever `runtime.isolation` says.
    #[must_use]
    pub fn backend(mut self, factory: BackendFactory) -> Self {
        self.factory = factory;
        self
    }

    /// Keeps the sessions in a store of one's own instead of the one that the
    /// settings name.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn StateStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Reads feelings from texts with an appraiser of one's own, or with
    /// [`ModelAppraiser`](crate::runtime::ModelAppraiser), instead of the one of the setting `emotion.appraiser`. Which texts are read is
    /// up to the settings `emotion.response_analysis_enabled` and
    /// `emotion.message_analysis_enabled`.
    #[must_use]
    pub fn appraiser(mut self, appraiser: impl Appraiser + 'static) -> Self {
        self.appraiser = Some(Arc::new(appraiser));
        self
    }

    /// Lets tests break actors.
    #[cfg(feature = "fault-injection")]
    #[doc(hidden)]
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// Tells of the progress of a model's download.
    #[must_use]
    pub fn download_progress(mut self, progress: Arc<dyn DownloadProgress>) -> Self {
        self.progress = progress;
        self
    }

    /// Loads the model and starts the runtime. Must be called within a Tokio
    /// runtime with its time driver enabled.
    ///
    /// # Errors
    /// Settings out of range, hardware that is not there, a model or steering
    /// vectors that cannot be loaded.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was begun, such as loading the model, goes on in the background until
    /// it notices that nobody waits for it.
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
        // On the heap, since it holds the starts of all actors.
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
                // Whoever tries again finds the store free.
                let limit = parts.settings.runtime.shutdown_timeout;
                // Nothing has happened yet that could be lost.
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
                told: appraisal::Told::default(),
                supervisor,
                observed,
                last_request: AtomicU64::new(0),
            }),
        })
    }
}

/// Makes the metrics readable, if the settings say where.
fn listen(settings: &Settings) -> Result<(), Error> {
    let Some(address) = settings.metrics.listen else {
        return Ok(());
    };
    #[cfg(feature = "prometheus")]
    return telemetry::listen(address.0);
    #[cfg(not(feature = "prometheus"))]
    Err(Error::Metrics {
        listen: address.0.to_string(),
        fault: crate::error::MetricsFault::NotBuilt,
        source: "this build has no exporter; enable the cargo feature `prometheus`".into(),
    })
}

/// Tells everyone if the supervisor itself fails, which nobody restarts.
async fn outlive(
    supervisor: JoinHandle<()>,
    request_queue: Arc<RequestQueue>,
    bus: EventBus,
    stopped: Arc<watch::Sender<Option<StopReason>>>,
) {
    let _ = supervisor.await;
    if stopped.borrow().is_none() {
        let reason = "the supervisor failed";
        tracing::error!(reason, "the runtime gives up");
        request_queue.close(reason);
        stopped.send_replace(Some(StopReason::new(reason)));
        bus.publish(Event::Stopped {
            reason: reason.to_owned(),
        });
    }
}

/// Opens the store that the settings name.
async fn open_store(settings: &Settings) -> Result<Option<Arc<dyn StateStore>>, Error> {
    let settings = settings.store.clone();
    let opened = tokio::task::spawn_blocking(move || store::open(&settings)).await;
    Ok(opened.map_err(|error| Error::failed("opening the store", error))??)
}
