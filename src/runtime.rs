//! What a user holds: a running [`Elpis`] and its [`Session`]s.

mod appraisal;
mod chat;
mod conversation;
mod form;
mod interface;
mod prompt;
mod session;

pub use appraisal::{AppraisalError, AppraisedText, Appraiser, ModelAppraiser};
pub use chat::{Chat, IntoMessages};
pub use conversation::ContextUse;
pub use interface::{BoxFuture, Capabilities, ChatRequest, InferenceEngine, ModulationKind};
pub use session::{IntoEvent, Session};

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorRef};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::actors::emotion::{EmotionHandle, Sessions};
use crate::actors::engine::{LoadedModel, RequestQueue};
use crate::actors::hardware::{HardwareHandle, HardwareReport};
use crate::actors::observer::Observer;
use crate::actors::probe::Probe;
use crate::actors::steering::SteeringHandle;
use crate::actors::supervisor::{ActorRefs, Supervisor, SupervisorMessage};
use crate::actors::{Handle, StopReason, Wiring};
use crate::backend::{self, Backend, BackendError, BackendFactory, ModelFacts, Tokenizer};
use crate::bus::{EventBus, Events};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::event::Event;
use crate::hub::{self, DownloadProgress, ModelFormat, NoProgress};
use crate::inference::{RequestId, SessionId};
use crate::settings::{BackendKind, ModelSource, Settings};
use crate::steering::SteeringLibrary;
use crate::store::{self, StateStore, StoreError};
use crate::telemetry;

/// What everything after the running generations gets at a shutdown.
const MIN_GRACE: Duration = Duration::from_secs(1);
const MAX_GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether the time of what waits has run out.
const RETIRE_POLL: Duration = Duration::from_millis(250);

/// A running runtime: one loaded model, many sessions.
///
/// Clones share the runtime. It stops when it is [shut
/// down](Self::shutdown), or when the last clone and the last [`Session`] are
/// dropped.
#[derive(Debug, Clone)]
pub struct Elpis {
    inner: Arc<Inner>,
}

struct Inner {
    wiring: Wiring,
    appraiser: Arc<dyn Appraiser>,
    /// Sessions whose programs tell what came of their tasks.
    told: appraisal::Told,
    actor_refs: ActorRefs,
    supervisor: ActorRef<SupervisorMessage>,
    emotion: EmotionHandle,
    steering: SteeringHandle,
    /// Open for as long as the runtime is observed.
    observed: watch::Receiver<()>,
    hardware: HardwareHandle,
    last_request: AtomicU64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("wiring", &self.wiring)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wiring
            .request_queue
            .close("the last handle was dropped");
        self.wiring.sessions.begin_closing();
        self.supervisor.stop(None);
    }
}

/// How a runtime ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether everything that was acknowledged is in the store;
    /// [`StoreError::Lost`] if not. Without a store there is nothing to lose.
    pub store: Result<(), StoreError>,
}

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
    /// [`ModelAppraiser`], instead of the one of the setting `emotion.appraiser`. Which texts are read is
    /// up to the settings `emotion.response_analysis_enabled` and
    /// `emotion.message_analysis_enabled`.
    #[must_use]
    pub fn appraiser(mut self, appraiser: impl Appraiser + 'static) -> Self {
        self.appraiser = Some(Arc::new(appraiser));
        self
    }

    /// Lets tests break actors.
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
        let runtime = &settings.runtime;
        let bus = EventBus::new(runtime.bus_capacity);
        let sessions = Sessions::new(runtime.max_sessions, store, &settings.store, bus.clone())?;
        let wiring = Wiring {
            source,
            factory: self.factory,
            clock: self.clock,
            bus,
            hardware: Arc::new(watch::Sender::new(None)),
            model: Arc::new(watch::Sender::new(None)),
            library: Arc::new(watch::Sender::new(Arc::new(SteeringLibrary::empty()))),
            sessions: Arc::new(sessions),
            request_queue: Arc::new(RequestQueue::new(runtime.n_parallel + runtime.queue_limit)),
            probe: self.probe,
            settings: Arc::new(settings),
        };
        let actor_refs = ActorRefs::default();
        let started = Actor::spawn(None, Supervisor, (wiring.clone(), actor_refs.clone()))
            .await
            .map_err(crate::actors::supervisor::startup_error);
        let supervisor = match started {
            Ok((supervisor, ended)) => {
                tokio::spawn(outlive(ended, wiring.clone(), actor_refs.clone()));
                supervisor
            }
            Err(error) => {
                // Whoever tries again finds the store free.
                let limit = wiring.settings.runtime.shutdown_timeout();
                // Nothing has happened yet that could be lost.
                let _ = wiring.sessions.close(limit).await;
                telemetry::runtime_gone();
                return Err(error);
            }
        };
        let emotion = EmotionHandle::new(
            Handle::new(actor_refs.emotion.subscribe()),
            wiring.sessions.patience(),
        );
        let hardware = HardwareHandle::new(Handle::new(actor_refs.hardware.subscribe()));
        let steering = SteeringHandle::new(Handle::new(actor_refs.steering.subscribe()));
        let observer = Observer {
            listed: wiring.settings.metrics.listed_sessions()?,
            wiring: wiring.clone(),
            emotion: emotion.clone(),
            steering: steering.clone(),
            shown: Mutex::default(),
        };
        let (watching, observed) = watch::channel(());
        tokio::spawn(observer.watch(actor_refs.stopped.subscribe(), watching));
        tokio::spawn(retire(wiring.clone(), actor_refs.stopped.subscribe()));
        Ok(Elpis {
            inner: Arc::new(Inner {
                emotion,
                steering,
                hardware,
                wiring,
                appraiser,
                told: appraisal::Told::default(),
                actor_refs,
                supervisor,
                observed,
                last_request: AtomicU64::new(0),
            }),
        })
    }
}

impl Elpis {
    /// Loads the model and starts the runtime.
    ///
    /// # Errors
    /// As [`ElpisBuilder::start`].
    ///
    /// # Cancel safety
    /// As [`ElpisBuilder::start`].
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        Self::builder(settings).start().await
    }

    /// Prepares a runtime.
    pub fn builder(settings: Settings) -> ElpisBuilder {
        ElpisBuilder {
            settings,
            factory: BackendFactory::default(),
            progress: Arc::new(NoProgress),
            clock: Arc::new(SystemClock::default()),
            store: None,
            appraiser: None,
            probe: Probe::default(),
        }
    }

    /// Opens a session, new or known.
    ///
    /// # Errors
    /// [`crate::inference::RequestError::SessionId`] for a name that is empty,
    /// too long or holds control characters.
    pub fn session(&self, id: impl AsRef<str>) -> Result<Session, Error> {
        Ok(Session::new(self.clone(), SessionId::new(id)?))
    }

    /// Subscribes to the events of the runtime from now on.
    pub fn events(&self) -> Events {
        self.inner.wiring.bus.subscribe()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.inner.wiring.settings
    }

    /// The hardware report.
    pub fn hardware(&self) -> Option<Arc<HardwareReport>> {
        self.inner.wiring.hardware.borrow().clone()
    }

    /// Asks the drivers anew and returns the report, which the next start of
    /// the engine uses.
    ///
    /// # Errors
    /// [`Error::Hardware`] if what the settings ask for is there no longer, or
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// The drivers are asked even if the future is dropped.
    pub async fn refresh_hardware(&self) -> Result<Arc<HardwareReport>, Error> {
        self.inner.hardware.refresh().await
    }

    /// What is known of the loaded model; `None` while it is being reloaded.
    pub fn model(&self) -> Option<Arc<ModelFacts>> {
        let model = self.inner.wiring.model.borrow();
        model.as_ref().map(|model| Arc::clone(&model.facts))
    }

    /// The steering library in force.
    pub fn steering_library(&self) -> Arc<SteeringLibrary> {
        Arc::clone(&self.inner.wiring.library.borrow())
    }

    /// Reads the steering vectors anew and waits until they are in force.
    ///
    /// # Errors
    /// [`Error::Steering`] if the set is refused; the previous library then
    /// stays in force.
    ///
    /// # Cancel safety
    /// The vectors are read even if the future is dropped.
    pub async fn reload_vectors(&self) -> Result<Arc<SteeringLibrary>, Error> {
        self.inner.steering.reload().await
    }

    /// Lists the sessions that hold a state, in no particular order.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, Error> {
        self.inner.emotion.list().await
    }

    /// Waits until everything that was acknowledged so far is in the store; at
    /// once without one.
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails; it is tried again.
    ///
    /// # Cancel safety
    /// Cancel safe: what is being written is written.
    pub async fn flush(&self) -> Result<(), Error> {
        Ok(self.inner.wiring.sessions.flush().await?)
    }

    /// Refuses new generations, waits for the running ones (at most
    /// `runtime.shutdown_timeout_seconds`), stops everything and writes what
    /// the store has not got yet, which together gets the same time once more,
    /// 1 to 5 seconds, and the store alone 1 second at least. Further calls
    /// wait for the same end.
    ///
    /// # Cancel safety
    /// Not cancel safe: a shutdown that is dropped halfway has refused new generations, but may
    /// leave the rest running. Another call goes on with it.
    pub async fn shutdown(&self) {
        let _ = self.shutdown_and_report().await;
    }

    /// As [`shutdown`](Self::shutdown), and tells whether the store has everything.
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_and_report(&self) -> ShutdownReport {
        let wiring = &self.inner.wiring;
        let limit = wiring.settings.runtime.shutdown_timeout();
        wiring.request_queue.refuse("it was shut down");
        if tokio::time::timeout(limit, wiring.request_queue.drained())
            .await
            .is_err()
        {
            tracing::warn!("generations were still running when the shutdown's time ran out");
        }
        let deadline = Instant::now() + limit.clamp(MIN_GRACE, MAX_GRACE);
        let (sender, receiver) = ractor::concurrency::oneshot();
        let message = SupervisorMessage::Shutdown(deadline, sender.into());
        if self.inner.supervisor.send_message(message).is_ok() {
            // An error says that another call was faster.
            let _ = receiver.await;
        }
        let mut stopped = self.inner.actor_refs.stopped.subscribe();
        let _ = stopped.wait_for(Option::is_some).await;
        let left = deadline.saturating_duration_since(Instant::now());
        // An actor that hangs must not cost a sound store its last changes.
        let store = wiring.sessions.close(left.max(MIN_GRACE)).await;
        // Nothing is ever sent: an error says that the observer has left.
        let mut observed = self.inner.observed.clone();
        let _ = observed.changed().await;
        ShutdownReport { store }
    }

    /// Waits until a model is loaded.
    async fn loaded(&self) -> Result<Arc<LoadedModel>, Error> {
        let model = self.model_that(Option::is_some).await?;
        model.ok_or_else(|| gone(None))
    }

    /// Waits until a model that failed is no longer the one in use.
    async fn replaced(&self, failed: &Arc<LoadedModel>) -> Result<(), Error> {
        let other = |model: &Option<Arc<LoadedModel>>| {
            model
                .as_ref()
                .is_none_or(|model| !Arc::ptr_eq(model, failed))
        };
        self.model_that(other).await.map(drop)
    }

    async fn model_that(
        &self,
        fits: impl FnMut(&Option<Arc<LoadedModel>>) -> bool,
    ) -> Result<Option<Arc<LoadedModel>>, Error> {
        let mut model = self.inner.wiring.model.subscribe();
        let mut stopped = self.inner.actor_refs.stopped.subscribe();
        tokio::select! {
            biased;
            reason = stopped.wait_for(Option::is_some) => {
                Err(gone(reason.ok().and_then(|reason| reason.clone())))
            }
            model = model.wait_for(fits) => Ok(model.ok().and_then(|model| model.clone())),
        }
    }

    /// The loaded model's tokenizer, once a model is loaded; `None` if the
    /// runtime has stopped.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn tokenizer(&self) -> Option<Arc<dyn Tokenizer>> {
        let model = self.loaded().await.ok()?;
        Some(Arc::clone(&model.tokenizer))
    }

    fn next_request(&self) -> RequestId {
        RequestId(self.inner.last_request.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Loads the model of the settings without a runtime around it.
///
/// # Errors
/// As [`ElpisBuilder::start`].
///
/// # Cancel safety
/// Not cancel safe: a model that is being loaded is loaded to the end before it is dropped.
pub async fn create_backend(settings: &Settings) -> Result<Box<dyn Backend>, Error> {
    load_backend(settings, Arc::new(NoProgress)).await
}

/// As [`create_backend`], and tells of the progress of a download.
#[doc(hidden)]
pub async fn load_backend(
    settings: &Settings,
    progress: Arc<dyn DownloadProgress>,
) -> Result<Box<dyn Backend>, Error> {
    settings.validate()?;
    let hardware = HardwareReport::take(&settings.model)?;
    let source = resolve(settings, progress).await?;
    let options = backend::load_options(settings, source, hardware.selected_devices());
    let loaded = tokio::task::spawn_blocking(move || backend::create_backend(&options)).await;
    loaded
        .unwrap_or_else(|error| {
            Err(BackendError::Native {
                call: "model loading",
                reason: error.to_string(),
            })
        })
        .map_err(Error::from)
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
        reason: "this build has no exporter; enable the cargo feature `prometheus`".to_owned(),
    })
}

/// The error of a runtime that has stopped.
fn gone(reason: Option<StopReason>) -> Error {
    let reason = reason.unwrap_or_else(|| StopReason::new("the runtime is gone"));
    reason.into()
}

/// Tells everyone if the supervisor itself fails, which nobody restarts.
async fn outlive(supervisor: JoinHandle<()>, wiring: Wiring, actor_refs: ActorRefs) {
    let _ = supervisor.await;
    if actor_refs.stopped.borrow().is_none() {
        let reason = "the supervisor failed";
        tracing::error!(reason, "the runtime gives up");
        wiring.request_queue.close(reason);
        actor_refs.stop(&StopReason::new(reason));
        wiring.bus.publish(Event::Stopped {
            reason: reason.to_owned(),
        });
    }
}

/// Ends what waits too long for an engine, which may be none.
async fn retire(wiring: Wiring, mut stopped: watch::Receiver<Option<StopReason>>) {
    let mut ticks = interval(RETIRE_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.wait_for(Option::is_some) => return,
            _ = ticks.tick() => {
                let look = AssertUnwindSafe(|| wiring.request_queue.retire(wiring.clock.as_ref()));
                // One look that fails is not the end of looking.
                if std::panic::catch_unwind(look).is_err() {
                    tracing::error!("queue observer failed; queued requests are not checked for timeouts");
                }
            }
        }
    }
}

/// Opens the store that the settings name.
async fn open_store(settings: &Settings) -> Result<Option<Arc<dyn StateStore>>, Error> {
    let settings = settings.store.clone();
    let opened = tokio::task::spawn_blocking(move || store::open(&settings)).await;
    Ok(opened.map_err(|error| Error::failed("opening the store", error))??)
}

/// Finds the model, fetching it from the hub if it is named there.
async fn resolve(
    settings: &Settings,
    progress: Arc<dyn DownloadProgress>,
) -> Result<ModelSource, Error> {
    let source = settings.model_source()?;
    if !matches!(source, ModelSource::Hub { .. }) {
        return Ok(source);
    }
    let format = match settings.model.backend {
        BackendKind::Transformers => ModelFormat::Transformers,
        BackendKind::LlamaCpp => ModelFormat::Gguf,
    };
    let located = tokio::task::spawn_blocking(move || hub::locate(&source, format, progress))
        .await
        .map_err(|error| Error::failed("the download", error))??;
    Ok(match located {
        Some(path) if path.is_dir() => ModelSource::Folder(path),
        Some(path) => ModelSource::File(path),
        None => ModelSource::Bundled,
    })
}
