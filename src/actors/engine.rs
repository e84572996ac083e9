//! Owns the engine thread, which owns the model.
//!
//! The actor starts the thread, waits until the model is loaded and fails when
//! the thread dies, so that the supervisor starts both again. Generations do
//! not pass through its mailbox: they enter through [`RequestQueue`], which outlives
//! actor and thread, so that what waits is kept across a restart.

mod event;
mod heartbeat;
mod parts;
mod reader;
mod request_queue;
mod sink;
mod stream_state;
mod thread;

pub use event::GenerationEvent;
pub(crate) use parts::StreamParts;
pub(crate) use reader::{AnswerReader, ReplyReader};
pub use request_queue::{CacheCommand, CommandId, Permit, RequestQueue};
pub(crate) use sink::stream;
pub use sink::{FinishFuture, FinishHook, GenerationStream};

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use thread::{EngineThread, ThreadEnd};

use super::{Ticking, Wiring, tick};
use crate::backend::{self, BackendError, ModelFacts, Tokenizer};
use crate::inference::{
    ChatFormat, ChatFormatError, ChatTemplate, ConstraintError, ControlTexts, ControlToken,
    SpecialTokens, TemplateError, Vocabulary,
};

/// How often within its bound the watchdog looks.
const LOOKS_PER_BOUND: u32 = 4;

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What callers need of the loaded model to prepare a prompt.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// What is known of it.
    pub facts: Arc<ModelFacts>,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The chat template in force.
    pub template: Arc<ChatTemplate>,
    /// The texts of its control tokens.
    pub controls: Arc<ControlTexts>,
    /// The markers of the model's tool format that are tokens without text.
    pub tool_markers: Arc<[ControlToken]>,
    /// The vocabulary as constraints need it, made when the first one does.
    pub(super) vocabulary: Arc<OnceLock<Result<Arc<Vocabulary>, ConstraintError>>>,
}

impl LoadedModel {
    /// The vocabulary as constraints need it. The first call takes some tenths of a second.
    ///
    /// # Errors
    /// [`ConstraintError::Vocabulary`], or [`ConstraintError::NotBuilt`] without the feature.
    pub fn vocabulary(&self) -> Result<Arc<Vocabulary>, ConstraintError> {
        let make = || {
            let tokenizer = &self.tokenizer;
            let piece = |token, out: &mut Vec<u8>| tokenizer.append_piece(token, out);
            let is_end = |token| tokenizer.is_end(token);
            Vocabulary::new(self.facts.n_vocab, piece, is_end).map(Arc::new)
        };
        self.vocabulary.get_or_init(make).clone()
    }
}

/// The markers of a template's tool format that are tokens without text.
fn tool_markers(template: &ChatTemplate, tokenizer: &dyn Tokenizer) -> Vec<ControlToken> {
    let markers = template.tool_format().markers();
    let mut piece = Vec::new();
    let control = |text: &'static str| {
        let tokens = tokenizer.encode(text, true).ok()?;
        let (&id, before) = tokens.split_last()?;
        // The beginning of a text may stand before it.
        if before.len() > 1 {
            return None;
        }
        piece.clear();
        tokenizer.append_piece(id, &mut piece);
        let control = piece.is_empty() && !tokenizer.is_end(id);
        control.then_some(ControlToken { text, id })
    };
    markers.filter_map(control).collect()
}

/// Why the engine failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFailure {
    /// The model could not be loaded or evaluated.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The chat template of the model or the settings is not usable.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The chat format of the settings is neither known nor a file.
    #[error(transparent)]
    ChatFormat(#[from] ChatFormatError),
    /// The chat template file cannot be read.
    #[error("cannot read chat template {path}: {reason}")]
    TemplateFile {
        /// The file.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// The engine thread panicked.
    #[error("the engine thread panicked: {0}")]
    Panic(String),
    /// The engine thread has not come to the end of a step for too long.
    #[error(
        "the engine hangs: a step has taken {seconds:.1} s, more than runtime.watchdog_seconds"
    )]
    Hung {
        /// How long the step has taken so far.
        seconds: f64,
    },
    /// The actor that the engine thread belongs to is gone.
    #[error("nobody owns the engine thread any more")]
    Deserted,
    /// The engine thread could not be started.
    #[error("cannot start the engine thread: {0}")]
    Spawn(String),
}

/// What the engine actor understands.
#[derive(Debug)]
pub enum EngineMessage {
    /// The engine thread is gone.
    ThreadEnded(ThreadEnd),
    /// Looks whether the engine thread still gets anywhere.
    Watch,
}

/// Keeps the engine thread alive.
#[derive(Debug)]
pub struct EngineActor;

/// State of a working engine actor.
#[derive(Debug)]
pub struct EngineState {
    thread: EngineThread,
    wiring: Wiring,
    /// How often in a row the thread was seen to have ended.
    ended_looks: u32,
    _watching: Ticking,
}

impl Actor for EngineActor {
    type Msg = EngineMessage;
    type State = EngineState;
    type Arguments = Wiring;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        wiring: Wiring,
    ) -> Result<EngineState, ActorProcessingErr> {
        let mut hardware = wiring.hardware.subscribe();
        let devices = hardware
            .wait_for(Option::is_some)
            .await?
            .as_ref()
            .map(|report| report.selected_devices())
            .unwrap_or_default();
        let options = backend::load_options(&wiring.settings, wiring.source.clone(), devices);
        let actor = myself.clone();
        let (thread, loaded) = EngineThread::start(options, wiring.clone(), move |end| {
            // The actor may be gone already; then nobody needs to know.
            let _ = actor.send_message(EngineMessage::ThreadEnded(end));
        })
        .await?;
        let bound = wiring.settings.runtime.watchdog();
        let every = bound.map_or(LOOK, |bound| (bound / LOOKS_PER_BOUND).min(LOOK));
        let watching = tick(&myself, every, || EngineMessage::Watch);
        wiring.model.send_replace(Some(Arc::new(loaded)));
        Ok(EngineState {
            thread,
            wiring,
            ended_looks: 0,
            _watching: watching,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: EngineMessage,
        state: &mut EngineState,
    ) -> Result<(), ActorProcessingErr> {
        state.wiring.probe.at(&message);
        match message {
            EngineMessage::Watch => state.watch().map_err(Into::into),
            EngineMessage::ThreadEnded(ThreadEnd::Stopped) => Ok(()),
            EngineMessage::ThreadEnded(ThreadEnd::Failed(failure)) => {
                state.wiring.model.send_replace(None);
                Err(failure.into())
            }
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut EngineState,
    ) -> Result<(), ActorProcessingErr> {
        state.wiring.model.send_replace(None);
        let limit = state.wiring.settings.runtime.shutdown_timeout();
        state.thread.stop(limit).await;
        Ok(())
    }
}

impl EngineState {
    /// Gives a thread up that hangs. It cannot be stopped from outside: it is
    /// left behind, and ends should its step ever do.
    fn watch(&mut self) -> Result<(), EngineFailure> {
        if self.thread.is_finished() {
            // It tells of its end before; that message has come by the second look.
            self.ended_looks += 1;
            if self.ended_looks < 2 {
                return Ok(());
            }
            self.wiring.model.send_replace(None);
            self.wiring.request_queue.cut();
            return Err(EngineFailure::Panic("it ended without a word".to_owned()));
        }
        let bound = self.wiring.settings.runtime.watchdog();
        let busy = self.thread.busy_for();
        match (busy, bound) {
            (Some(busy), Some(bound)) if busy > bound => {
                self.thread.leave_behind();
                self.wiring.model.send_replace(None);
                if self.wiring.settings.runtime.resume_generations {
                    self.wiring.request_queue.keep(self.thread.seize());
                }
                self.wiring.request_queue.cut();
                Err(EngineFailure::Hung {
                    seconds: busy.as_secs_f64(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// The chat template in force: the settings' choice before the model's own,
/// `ChatML` if there is neither.
#[doc(hidden)]
pub fn chat_template(
    facts: &ModelFacts,
    chat_format: Option<&str>,
) -> Result<ChatTemplate, EngineFailure> {
    let special = || {
        let text = |token: &str| (!token.is_empty()).then(|| token.to_owned());
        SpecialTokens {
            bos: text(&facts.bos_token),
            eos: text(&facts.eos_token),
            ..SpecialTokens::default()
        }
    };
    match (chat_format, &facts.chat_template) {
        (Some(name), _) => match name.parse::<ChatFormat>() {
            Ok(format) => Ok(ChatTemplate::named(format)?.with_special_tokens(special())),
            Err(unknown) if !std::path::Path::new(name).exists() => Err(unknown.into()),
            Err(_) => {
                let source =
                    std::fs::read_to_string(name).map_err(|error| EngineFailure::TemplateFile {
                        path: name.to_owned(),
                        reason: error.to_string(),
                    })?;
                Ok(ChatTemplate::from_source(name, &source, special())?)
            }
        },
        (None, Some(source)) => Ok(ChatTemplate::from_source(&facts.name, source, special())?),
        (None, None) => {
            tracing::warn!(
                model = facts.name,
                "the model has no chat template and none is set; using chatml"
            );
            Ok(ChatTemplate::named(ChatFormat::ChatMl)?.with_special_tokens(special()))
        }
    }
}
