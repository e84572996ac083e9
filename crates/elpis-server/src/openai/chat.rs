//! `POST /v1/chat/completions`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use elpis::{GenerationStream, Session};
use futures_util::future::try_join_all;

use super::message::convert;
use super::reply::{ChatCompletion, Choice, Head, Usage};
use super::request::ChatCompletionRequest;
use super::stream::ReplyStream;
use crate::access::Chats;
use crate::carrier::Carriers;
use crate::error::ApiError;
use crate::extension::{EmotionPoint, ReplyReport, ResponseExtension};
use crate::extract::Body;
use crate::state::App;
use crate::turn::{RunningTurn, Turn, TurnRequest, fingerprint, room_of, with_session};

pub(crate) async fn completions(
    State(app): State<App>,
    Chats(client): Chats,
    headers: HeaderMap,
    Body(mut request): Body<ChatCompletionRequest>,
) -> Result<Response, ApiError> {
    let given = TurnRequest {
        asked: request.elpis.take().unwrap_or_default(),
        choices: request.choices(app.settings().max_choices)?,
        ignored: request.ignored(),
        options: request.options(room_of(&app))?,
        messages: convert(std::mem::take(&mut request.messages))?,
    };
    let carriers = Carriers {
        session: None,
        previous: None,
        metadata: request.metadata.as_ref(),
        prompt_cache_key: request.prompt_cache_key.as_deref(),
        user: request.user.as_deref(),
        safety_identifier: request.safety_identifier.as_deref(),
        model: Some(request.model.as_str()),
    };
    let turn = Turn::new(&app, &client, &headers, &carriers, given)?;
    let session = turn.header();
    let RunningTurn {
        session: of,
        generations,
        told,
    } = turn.start(&app).await?;
    let streams = request.stream == Some(true);
    let head = Head {
        id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
        object: if streams {
            "chat.completion.chunk"
        } else {
            "chat.completion"
        },
        created: jiff::Timestamp::now().as_second(),
        system_fingerprint: fingerprint(&app),
        model: request.model.clone(),
    };
    let response = if streams {
        let usage = request.includes_usage();
        ReplyStream::new(head, of, told, generations, usage).into_response(&app)
    } else {
        whole(head, &of, told, generations).await?
    };
    Ok(with_session(response, session))
}

/// Waits for all replies.
async fn whole(
    head: Head,
    session: &Session,
    mut told: ResponseExtension,
    generations: Vec<GenerationStream>,
) -> Result<Response, ApiError> {
    let completions = generations.into_iter().map(GenerationStream::completion);
    let completions = try_join_all(completions).await?;
    told.after = Some(EmotionPoint::from(&session.state().await?));
    let mut usage = Usage::default();
    for (index, reply) in completions.iter().enumerate() {
        usage.add(&reply.report);
        told.replies.push(ReplyReport::new(index, &reply.report));
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
