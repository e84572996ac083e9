//! The exporter's HTTP server, with strict limits because any client may connect.

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

/// Maximum number of concurrent connections; further ones are closed immediately.
const MAX_CONNECTIONS: usize = 64;

/// Maximum time for a client to send its request headers.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// Maximum duration of a connection.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Maximum number of headers of a request, and their maximum size in bytes.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Pause after a connection that could not be accepted, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the output of `render` until the process ends.
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
                tracing::warn!(%error, "cannot accept a connection to the metrics exporter");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let render = Arc::clone(&render);
        tokio::spawn(async move {
            // A client that disconnects or takes too long is not an error.
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
        tracing::debug!(%error, "a metrics request was not answered");
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

/// Whether a single connection failed before it was accepted, so that the next one may succeed.
fn is_of_the_client(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

    /// A server of its own; the time is held, and passes when all wait.
    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, || "elpis_sessions 1\n".to_owned()));
        address
    }

    /// What comes back to some bytes, until the connection ends.
    async fn answer_to(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may hang up before it has read all.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn questions_are_answered_one_for_each_connection() {
        let address = server().await;
        let twice = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
        let answer = answer_to(address, &twice).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = answer.to_ascii_lowercase();
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        assert_eq!(answer.matches("elpis_sessions 1").count(), 1, "{answer}");
        let head = answer_to(address, b"HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(
            head.starts_with("HTTP/1.1 200") && !head.contains("elpis_sessions"),
            "{head}"
        );
        let old = answer_to(address, b"GET /health HTTP/1.0\r\n\r\n").await;
        assert!(old.ends_with("OK"), "{old}");
    }

    #[tokio::test]
    async fn requests_that_are_none_or_too_long_are_refused() {
        let address = server().await;
        let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
        let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(1000));
        for request in [
            "nonsense\r\n\r\n",
            "\0\u{1}\u{2}",
            &long_path,
            &long_header,
            &many,
        ] {
            let mut bytes = request.as_bytes().to_vec();
            bytes.extend(b"\r\n\r\n");
            let answer = answer_to(address, &bytes).await;
            assert!(!answer.contains(" 200 "), "{answer}");
        }
        let body = answer_to(
            address,
            b"GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n",
        )
        .await;
        assert!(body.ends_with("OK"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_slowly_is_hung_up_on_and_others_are_answered() {
        let address = server().await;
        let mut slow = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nX: ")
                .await
                .unwrap();
            slow.push(stream);
        }
        let start = tokio::time::Instant::now();
        for stream in &mut slow {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(!answer.contains(" 200 "), "{answer}");
        }
        assert!(start.elapsed() <= CONNECTION_TIME, "{:?}", start.elapsed());
        let answer = answer_to(address, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(answer.ends_with("OK"), "{answer}");
    }

    /// Processor time of this process, in clock ticks, of which there are a hundred in a second.
    #[cfg(target_os = "linux")]
    fn ticks() -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_file_descriptors_it_waits_and_does_not_spin() {
        const CHILD: &str = "ELPIS_TEST_DESCRIPTORS";
        if std::env::var_os(CHILD).is_none() {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("telemetry::exporter::server::tests::without_file_descriptors_it_waits_and_does_not_spin")
                .env(CHILD, "1")
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && told.contains("1 passed"),
                "{output:?}"
            );
            return;
        }
        let stat = ticks();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let measured = runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            // Read once, while there are descriptors left for it.
            let mut stat = std::fs::File::open("/proc/self/stat").unwrap();
            let mut taken = Vec::new();
            let limit = rustix::process::Rlimit {
                current: Some(128),
                maximum: Some(128),
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                taken.push(file);
            }
            tokio::spawn(serve(listener, String::new));
            sleep(Duration::from_secs(2)).await;
            let mut text = String::new();
            stat.read_to_string(&mut text).unwrap();
            drop(taken);
            // There are some again: who waited is answered.
            sleep(Duration::from_secs(1)).await;
            text
        });
        let (_, fields) = measured.rsplit_once(") ").unwrap();
        let fields: Vec<u64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|f| f.parse().unwrap())
            .collect();
        let busy = fields.iter().sum::<u64>() - stat;
        assert!(busy < 50, "{busy} hundredths of a second of two");
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("OK"), "{answer}");
    }
}
