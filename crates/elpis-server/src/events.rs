//! `GET /v1/events`: the event bus as server-sent events.

mod describe;

use std::pin::Pin;

use axum::extract::{Query, State};
use axum::response::Response;
use axum::response::sse::Event as SseEvent;
use elpis::{Delivery, Events};
use serde::Deserialize;
use serde_json::json;

use crate::access::{Client, Feels};
use crate::error::ApiError;
use crate::sse::{self, Source};
use crate::state::App;
use describe::{Described, describe};

/// Which events a client wants.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only events of this session.
    #[serde(default)]
    session: Option<String>,
    /// Only events of these kinds, joined by commas.
    #[serde(default)]
    kinds: Option<String>,
}

impl Filter {
    fn wants(&self, event: &Described) -> bool {
        let session = self.session.as_deref();
        let kind = |kinds: &str| kinds.split(',').any(|kind| kind.trim() == event.kind);
        session.is_none_or(|session| event.session.as_deref() == Some(session))
            && self.kinds.as_deref().is_none_or(kind)
    }
}

/// Follows the bus until the client leaves or the server drains. A client that is too slow learns
/// how many events it missed.
pub(crate) async fn follow(
    State(app): State<App>,
    Feels(client): Feels,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(filter) = filter.map_err(|error| ApiError::invalid("query", error.body_text()))?;
    for kind in filter.kinds.iter().flat_map(|kinds| kinds.split(',')) {
        let kind = kind.trim();
        if !describe::KINDS.contains(&kind) {
            let known = describe::KINDS.join(", ");
            let message = format!("kinds has {kind:?}, but the kinds are {known}");
            return Err(ApiError::invalid("kinds", message));
        }
    }
    let follower = Follower {
        events: app.elpis().events(),
        client,
        filter,
        drained: Box::pin(app.drained()),
    };
    Ok(sse::response(follower, &app))
}

struct Follower {
    events: Events,
    client: Client,
    filter: Filter,
    drained: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Source for Follower {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            let delivery = tokio::select! {
                delivery = self.events.next() => delivery?,
                () = &mut self.drained => return None,
            };
            let event = match delivery {
                Delivery::Event(event) => event,
                Delivery::Lagged(missed) => {
                    let data = json!({"missed": missed}).to_string();
                    return Some(SseEvent::default().event("missed").data(data));
                }
            };
            let Some(described) = describe(&event, &self.client) else {
                continue;
            };
            if self.filter.wants(&described) {
                let data = described.data.to_string();
                return Some(SseEvent::default().event(described.kind).data(data));
            }
        }
    }
}
