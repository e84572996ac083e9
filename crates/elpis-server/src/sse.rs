//! Responses of server-sent events.

use std::convert::Infallible;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};

use crate::state::App;

/// Where the events of a response come from.
pub(crate) trait Source: Send + 'static {
    /// The next event; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// The response with all events of a source. Comments keep it open while there are none.
pub(crate) fn response(source: impl Source, app: &App) -> Response {
    let events = futures_util::stream::unfold(source, |mut source| async move {
        let event = source.next().await?;
        Some((Ok::<_, Infallible>(event), source))
    });
    let keep_alive = KeepAlive::new().interval(app.settings().keep_alive);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // A proxy that buffers would hold events back.
    let off = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", off);
    response
}
