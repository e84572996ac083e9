//! The user's handles: a running [`Elpis`] and its [`Session`]s.

mod appraisal;
mod builder;
mod chat;
mod conversation;
mod form;
mod interface;
mod loading;
mod parts;
mod prompt;
mod request;
#[cfg(feature = "tower")]
mod service;
mod session;
#[cfg(feature = "tools")]
mod typed;

pub use appraisal::{AppraisalError, AppraisedText, Appraiser, ModelAppraiser};
pub use builder::ElpisBuilder;
pub use chat::{Chat, IntoMessages};
pub use conversation::ContextUse;
pub use interface::{
    BoxFuture, Capabilities, ChatRequest, InferenceEngine, ModulationKind, Reservation,
};
pub use loading::{create_backend, load_backend};
#[cfg(feature = "tower")]
pub use service::EngineService;
pub use session::{IntoEvent, Session};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parts::Parts;
use ractor::ActorRef;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::actors::hardware::HardwareReport;
use crate::actors::supervisor::SupervisorMessage;
use crate::backend::{ModelFacts, Tokenizer};
use crate::bus::Events;
use crate::engine::LoadedModel;
use crate::error::{Error, StopReason};
use crate::inference::{RequestId, SessionId};
use crate::settings::Settings;
use crate::steering::SteeringLibrary;
use crate::store::StoreError;

/// Minimum time at a shutdown for everything after the running generations.
const MIN_GRACE: Duration = Duration::from_secs(1);
const MAX_GRACE: Duration = Duration::from_secs(5);

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
    parts: Parts,
    appraiser: Arc<dyn Appraiser>,
    /// Sessions whose programs report the outcomes of their tasks.
    reported_outcomes: appraisal::ReportedOutcomes,
    supervisor: ActorRef<SupervisorMessage>,
    /// Open while the observer task runs.
    observed: watch::Receiver<()>,
    last_request: AtomicU64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.parts
            .request_queue
            .close("the last handle was dropped");
        self.parts.sessions.begin_closing();
        self.supervisor.stop(None);
    }
}

/// The outcome of a shutdown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Whether every acknowledged change is in the store; [`StoreError::Lost`] if not. Always `Ok`
    /// without a store.
    pub store: Result<(), StoreError>,
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

    /// Returns a builder for a runtime.
    pub fn builder(settings: Settings) -> ElpisBuilder {
        ElpisBuilder::new(settings)
    }

    /// Opens a new or existing session.
    ///
    /// # Errors
    /// [`crate::inference::RequestError::SessionId`] for a name that is empty, too long or contains
    /// control characters.
    pub fn session(&self, id: impl AsRef<str>) -> Result<Session, Error> {
        Ok(Session::new(self.clone(), SessionId::new(id)?))
    }

    /// Subscribes to the events of the runtime from now on.
    pub fn events(&self) -> Events {
        self.inner.parts.bus.subscribe()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    /// The hardware report.
    pub fn hardware(&self) -> Option<Arc<HardwareReport>> {
        self.inner.parts.hardware.borrow().clone()
    }

    /// Queries the drivers again and returns the report, which the next start of the engine uses.
    ///
    /// # Errors
    /// [`Error::Hardware`] if the configured device is no longer available, or [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// The drivers are queried even if the future is dropped.
    pub async fn refresh_hardware(&self) -> Result<Arc<HardwareReport>, Error> {
        self.inner.parts.hardware_actor.ask().await?
    }

    /// Facts about the loaded model; `None` while it is being reloaded.
    pub fn model(&self) -> Option<Arc<ModelFacts>> {
        let model = self.inner.parts.model.borrow();
        model.as_ref().map(|model| Arc::clone(&model.facts))
    }

    /// The steering library in force.
    pub fn steering_library(&self) -> Arc<SteeringLibrary> {
        Arc::clone(&self.inner.parts.library.borrow())
    }

    /// Reloads the steering vectors and waits until they are in force.
    ///
    /// # Errors
    /// [`Error::Steering`] if the set is refused. The previous library then stays in force.
    ///
    /// # Cancel safety
    /// The vectors are read even if the future is dropped.
    pub async fn reload_vectors(&self) -> Result<Arc<SteeringLibrary>, Error> {
        Ok(self.inner.parts.steering_actor.ask().await??)
    }

    /// Lists the sessions that hold a state, in no particular order.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, Error> {
        self.inner.parts.sessions.list().await
    }

    /// Waits until every change acknowledged so far is in the store. Returns immediately without a
    /// store.
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails; the write is retried.
    ///
    /// # Cancel safety
    /// Cancel safe: a write in progress is completed.
    pub async fn flush(&self) -> Result<(), Error> {
        Ok(self.inner.parts.sessions.flush().await?)
    }

    /// Refuses new generations, waits for the running ones (at most
    /// `runtime.shutdown_timeout_seconds`), then stops everything and writes the remaining changes
    /// to the store. The second part gets the same time again, clamped to 1 to 5 seconds, of which
    /// the store gets at least 1 second. Further calls wait for the same shutdown.
    ///
    /// # Cancel safety
    /// Not cancel safe: a shutdown that is dropped halfway has refused new generations but may
    /// leave the rest running. Another call continues it.
    pub async fn shutdown(&self) {
        let _ = self.shutdown_and_report().await;
    }

    /// As [`shutdown`](Self::shutdown), and returns whether the store has every acknowledged
    /// change.
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_and_report(&self) -> ShutdownReport {
        let parts = &self.inner.parts;
        let limit = parts.settings.runtime.shutdown_timeout;
        parts.request_queue.refuse("it was shut down");
        if tokio::time::timeout(limit, parts.request_queue.drained())
            .await
            .is_err()
        {
            tracing::warn!("generations were still running when the shutdown's time ran out");
        }
        let deadline = Instant::now() + limit.clamp(MIN_GRACE, MAX_GRACE);
        let (sender, receiver) = ractor::concurrency::oneshot();
        let message = SupervisorMessage::Shutdown(deadline, sender.into());
        if self.inner.supervisor.send_message(message).is_ok() {
            // An error means that another call was faster.
            let _ = receiver.await;
        }
        let mut stopped = self.inner.parts.stopped.subscribe();
        let _ = stopped.wait_for(Option::is_some).await;
        let left = deadline.saturating_duration_since(Instant::now());
        // A hanging actor must not keep a working store from getting the last changes.
        let store = parts.sessions.close(left.max(MIN_GRACE)).await;
        // Nothing is ever sent: an error means that the observer has ended.
        let mut observed = self.inner.observed.clone();
        let _ = observed.changed().await;
        ShutdownReport { store }
    }

    /// Waits until the runtime has stopped, by a [shutdown](Self::shutdown) or because it gave up, and
    /// returns why.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn stopped(&self) -> Error {
        let mut stopped = self.inner.parts.stopped.subscribe();
        let reason = stopped.wait_for(Option::is_some).await;
        gone(reason.ok().and_then(|reason| reason.clone()))
    }

    /// Waits until a model is loaded.
    async fn loaded(&self) -> Result<Arc<LoadedModel>, Error> {
        let model = self.model_that(Option::is_some).await?;
        model.ok_or_else(|| gone(None))
    }

    /// Waits until a failed model is no longer in use.
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
        let mut model = self.inner.parts.model.subscribe();
        let mut stopped = self.inner.parts.stopped.subscribe();
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

/// The error of a runtime that has stopped.
fn gone(reason: Option<StopReason>) -> Error {
    let reason = reason.unwrap_or_else(|| StopReason::new("the runtime is gone"));
    reason.into()
}
