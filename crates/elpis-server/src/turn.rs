//! A turn of a session, whatever API asked for it: which session, what is felt, what is generated.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use elpis::settings::ContextOverflow;
use elpis::{ChatMessage, EmotionEvent, GenerationOptions, GenerationStream, Session};

use crate::access::Client;
use crate::carrier::{Carriers, is_task, text_of};
use crate::error::ApiError;
use crate::extension::{EmotionPoint, RequestExtension, ResponseExtension};
use crate::idempotency::{RequestDigest, digest};
use crate::state::App;

/// The response header that names the session.
const SESSION: HeaderName = HeaderName::from_static("x-elpis-session");

/// A request of any API, parsed.
#[derive(Debug)]
pub(crate) struct TurnRequest {
    pub(crate) asked: RequestExtension,
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) options: GenerationOptions,
    /// The number of replies.
    pub(crate) choices: u32,
    /// Fields that were not used.
    pub(crate) ignored: Vec<String>,
}

/// A turn that can start.
#[derive(Debug)]
pub(crate) struct Turn {
    session: Session,
    /// The session as the client names it.
    name: String,
    /// Where the request named it.
    named_by: String,
    messages: Vec<ChatMessage>,
    options: GenerationOptions,
    events: Vec<EmotionEvent>,
    choices: u32,
    hearing: Hearing,
    digest: RequestDigest,
    ignored: Vec<String>,
}

/// Whether a turn moves the mood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// It does, even if it is repeated.
    Always,
    /// It does, unless it is repeated.
    Once,
    /// Its message and its reply do not; its events do.
    Never,
}

/// A turn whose generations run. Dropping them cancels them.
pub(crate) struct RunningTurn {
    pub(crate) session: Session,
    pub(crate) generations: Vec<GenerationStream>,
    pub(crate) told: ResponseExtension,
}

impl Turn {
    /// Finds the session and checks everything that does not need the model.
    pub(crate) fn new(
        app: &App,
        client: &Client,
        headers: &HeaderMap,
        carriers: &Carriers<'_>,
        given: TurnRequest,
    ) -> Result<Self, ApiError> {
        let settings = app.settings();
        let TurnRequest {
            asked,
            messages,
            mut options,
            choices,
            ignored,
        } = given;
        let carriers = Carriers {
            session: asked.session.as_deref(),
            ..*carriers
        };
        let named = carriers.find(headers, settings)?;
        let session = app.elpis().session(client.session(&named.session))?;
        let events = asked.events(&app.elpis().settings().emotion)?;
        if !events.is_empty() && !client.rights.feel {
            let message = "elpis.events needs the right `feel`, which the key lacks";
            return Err(ApiError::forbidden(message));
        }
        asked.apply(&mut options, settings.client_sampling)?;
        options.validate()?;
        let key = text_of(headers, "idempotency-key")?;
        let digest = digest(session.id().as_str(), key, &messages, &events);
        let hearing = match asked.heard {
            Some(true) => Hearing::Always,
            None if !is_task(headers, settings) => Hearing::Once,
            _ => Hearing::Never,
        };
        Ok(Self {
            session,
            name: named.session,
            named_by: named.by,
            messages,
            options,
            events,
            choices,
            hearing,
            digest,
            ignored,
        })
    }

    /// Feels the events and starts a generation for each reply. Only the first is heard: the others
    /// are alternatives.
    pub(crate) async fn start(self, app: &App) -> Result<RunningTurn, ApiError> {
        let is_new = self.hearing != Hearing::Never && app.seen_requests().claim(self.digest);
        let heard = match self.hearing {
            Hearing::Always => true,
            Hearing::Once => is_new,
            Hearing::Never => false,
        };
        let repeated = self.hearing == Hearing::Once && !is_new;
        let mut felt = false;
        let started = self.run(heard, repeated, &mut felt).await;
        // A request that moved nothing counts as new when it is repeated.
        if is_new && started.is_err() && !felt {
            app.seen_requests().release(&self.digest);
        }
        let (before, generations) = started?;
        let told = ResponseExtension {
            session: self.name,
            session_from: self.named_by,
            heard,
            model: model_name(app),
            before,
            after: None,
            replies: Vec::new(),
            ignored: self.ignored,
        };
        Ok(RunningTurn {
            session: self.session,
            generations,
            told,
        })
    }

    /// Starts the turn's only generation.
    pub(crate) async fn start_one(
        self,
        app: &App,
    ) -> Result<(Session, GenerationStream, ResponseExtension), ApiError> {
        let mut running = self.start(app).await?;
        let generation = running.generations.pop();
        let generation =
            generation.ok_or_else(|| ApiError::internal("no generation was started"))?;
        Ok((running.session, generation, running.told))
    }

    /// Returns the state before the turn and its generations. `felt` tells whether the turn may have
    /// moved the mood, also after an error.
    async fn run(
        &self,
        heard: bool,
        repeated: bool,
        felt: &mut bool,
    ) -> Result<(EmotionPoint, Vec<GenerationStream>), ApiError> {
        let before = EmotionPoint::from(&self.session.state().await?);
        if !repeated {
            for event in &self.events {
                self.session.feel(event).await?;
                *felt = true;
            }
        }
        let mut generations = Vec::with_capacity(self.choices as usize);
        for index in 0..self.choices {
            let mut options = self.options.clone();
            options.seed = options.seed.map(|seed| seed.wrapping_add(u64::from(index)));
            options.appraise = Some(heard && index == 0);
            let chat = self.session.chat(self.messages.clone()).options(options);
            generations.push(chat.stream().await?);
            *felt = true;
        }
        Ok((before, generations))
    }

    /// The header with the session, for the response.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.name.as_bytes()).ok()
    }
}

/// Adds the header with the session.
pub(crate) fn with_session(mut response: Response, session: Option<HeaderValue>) -> Response {
    if let Some(session) = session {
        response.headers_mut().insert(SESSION, session);
    }
    response
}

/// The maximum length of a reply whose request names none: clients that name none expect that the
/// model ends by itself. If old turns are dropped to make room, the room is that of the settings.
pub(crate) fn room_of(app: &App) -> Option<u32> {
    let model = app.elpis().model()?;
    let drops = app.elpis().settings().model.context_overflow == ContextOverflow::DropOldest;
    (!drops).then_some(model.context_length)
}

/// The name of the loaded model: that of the settings, of its file or folder, or its own.
pub(crate) fn model_name(app: &App) -> String {
    let settings = app.elpis().settings();
    if let Some(name) = &settings.metrics.model {
        return name.clone();
    }
    if let Some(path) = &settings.model.path {
        return name_of(path).to_owned();
    }
    let model = app.elpis().model();
    model.map_or_else(|| "elpis".to_owned(), |model| model.name.clone())
}

/// The last part of a path or of a Hub's name, without the extension of model files.
fn name_of(path: &str) -> &str {
    let name = path.trim_end_matches(['/', '\\']);
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    name.strip_suffix(".gguf").unwrap_or(name)
}

/// Names the version of this program and of the vectors, which determine a reply besides the request.
pub(crate) fn fingerprint(app: &App) -> String {
    let library = app.elpis().steering_library();
    let version: String = library.version().to_string().chars().take(12).collect();
    format!("fp_{}_{version}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_by_its_file() {
        for (path, name) in [
            ("/srv/models/SmolLM2-135M.Q4_1.gguf", "SmolLM2-135M.Q4_1"),
            ("models\\a.gguf", "a"),
            ("org/name", "name"),
            ("folder/", "folder"),
            ("model", "model"),
        ] {
            assert_eq!(name_of(path), name);
        }
    }
}
