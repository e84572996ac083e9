//! Owns the steering library.
//!
//! Vectors come from a folder (or from the bundled model) and are validated against the loaded
//! model. Only a complete, valid set replaces the library in force. An invalid set is reported on
//! the bus, and the last good one stays in force. The folder is watched: changes in quick
//! succession are debounced, and a set that changes while it is read is read again.

mod debouncer;
mod folder;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use debouncer::Debouncer;
use folder::Snapshot;
#[doc(hidden)]
pub use folder::{is_library_file, read as read_folder, read_file};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch as channel;
use watch::FolderWatch;

use super::Ticking;
use super::mailbox::Inbox;
use crate::backend::{BundledModel, ModelFacts};
use crate::bus::EventBus;
use crate::engine::LoadedModel;
use crate::error::SteeringError;
use crate::event::Event;
use crate::fault_injection::Probe;
use crate::settings::ModelSettings;
use crate::steering::{LibraryContext, SteeringLibrary};
use crate::telemetry;

/// Maximum number of times that a set is read again because it changed meanwhile. The last reading
/// is used; the next change causes another reload anyway.
const MAX_READINGS: usize = 5;

/// Longest pause before it is read again.
const PAUSE: Duration = Duration::from_millis(50);

/// Messages of the steering actor.
#[derive(Debug)]
pub enum SteeringMessage {
    /// Something changed in or around the folder.
    Changed,
    /// The debounce time has passed.
    Settled,
    /// Another model has been loaded.
    ModelLoaded,
    /// Reloads the vectors for the waiting callers.
    Reload,
}

impl SteeringMessage {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Settled => "settled",
            Self::ModelLoaded => "model_loaded",
            Self::Reload => "reload",
        }
    }
}

/// Arguments of the steering actor.
#[derive(Debug, Clone)]
pub struct SteeringArguments {
    /// The vectors' location and the settings they are checked against.
    pub model: ModelSettings,
    /// Time without a change after which the vectors are reloaded.
    pub debounce: Duration,
    /// Whether the bundled model is in use, which has bundled vectors.
    pub bundled: bool,
    /// The loaded model, while there is one.
    pub loaded: channel::Receiver<Option<Arc<LoadedModel>>>,
    /// The library in force.
    pub library: Arc<channel::Sender<Arc<SteeringLibrary>>>,
    /// Requests to reload the vectors and return the new library.
    pub requests: Inbox<Result<Arc<SteeringLibrary>, SteeringError>>,
    /// Where reloads and refusals are published.
    pub bus: EventBus,
    #[doc(hidden)]
    pub probe: Probe,
}

/// Loads and reloads steering vectors.
#[derive(Debug)]
pub struct SteeringActor;

/// State of a working steering actor.
#[derive(Debug)]
pub struct SteeringState {
    arguments: SteeringArguments,
    watch: Option<FolderWatch>,
    model: channel::Receiver<Option<Arc<LoadedModel>>>,
    /// Pending changes that have not been loaded yet.
    debouncer: Option<Debouncer>,
    /// The last refusal, if no set was accepted since.
    refused: Option<SteeringError>,
    _followers: [Ticking; 2],
}

impl Actor for SteeringActor {
    type Msg = SteeringMessage;
    type State = SteeringState;
    type Arguments = SteeringArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: SteeringArguments,
    ) -> Result<SteeringState, ActorProcessingErr> {
        let watch = match &arguments.model.emotion_vectors_dir {
            None => None,
            Some(folder) => {
                let myself = myself.clone();
                Some(FolderWatch::start(folder, move || {
                    let _ = myself.send_message(SteeringMessage::Changed);
                })?)
            }
        };
        let mut model = arguments.loaded.clone();
        model.wait_for(Option::is_some).await?;
        let mut state = SteeringState {
            _followers: [
                follow_model(model.clone(), myself.clone()),
                arguments.requests.wake(myself, || SteeringMessage::Reload),
            ],
            arguments,
            watch,
            model,
            debouncer: None,
            refused: None,
        };
        let first = state.arguments.library.borrow().is_empty();
        match state.reload(Cause::Change).await {
            // The first set must be valid; later, the last good one stays in force.
            Err(error) if first && !matches!(error, SteeringError::FolderMissing { .. }) => {
                Err(error.into())
            }
            _ => Ok(state),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SteeringMessage,
        state: &mut SteeringState,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.probe.at("steering", message.kind());
        match message {
            SteeringMessage::Changed => {
                if let Some(watch) = &state.watch {
                    watch.acknowledge();
                }
                let now = Instant::now();
                if let Some(debouncer) = &mut state.debouncer {
                    debouncer.goes_on(now);
                } else {
                    state.debouncer = Some(Debouncer::begin(now));
                    let debounce = state.arguments.debounce;
                    myself.send_after(debounce, || SteeringMessage::Settled);
                }
            }
            SteeringMessage::Settled => {
                let debounce = state.arguments.debounce;
                let debouncer = state.debouncer.as_ref();
                match debouncer.map(|debouncer| debouncer.remains(Instant::now(), debounce)) {
                    None => {}
                    Some(remains) if remains.is_zero() => {
                        state.debouncer = None;
                        if let Some(watch) = &mut state.watch {
                            watch.rearm();
                        }
                        // The result is published on the bus; nobody waits for it here.
                        let _ = state.reload(Cause::Change).await;
                    }
                    Some(remains) => {
                        myself.send_after(remains, || SteeringMessage::Settled);
                    }
                }
            }
            SteeringMessage::ModelLoaded => {
                let _ = state.reload(Cause::Change).await;
            }
            SteeringMessage::Reload => {
                let requests = state.arguments.requests.clone();
                for _ in 0..requests.count() {
                    if requests.has_request() {
                        requests.answer(state.reload(Cause::Call).await);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Notifies the actor when the engine has loaded a model again.
fn follow_model(
    mut model: channel::Receiver<Option<Arc<LoadedModel>>>,
    actor: ActorRef<SteeringMessage>,
) -> Ticking {
    Ticking(tokio::spawn(async move {
        while model.changed().await.is_ok() {
            let loaded = model.borrow_and_update().is_some();
            if loaded && actor.send_message(SteeringMessage::ModelLoaded).is_err() {
                return;
            }
        }
    }))
}

/// Why the vectors are reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The vectors or the model have changed.
    Change,
    /// A caller requested it.
    Call,
}

impl SteeringState {
    /// Reads, validates and swaps the library, and publishes the result. A change that leads to the
    /// same refusal again is not published.
    async fn reload(&mut self, cause: Cause) -> Result<Arc<SteeringLibrary>, SteeringError> {
        let start = Instant::now();
        let current = Arc::clone(&self.arguments.library.borrow());
        let built = self.build().await;
        // Without a model nothing was validated.
        let looked = self.model.borrow().is_some();
        let refused_before = if looked {
            self.refused.take()
        } else {
            self.refused.clone()
        };
        match built {
            Ok(library) if library.version() == current.version() => Ok(current),
            Ok(library) => {
                let library = Arc::new(library);
                self.arguments.library.send_replace(Arc::clone(&library));
                telemetry::steering_reloaded(start.elapsed(), &library);
                tracing::info!(version = %library.version(), "steering library in force");
                self.arguments.bus.publish(Event::SteeringReloaded {
                    version: library.version().to_string(),
                    emotions: library.emotions().map(|e| e.name.clone()).collect(),
                });
                Ok(library)
            }
            Err(error) => {
                if cause == Cause::Call || refused_before.as_ref() != Some(&error) {
                    telemetry::steering_refused(&error);
                    tracing::warn!(%error, "steering vectors refused");
                    self.arguments.bus.publish(Event::SteeringRefused {
                        kind: error.kind(),
                        file: error.file().map(str::to_owned),
                        reason: error.to_string(),
                    });
                }
                self.refused = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Builds a library from a consistent snapshot of the folder, so that old and new files are not
    /// mixed.
    async fn build(&self) -> Result<SteeringLibrary, SteeringError> {
        let mut readings = 0;
        loop {
            if let Some(watch) = &self.watch {
                watch.acknowledge();
            }
            let (built, inconsistent) = self.build_once().await;
            let pending = self.watch.as_ref().is_some_and(FolderWatch::is_pending);
            readings += 1;
            if !(inconsistent || pending) || readings == MAX_READINGS {
                return built;
            }
            tracing::debug!(readings, "the vectors changed while they were read");
            let debounce = self.arguments.debounce;
            tokio::time::sleep(debounce.min(PAUSE)).await;
        }
    }

    /// Builds a library and returns whether its files changed meanwhile.
    async fn build_once(&self) -> (Result<SteeringLibrary, SteeringError>, bool) {
        let Some(model) = self.model.borrow().clone() else {
            // The model is being reloaded; the library in force stays.
            let library = SteeringLibrary::clone(&self.arguments.library.borrow());
            return (Ok(library), false);
        };
        let context = library_context(&self.arguments.model, &model.facts);
        let folder = self.arguments.model.emotion_vectors_dir.clone();
        let bundled = self.arguments.bundled;
        let work = move || {
            let snapshot = match folder {
                Some(folder) => folder::read_snapshot(&folder),
                None if bundled => Snapshot::consistent(BundledModel::library_files()),
                None => Snapshot::consistent(Vec::new()),
            };
            let built = snapshot
                .files
                .and_then(|files| Ok(SteeringLibrary::build(files, &context)?));
            (built, snapshot.inconsistent)
        };
        // Files may be large; the actor's task must not block on them.
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                let error = SteeringError::Unreadable {
                    file: "the vectors folder".to_owned(),
                    reason: error.to_string(),
                };
                (Err(error), false)
            })
    }
}

/// The context that vectors are checked against, for a model under these settings.
#[doc(hidden)]
pub fn library_context(settings: &ModelSettings, facts: &ModelFacts) -> LibraryContext {
    let usual = ModelSettings::DEFAULT_STEERING_LAYER as usize;
    let usual = if usual + 1 < facts.n_layers {
        usual
    } else {
        facts.n_layers / 2
    };
    let asked = settings.steering_layer;
    let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
    context.default_layer = Some(asked.map_or(usual, |layer| layer as usize));
    context.unsteerable.clone_from(&facts.unsteerable);
    if !facts.residual_norms.is_empty() {
        context.residual_norms = Some(facts.residual_norms.clone());
    }
    context
}
