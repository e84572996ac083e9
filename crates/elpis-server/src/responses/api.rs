//! `/v1/responses`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use elpis::ChatMessage;
use serde_json::{Value, json};

use super::reply::{begun, new_id};
use super::request::ResponseRequest;
use super::stream::ResponseStream;
use crate::access::Chats;
use crate::carrier::Carriers;
use crate::error::ApiError;
use crate::extract::Body;
use crate::response_cache::CachedResponse;
use crate::state::App;
use crate::turn::{Turn, TurnRequest, room_of, with_session};

pub(crate) async fn create(
    State(app): State<App>,
    Chats(client): Chats,
    headers: HeaderMap,
    Body(mut request): Body<ResponseRequest>,
) -> Result<Response, ApiError> {
    let previous = request.previous_response_id.as_deref();
    let previous = previous
        .map(|id| app.response_cache().find(id, &client))
        .transpose()?;
    let before = previous.as_ref().map(|kept| kept.messages.clone());
    let conversation = request.conversation(before.unwrap_or_default())?;
    // Instructions hold for one response and are not kept.
    let mut messages = conversation.clone();
    if let Some(instructions) = &request.instructions {
        messages.insert(0, ChatMessage::system(instructions.as_str()));
    }
    let given = TurnRequest {
        asked: request.elpis.take().unwrap_or_default(),
        choices: 1,
        ignored: request.ignored(),
        options: request.options(room_of(&app))?,
        messages,
    };
    let carriers = Carriers {
        metadata: request.metadata.as_ref(),
        previous: previous.as_ref().map(|kept| kept.session.as_str()),
        prompt_cache_key: request.prompt_cache_key.as_deref(),
        user: request.user.as_deref(),
        safety_identifier: request.safety_identifier.as_deref(),
        model: Some(&request.model),
        ..Carriers::default()
    };
    let turn = Turn::new(&app, &client, &headers, &carriers, given)?;
    let header = turn.header();
    let (session, generation, told) = turn.start_one(&app).await?;
    let keep = (request.store != Some(false)).then(|| CachedResponse {
        prefix: client.prefix.clone(),
        session: told.session.clone(),
        messages: conversation,
        response: Value::Null,
    });
    let now = jiff::Timestamp::now().as_second();
    let response = begun(&new_id("resp"), now, &request);
    let stream = ResponseStream::new(&app, session, told, generation, response, keep);
    let response = if request.stream == Some(true) {
        stream.into_response()
    } else {
        Json(stream.whole().await?).into_response()
    };
    Ok(with_session(response, header))
}

/// `GET /v1/responses/{id}`.
pub(crate) async fn get(
    State(app): State<App>,
    Chats(client): Chats,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let kept = app.response_cache().find(&id, &client)?;
    Ok(Json(kept.response.clone()))
}

/// `DELETE /v1/responses/{id}`.
pub(crate) async fn delete(
    State(app): State<App>,
    Chats(client): Chats,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    app.response_cache().find(&id, &client)?;
    app.response_cache().delete(&id);
    Ok(Json(
        json!({"id": id, "object": "response", "deleted": true}),
    ))
}
