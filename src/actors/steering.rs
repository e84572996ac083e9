//! Owns the steering library.
//!
//! Vectors come from a folder (or from the bundled model) and are validated
//! against the loaded model; only a whole, valid set replaces the library in
//! force. A bad set leaves the last good one serving and is reported on the
//! bus. The folder is watched: a burst of changes counts as one.

mod folder;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use folder::FolderWatch;
#[cfg(feature = "cli")]
pub(crate) use folder::{is_library_file, read as read_folder};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::watch;

use super::engine::LoadedModel;
use super::{CallError, Handle, Wiring};
use crate::backend::{BundledModel, ModelFacts};
use crate::error::{Error, SteeringError};
use crate::event::Event;
use crate::settings::{ModelSettings, ModelSource};
use crate::steering::{LibraryContext, SteeringLibrary};
use crate::telemetry;

/// What the steering actor understands.
#[derive(Debug)]
pub enum SteeringMessage {
    /// Something changed in or around the folder.
    Changed,
    /// No change has come for the debounce time since this change.
    Settled(u64),
    /// Another model has been loaded.
    ModelLoaded,
    /// Reads the vectors anew and answers with the library in force.
    Reload(RpcReplyPort<Result<Arc<SteeringLibrary>, SteeringError>>),
}

/// Loads and reloads steering vectors.
#[derive(Debug)]
pub struct SteeringActor;

/// State of a working steering actor.
#[derive(Debug)]
pub struct SteeringState {
    wiring: Wiring,
    folder: Option<PathBuf>,
    watch: Option<FolderWatch>,
    model: watch::Receiver<Option<Arc<LoadedModel>>>,
    changes: u64,
    follower: tokio::task::JoinHandle<()>,
}

impl Drop for SteeringState {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Actor for SteeringActor {
    type Msg = SteeringMessage;
    type State = SteeringState;
    type Arguments = Wiring;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        wiring: Wiring,
    ) -> Result<SteeringState, ActorProcessingErr> {
        let folder = wiring.settings.model.emotion_vectors_dir.clone();
        let watch = match &folder {
            None => None,
            Some(folder) => {
                let myself = myself.clone();
                Some(FolderWatch::start(folder, move || {
                    let _ = myself.send_message(SteeringMessage::Changed);
                })?)
            }
        };
        let mut model = wiring.model.subscribe();
        model.wait_for(Option::is_some).await?;
        let mut state = SteeringState {
            follower: follow_model(model.clone(), myself),
            wiring,
            folder,
            watch,
            model,
            changes: 0,
        };
        let first = state.wiring.library.borrow().is_empty();
        match state.reload().await {
            // The first set must be sound; later, the last good one serves on.
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
        state.wiring.probe.at(&message);
        match message {
            SteeringMessage::Changed => {
                if let Some(watch) = &state.watch {
                    watch.heard();
                }
                state.changes += 1;
                let change = state.changes;
                let debounce = state.wiring.settings.runtime.vectors_debounce();
                myself.send_after(debounce, move || SteeringMessage::Settled(change));
            }
            SteeringMessage::Settled(change) if change == state.changes => {
                if let Some(watch) = &mut state.watch {
                    watch.rearm();
                }
                // Reported on the bus; nobody waits for the answer.
                let _ = state.reload().await;
            }
            SteeringMessage::Settled(_) => {}
            SteeringMessage::ModelLoaded => {
                let _ = state.reload().await;
            }
            SteeringMessage::Reload(reply) => {
                let result = state.reload().await;
                let _ = reply.send(result);
            }
        }
        Ok(())
    }
}

/// Tells the actor when the engine has loaded a model anew.
fn follow_model(
    mut model: watch::Receiver<Option<Arc<LoadedModel>>>,
    actor: ActorRef<SteeringMessage>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while model.changed().await.is_ok() {
            let loaded = model.borrow_and_update().is_some();
            if loaded && actor.send_message(SteeringMessage::ModelLoaded).is_err() {
                return;
            }
        }
    })
}

impl SteeringState {
    /// Reads, validates and swaps; publishes what came of it.
    async fn reload(&mut self) -> Result<Arc<SteeringLibrary>, SteeringError> {
        let start = Instant::now();
        let current = Arc::clone(&self.wiring.library.borrow());
        match self.build().await {
            Ok(library) if library.version() == current.version() => Ok(current),
            Ok(library) => {
                let library = Arc::new(library);
                self.wiring.library.send_replace(Arc::clone(&library));
                telemetry::steering_reloaded(
                    start.elapsed(),
                    library.emotions().count(),
                    current.version(),
                    library.version(),
                );
                tracing::info!(version = %library.version(), "steering library in force");
                self.wiring.bus.publish(Event::SteeringReloaded {
                    version: library.version().to_string(),
                    emotions: library.emotions().map(|e| e.name.clone()).collect(),
                });
                Ok(library)
            }
            Err(error) => {
                telemetry::steering_refused(&error);
                tracing::warn!(%error, "steering vectors refused");
                self.wiring.bus.publish(Event::SteeringRefused {
                    kind: error.kind(),
                    reason: error.to_string(),
                });
                Err(error)
            }
        }
    }

    async fn build(&self) -> Result<SteeringLibrary, SteeringError> {
        let Some(model) = self.model.borrow().clone() else {
            // The model is being reloaded; the library in force stays.
            return Ok(SteeringLibrary::clone(&self.wiring.library.borrow()));
        };
        let context = library_context(&self.wiring.settings.model, &model.facts);
        let folder = self.folder.clone();
        let wiring = &self.wiring;
        let bundled = wiring.source == ModelSource::Bundled && wiring.factory.loads_settings();
        let work = move || {
            let files = match folder {
                Some(folder) => folder::read(&folder)?,
                None if bundled => BundledModel::library_files(),
                None => Vec::new(),
            };
            Ok(SteeringLibrary::build(files, &context)?)
        };
        // Files may be large; the actor's task must not block on them.
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(SteeringError::Unreadable {
                file: "the vectors folder".to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

/// What vectors are checked against for a model under these settings.
pub(crate) fn library_context(settings: &ModelSettings, facts: &ModelFacts) -> LibraryContext {
    let usual = ModelSettings::DEFAULT_STEERING_LAYER as usize;
    let usual = if usual + 1 < facts.n_layers {
        usual
    } else {
        facts.n_layers / 2
    };
    let asked = settings.steering_layer;
    let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
    context.default_layer = Some(asked.map_or(usual, |layer| layer as usize));
    if !facts.residual_norms.is_empty() {
        context.residual_norms = Some(facts.residual_norms.clone());
    }
    context
}

/// The steering actor's address.
#[derive(Debug, Clone)]
pub struct SteeringHandle {
    actor: Handle<SteeringMessage>,
}

impl SteeringHandle {
    /// Makes a typed handle.
    pub fn new(actor: Handle<SteeringMessage>) -> Self {
        Self { actor }
    }

    /// Calls that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.actor.waiting()
    }

    /// Reads the vectors anew and waits until the result is in force.
    ///
    /// # Errors
    /// [`Error::Steering`] if the set is refused (the previous library stays
    /// in force), or [`Error::Stopped`].
    pub async fn reload(&self) -> Result<Arc<SteeringLibrary>, Error> {
        loop {
            match self.actor.call(SteeringMessage::Reload).await {
                Ok(result) => return Ok(result?),
                Err(CallError::Unanswered) => {}
                Err(CallError::Stopped(reason)) => {
                    return Err(Error::Stopped {
                        reason: reason.to_string(),
                    });
                }
            }
        }
    }
}
