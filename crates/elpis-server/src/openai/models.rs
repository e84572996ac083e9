//! `GET /v1/models`.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::access::Chats;
use crate::carrier::MODEL_PREFIX;
use crate::error::ApiError;
use crate::state::App;
use crate::turn::model_name;

/// Lists the loaded model. Clients read the length of its context under several names.
pub(crate) async fn list(State(app): State<App>, Chats(_): Chats) -> Json<Value> {
    let model = describe(&app, &model_name(&app));
    Json(json!({"object": "list", "data": [model]}))
}

/// Describes one model: the loaded one, or it under the name of a session.
pub(crate) async fn get(
    State(app): State<App>,
    Chats(_): Chats,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if id == model_name(&app) || id.starts_with(MODEL_PREFIX) {
        return Ok(Json(describe(&app, &id)));
    }
    Err(ApiError {
        code: Some("model_not_found"),
        ..ApiError::not_found(format!("there is no model {id:?}"))
    })
}

fn describe(app: &App, id: &str) -> Value {
    let model = app.elpis().model();
    let context = model.as_ref().map(|model| model.context_length);
    json!({
        "id": id,
        "object": "model",
        "created": app.started(),
        "owned_by": "elpis",
        "max_model_len": context,
        "context_length": context,
        "meta": {"n_ctx": context},
    })
}
