//! `POST /v1/chat/completions`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use elpis::settings::ContextOverflow;
use elpis::{ChatMessage, GenerationOptions, GenerationStream, Session};
use futures_util::future::try_join_all;

use super::elpis_part::{Acted, Place, Told};
use super::message::convert;
use super::reply::{ChatCompletion, Choice, Head, Usage};
use super::request::ChatCompletionRequest;
use super::stream::ReplyStream;
use crate::access::{Chats, Client};
use crate::carrier::{Carriers, is_task, text_of};
use crate::error::ApiError;
use crate::extract::Body;
use crate::felt_once::mark;
use crate::state::App;

pub(crate) async fn completions(
    State(app): State<App>,
    Chats(client): Chats,
    headers: HeaderMap,
    Body(request): Body<ChatCompletionRequest>,
) -> Result<Response, ApiError> {
    let turn = Turn::read(&app, &client, &headers, request)?;
    let session_header = HeaderValue::from_bytes(turn.told_session.as_bytes());
    let mut response = turn.answer(&app).await?;
    if let Ok(name) = session_header {
        response.headers_mut().insert("x-elpis-session", name);
    }
    Ok(response)
}

/// A request, understood.
struct Turn {
    session: Session,
    /// The session as the client names it.
    told_session: String,
    session_from: String,
    messages: Vec<ChatMessage>,
    options: GenerationOptions,
    events: Vec<elpis::EmotionEvent>,
    choices: u32,
    heard: bool,
    mark: [u8; 32],
    model: String,
    ignored: Vec<String>,
    streams: bool,
    includes_usage: bool,
}

impl Turn {
    fn read(
        app: &App,
        client: &Client,
        headers: &HeaderMap,
        mut request: ChatCompletionRequest,
    ) -> Result<Self, ApiError> {
        let settings = app.settings();
        let asked = request.elpis.take().unwrap_or_default();
        let carriers = Carriers {
            session: asked.session.as_deref(),
            metadata: request.metadata.as_ref(),
            prompt_cache_key: request.prompt_cache_key.as_deref(),
            user: request.user.as_deref(),
            safety_identifier: request.safety_identifier.as_deref(),
            model: Some(request.model.as_str()),
        };
        let named = carriers.find(headers, settings)?;
        let session = app.elpis().session(client.session(&named.session))?;
        let events = asked.events(&app.elpis().settings().emotion)?;
        if !events.is_empty() && !client.rights.feel {
            return Err(ApiError::forbidden(
                "elpis.events needs the right `feel`, which the key lacks",
            ));
        }
        let choices = request.choices(settings.max_choices)?;
        let ignored = request.ignored();
        let mut options = request.options(room_of(app))?;
        asked.apply(&mut options, settings.client_sampling)?;
        options.validate()?;
        let (streams, includes_usage) = (request.stream == Some(true), request.includes_usage());
        let messages = convert(request.messages)?;
        let key = text_of(headers, "idempotency-key")?;
        let mark = mark(session.id().as_str(), key, &messages);
        let heard = match asked.heard {
            Some(heard) => heard,
            None => !is_task(headers, settings) && app.felt_once().is_new(&mark),
        };
        Ok(Self {
            session,
            told_session: named.session,
            session_from: named.by,
            messages,
            options,
            events,
            choices,
            heard,
            mark,
            model: request.model,
            ignored,
            streams,
            includes_usage,
        })
    }

    async fn answer(self, app: &App) -> Result<Response, ApiError> {
        let before = Place::from(&self.session.state().await?);
        for event in &self.events {
            self.session.feel(event).await?;
        }
        let generations = self.start(app).await?;
        let head = Head {
            id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
            object: if self.streams {
                "chat.completion.chunk"
            } else {
                "chat.completion"
            },
            created: jiff::Timestamp::now().as_second(),
            model: self.model,
            system_fingerprint: fingerprint(app),
        };
        let told = Told {
            session: self.told_session,
            session_from: self.session_from,
            heard: self.heard,
            model: model_name(app),
            before,
            after: None,
            replies: Vec::new(),
            ignored: self.ignored,
        };
        if self.streams {
            let stream =
                ReplyStream::new(head, self.session, told, generations, self.includes_usage);
            return Ok(stream.into_response(app));
        }
        whole(head, &self.session, told, generations).await
    }

    /// Starts a generation for each reply. Only the first is heard: the others are alternatives.
    async fn start(&self, app: &App) -> Result<Vec<GenerationStream>, ApiError> {
        let mut generations = Vec::with_capacity(self.choices as usize);
        for index in 0..self.choices {
            let mut options = self.options.clone();
            options.seed = options.seed.map(|seed| seed.wrapping_add(u64::from(index)));
            options.appraise = Some(self.heard && index == 0);
            let chat = self.session.chat(self.messages.clone()).options(options);
            generations.push(chat.stream().await?);
            if index == 0 && self.heard {
                app.felt_once().remember(self.mark);
            }
        }
        Ok(generations)
    }
}

/// Waits for all replies.
async fn whole(
    head: Head,
    session: &Session,
    mut told: Told,
    generations: Vec<GenerationStream>,
) -> Result<Response, ApiError> {
    let completions = generations.into_iter().map(GenerationStream::completion);
    let completions = try_join_all(completions).await?;
    told.after = Some(Place::from(&session.state().await?));
    let mut usage = Usage::default();
    for (index, reply) in completions.iter().enumerate() {
        usage.add(&reply.report);
        told.replies.push(Acted::new(index, &reply.report));
    }
    let choices = completions.into_iter().enumerate();
    let choices = choices
        .map(|(index, reply)| Choice::new(index, reply))
        .collect();
    let completion = ChatCompletion {
        head,
        choices,
        usage,
        elpis: told,
    };
    Ok(Json(completion).into_response())
}

/// The maximum length of a reply whose request names none: clients that name none expect that the
/// model ends by itself. If old turns are dropped to make room, the room is that of the settings.
fn room_of(app: &App) -> Option<u32> {
    let model = app.elpis().model()?;
    let drops = app.elpis().settings().model.context_overflow == ContextOverflow::DropOldest;
    (!drops).then_some(model.context_length)
}

/// The name of the loaded model: that of the settings, of its file or folder, or its own.
pub(super) fn model_name(app: &App) -> String {
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

/// What determines the replies besides the request: the version of this program and the vectors.
fn fingerprint(app: &App) -> String {
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
