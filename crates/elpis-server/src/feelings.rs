//! The feelings of sessions over HTTP.

use axum::Json;
use axum::extract::{Path, Query, State};
use elpis::emotion::{AppliedEvent, EmotionConfig};
use elpis::{EmotionEvent, EmotionSnapshot, SafetyLimits, Session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{Admin, Client, Feels};
use crate::error::ApiError;
use crate::extract::Body;
use crate::state::App;

/// Maximum number of events in one request.
const MAX_EVENTS: usize = 256;

/// Maximum number of sessions on one page.
const MAX_PAGE: usize = 1000;

/// An event: its name, or an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "an event must be a name, or an object with `event` and optionally \
`intensity`, `delta_valence`, `delta_arousal`, `reason`"
)]
pub(crate) enum GivenEvent {
    Name(String),
    Whole(WholeEvent),
}

/// An event with everything that can be said of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WholeEvent {
    #[serde(alias = "name", alias = "event_type")]
    event: String,
    /// In [0, 2].
    #[serde(default)]
    intensity: Option<f64>,
    /// Shifts of its own, for an event that is not declared.
    #[serde(default)]
    delta_valence: Option<f64>,
    #[serde(default)]
    delta_arousal: Option<f64>,
    /// Why it happened, for the journal.
    #[serde(default, alias = "words", alias = "context")]
    reason: Option<String>,
}

impl GivenEvent {
    /// Converts the event, which must be known to the settings; an error names it as `place`.
    pub(crate) fn convert(
        &self,
        place: &str,
        settings: &EmotionConfig,
    ) -> Result<EmotionEvent, ApiError> {
        let event = match self {
            Self::Name(name) => EmotionEvent::named(name.trim()),
            Self::Whole(whole) => whole.convert(),
        };
        let event = event.and_then(|event| settings.declared(event));
        event.map_err(|error| ApiError::invalid(place, format!("{place}: {error}")))
    }
}

impl WholeEvent {
    fn convert(&self) -> Result<EmotionEvent, elpis::emotion::EmotionError> {
        let name = self.event.trim();
        let intensity = self.intensity.unwrap_or(1.0);
        let event = match (self.delta_valence, self.delta_arousal) {
            (None, None) => EmotionEvent::named(name)?.with_intensity(intensity)?,
            (valence, arousal) => {
                let (valence, arousal) = (valence.unwrap_or(0.0), arousal.unwrap_or(0.0));
                EmotionEvent::custom(name, valence, arousal)?.with_intensity(intensity)?
            }
        };
        Ok(match &self.reason {
            Some(reason) => event.with_words(reason),
            None => event,
        })
    }
}

/// The body of a request that sends events: one, or several.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "the body must be an event, or an object with a list of `events`"
)]
pub(crate) enum GivenEvents {
    Many { events: Vec<GivenEvent> },
    One(GivenEvent),
}

/// The state of a session.
#[derive(Debug, Serialize)]
pub(crate) struct SessionState {
    session: String,
    #[serde(flatten)]
    state: EmotionSnapshot,
}

/// The effects of events.
#[derive(Debug, Serialize)]
pub(crate) struct Felt {
    applied: Vec<AppliedEvent>,
    #[serde(flatten)]
    state: SessionState,
}

async fn state_of(session: &Session, name: String) -> Result<SessionState, ApiError> {
    let state = session.state().await?;
    Ok(SessionState {
        session: name,
        state,
    })
}

fn session_of(app: &App, client: &Client, name: &str) -> Result<Session, ApiError> {
    Ok(app.elpis().session(client.session(name))?)
}

/// `POST /v1/sessions/{id}/events`. All events are checked before the first is felt.
pub(crate) async fn feel(
    State(app): State<App>,
    Feels(client): Feels,
    Path(name): Path<String>,
    Body(given): Body<GivenEvents>,
) -> Result<Json<Felt>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    let known = &app.elpis().settings().emotion;
    let events = match &given {
        GivenEvents::One(event) => vec![event.convert("event", known)?],
        GivenEvents::Many { events } if events.len() > MAX_EVENTS => {
            let count = events.len();
            let message = format!("events has {count} entries, but must have at most {MAX_EVENTS}");
            return Err(ApiError::invalid("events", message));
        }
        GivenEvents::Many { events } => {
            let numbered = events.iter().enumerate();
            let events =
                numbered.map(|(index, event)| event.convert(&format!("events[{index}]"), known));
            events.collect::<Result<_, _>>()?
        }
    };
    let mut applied = Vec::with_capacity(events.len());
    for event in events {
        applied.push(session.feel(event).await?);
    }
    let state = state_of(&session, name).await?;
    Ok(Json(Felt { applied, state }))
}

/// A finished tool call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolCallReport {
    tool: String,
    succeeded: bool,
}

/// `POST /v1/sessions/{id}/tool_calls`.
pub(crate) async fn record_tool_call(
    State(app): State<App>,
    Feels(client): Feels,
    Path(name): Path<String>,
    Body(call): Body<ToolCallReport>,
) -> Result<Json<Felt>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    let applied = session.record_tool_call(call.tool, call.succeeded).await?;
    let state = state_of(&session, name).await?;
    Ok(Json(Felt { applied, state }))
}

/// `GET /v1/sessions/{id}/state`.
pub(crate) async fn state(
    State(app): State<App>,
    Feels(client): Feels,
    Path(name): Path<String>,
) -> Result<Json<SessionState>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    state_of(&session, name).await.map(Json)
}

/// `POST /v1/sessions/{id}/reset`.
pub(crate) async fn reset(
    State(app): State<App>,
    Feels(client): Feels,
    Path(name): Path<String>,
) -> Result<Json<SessionState>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    session.reset().await?;
    state_of(&session, name).await.map(Json)
}

/// A change of a session's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// How strongly the emotion steers, in [0, 3].
    #[serde(default)]
    strength: Option<f64>,
    /// Ceilings on the mood.
    #[serde(default)]
    limits: Option<SafetyLimits>,
}

/// `PATCH /v1/sessions/{id}`.
pub(crate) async fn change(
    State(app): State<App>,
    Admin(client): Admin,
    Path(name): Path<String>,
    Body(change): Body<Change>,
) -> Result<Json<SessionState>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    if let Some(limits) = change.limits {
        session.set_limits(limits).await?;
    }
    if let Some(strength) = change.strength {
        session.set_strength(strength).await?;
    }
    state_of(&session, name).await.map(Json)
}

/// `DELETE /v1/sessions/{id}`: its state, its journal and its conversation.
pub(crate) async fn forget(
    State(app): State<App>,
    Admin(client): Admin,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let session = session_of(&app, &client, &name)?;
    let deleted = session.forget().await?;
    Ok(Json(json!({"session": name, "deleted": deleted})))
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The last name of the page before.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

/// `GET /v1/sessions`: the sessions that hold a state, by name.
pub(crate) async fn list(
    State(app): State<App>,
    Admin(client): Admin,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(page) = page.map_err(|error| ApiError::invalid("query", error.body_text()))?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("limit is {limit}, but must be 1 to {MAX_PAGE}");
        return Err(ApiError::invalid("limit", message));
    }
    let sessions = app.elpis().sessions().await?;
    let mut names: Vec<&str> = sessions
        .iter()
        .filter_map(|session| client.name_of(session.as_str()))
        .filter(|name| page.after.as_deref().is_none_or(|after| *name > after))
        .collect();
    names.sort_unstable();
    let has_more = names.len() > limit;
    names.truncate(limit);
    let data: Vec<_> = names.iter().map(|name| json!({"session": name})).collect();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "last": names.last(),
        "has_more": has_more,
    })))
}

/// `POST /v1/vectors/reload`.
pub(crate) async fn reload_vectors(
    State(app): State<App>,
    Admin(_): Admin,
) -> Result<Json<Value>, ApiError> {
    let library = app.elpis().reload_vectors().await?;
    let emotions: Vec<_> = library
        .emotions()
        .map(|emotion| emotion.name.clone())
        .collect();
    Ok(Json(
        json!({"version": library.version().to_string(), "emotions": emotions}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_every_form() {
        let read = |text: &str| -> EmotionEvent {
            let event: GivenEvent = serde_json::from_str(text).unwrap();
            event.convert("event", &EmotionConfig::default()).unwrap()
        };
        assert_eq!(read(r#""test_passed""#).name(), "test_passed");
        let event = read(r#"{"event_type": "failure", "intensity": 1.5, "context": "the build"}"#);
        assert_eq!(
            (event.name(), event.words()),
            ("failure", Some("the build"))
        );
        assert!((event.intensity() - 1.5).abs() < 1e-12);
        let event = read(r#"{"name": "rained", "delta_arousal": -0.2}"#);
        assert!(event.is_custom());
        let many: GivenEvents =
            serde_json::from_str(r#"{"events": ["a", {"event": "b"}]}"#).unwrap();
        assert!(matches!(many, GivenEvents::Many { events } if events.len() == 2));
    }

    #[test]
    fn a_wrong_event_is_named() {
        let event: GivenEvent = serde_json::from_str(r#"{"event": "a", "intensity": -9}"#).unwrap();
        let error = event
            .convert("events[3]", &EmotionConfig::default())
            .unwrap_err();
        assert!(
            error.message.contains("events[3]") && error.message.contains('9'),
            "{error:?}"
        );
        let error = serde_json::from_str::<GivenEvent>(r#"{"evnt": "a"}"#).unwrap_err();
        assert!(error.to_string().contains("`event`"), "{error}");
    }
}
