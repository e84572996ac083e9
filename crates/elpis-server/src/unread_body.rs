//! Reads what a handler has left of a request's body. A connection that is closed while the client
//! still sends shows the client a broken pipe instead of the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};

/// Maximum size of the rest that is read, in bytes, and maximum time for it.
const MAX_REST: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_millis(500);

/// A body that can be read further by another owner.
#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Body>>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .size_hint()
    }
}

impl Shared {
    async fn read_rest(mut self) {
        let mut left = MAX_REST;
        while !self.is_end_stream() {
            let frame = std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context));
            let Some(Ok(frame)) = frame.await else { return };
            let read = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(read) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// Answers a request and reads the rest of its body.
pub(crate) async fn answer(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let shared = Shared(Arc::new(Mutex::new(body)));
    let request = Request::from_parts(parts, Body::new(shared.clone()));
    let response = next.run(request).await;
    // A client that sends too much or too slowly gets its answer when the connection is closed.
    let _ = tokio::time::timeout(MAX_TIME, shared.read_rest()).await;
    response
}
