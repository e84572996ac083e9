//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::reply::whole;
use super::request::MessageRequest;
use super::stream::MessageStream;
use crate::access::Chats;
use crate::carrier::Carriers;
use crate::error::ApiError;
use crate::extension::{EmotionPoint, ReplyReport};
use crate::extract::Body;
use crate::state::App;
use crate::turn::{Turn, TurnRequest, with_session};

pub(crate) async fn create(
    State(app): State<App>,
    Chats(client): Chats,
    headers: HeaderMap,
    Body(mut request): Body<MessageRequest>,
) -> Result<Response, ApiError> {
    let given = TurnRequest {
        asked: request.elpis.take().unwrap_or_default(),
        choices: 1,
        ignored: request.ignored(),
        options: request.options()?,
        messages: request.conversation()?,
    };
    let carriers = Carriers {
        metadata: request.metadata.as_ref(),
        user: request.user(),
        model: Some(&request.model),
        ..Carriers::default()
    };
    let turn = Turn::new(&app, &client, &headers, &carriers, given)?;
    let header = turn.header();
    let (session, generation, mut told) = turn.start_one(&app).await?;
    let id = format!("msg_{:032x}", rand::random::<u128>());
    let stops = request.stops().to_vec();
    let response = if request.stream == Some(true) {
        let head = (id.as_str(), request.model.as_str());
        MessageStream::new(head, session, told, generation, stops).into_response(&app)
    } else {
        let reply = generation.completion().await?;
        told.after = Some(EmotionPoint::from(&session.state().await?));
        told.replies.push(ReplyReport::new(0, &reply.report));
        Json(whole(&id, &request.model, &reply, &stops, &told)).into_response()
    };
    Ok(with_session(response, header))
}

/// Counts the tokens of a prompt. Those of tools are not among them.
pub(crate) async fn count_tokens(
    State(app): State<App>,
    Chats(_): Chats,
    Body(mut request): Body<MessageRequest>,
) -> Result<Json<Value>, ApiError> {
    let messages = request.conversation()?;
    // A session's name is needed, but its state is not touched.
    let session = app.elpis().session("count_tokens")?;
    let used = session.context_use(&messages).await?;
    Ok(Json(json!({"input_tokens": used.prompt_tokens})))
}
