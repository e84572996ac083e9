//! The exporter's HTTP: short answers to short questions, whoever asks.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Most connections at once; further ones are closed unheard.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to ask.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// How long a connection may take from its begin to its end.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Most headers of a request, and most bytes of them.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Pause after a connection that could not be accepted, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The format that the answers have: Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with what `render` makes, for ever.
pub(super) async fn serve(
    listener: TcpListener,
    render: impl Fn() -> String + Send + Sync + 'static,
) {
    let render: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(render);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_of_the_client(error.kind()) => continue,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let render = Arc::clone(&render);
        tokio::spawn(async move {
            // A client that breaks off or takes too long is no failure of ours.
            let _ = timeout(CONNECTION_TIME, answer(stream, render.as_ref())).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream, render: &(dyn Fn() -> String + Send + Sync)) {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(respond(request.method(), request.uri().path(), render))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request for the metrics was not answered");
    }
}

fn respond(method: &Method, path: &str, render: &dyn Fn() -> String) -> Response<Full<Bytes>> {
    let text = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let format = HeaderValue::from_static(TEXT_FORMAT);
        response.headers_mut().insert(CONTENT_TYPE, format);
        response
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match path {
        "/metrics" => text(StatusCode::OK, render()),
        "/health" => text(StatusCode::OK, "OK".to_owned()),
        "/" => text(
            StatusCode::OK,
            "elpis: see /metrics and /health\n".to_owned(),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            "see /metrics and /health\n".to_owned(),
        ),
    }
}

/// Whether a connection failed before it was accepted, which says nothing of the next one.
fn is_of_the_client(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_are_told_apart() {
        let render = || "metrics".to_owned();
        for (method, path, status) in [
            (Method::GET, "/metrics", 200),
            (Method::HEAD, "/metrics", 200),
            (Method::GET, "/health", 200),
            (Method::GET, "/", 200),
            (Method::GET, "/nope", 404),
            (Method::GET, "/metrics/", 404),
            (Method::POST, "/metrics", 405),
            (Method::DELETE, "/nope", 405),
        ] {
            let response = respond(&method, path, &render);
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers()[CONTENT_TYPE], TEXT_FORMAT);
        }
    }
}
