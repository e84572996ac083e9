//! The server on a socket: streams, disconnects, draining, slow and wrong clients.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use elpis::settings::ServerSettings;
use elpis::{Delivery, Event};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Running, says_with, start, start_serving};

struct Listening {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), elpis_server::ServerError>>,
}

fn listen(running: &Running) -> Listening {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = running.server.clone();
    let serving = tokio::spawn(server.serve(listener, async {
        let _ = stopped.await;
    }));
    Listening {
        address,
        stop: Some(stop),
        serving,
    }
}

fn send(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let body = body.map(ToString::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn long() -> Value {
    let constraint = json!({"type": "regex", "regex": "[a-z ]{4000}"});
    says_with(
        "Go on.",
        json!({"stream": true, "max_tokens": 400, "response_format": constraint}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_cancels_its_generation() {
    let running = start().await;
    let listening = listen(&running);
    let mut events = running.elpis.events();
    let mut stream = send(
        listening.address,
        "POST",
        "/v1/chat/completions",
        Some(&long()),
    );
    let mut some = [0; 512];
    assert!(stream.read(&mut some).unwrap() > 0);
    drop(stream);
    let cancelled = async {
        loop {
            if let Some(Delivery::Event(event)) = events.next().await
                && let Event::GenerationCancelled { .. } = *event
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), cancelled)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_lets_running_replies_end() {
    let settings = ServerSettings::default().drain_delay(Duration::from_millis(300));
    let running = start_serving(settings).await;
    let mut listening = listen(&running);
    let address = listening.address;
    let reply = send(address, "POST", "/v1/chat/completions", Some(&long()));
    let follower = send(address, "GET", "/v1/events", None);
    let mut started = running.elpis.events();
    tokio::time::timeout(Duration::from_secs(30), started.next())
        .await
        .unwrap();
    drop(listening.stop.take());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ready = tokio::task::spawn_blocking(move || all(send(address, "GET", "/ready", None)));
    assert!(ready.await.unwrap().contains("draining"));
    let reply = tokio::task::spawn_blocking(move || all(reply))
        .await
        .unwrap();
    assert!(reply.contains("data: [DONE]"), "{reply}");
    tokio::task::spawn_blocking(move || all(follower))
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(30), listening.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_answered_although_its_body_comes_late() {
    let running = start().await;
    let listening = listen(&running);
    let address = listening.address;
    let answered = tokio::task::spawn_blocking(move || {
        for path in ["/v1/nothing", "/v1/models", "/v1/sessions/a/events"] {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(&[b' '; 10_000]).unwrap();
            }
            let answer = all(stream);
            assert!(
                answer.starts_with("HTTP/1.1 4") && answer.contains("\"error\""),
                "{answer}"
            );
        }
    });
    answered.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_excess_are_refused_and_the_server_goes_on() {
    let settings = ServerSettings::default()
        .max_request_mib(1_u32)
        .max_connections(8_u32);
    let running = start_serving(settings).await;
    let listening = listen(&running);
    let address = listening.address;
    let checked = tokio::task::spawn_blocking(move || {
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"\r\n\r\n\r\n\0\0\0",
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            stream.write_all(garbage).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
        let body = json!({"messages": [{"role": "user", "content": "x".repeat(2 << 20)}]});
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.to_string().len()
        );
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).unwrap();
        assert!(
            String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 413"),
            "{answer:?}"
        );
        drop(stream);
        let idle: Vec<_> = (0..8)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        let mut ninth = TcpStream::connect(address).unwrap();
        ninth
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let _ = ninth.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut answer = [0; 16];
        assert_eq!(
            ninth.read(&mut answer).unwrap_or(0),
            0,
            "the ninth connection is closed"
        );
        drop(idle);
        std::thread::sleep(Duration::from_millis(200));
        all(send(address, "GET", "/health", None))
    });
    assert!(checked.await.unwrap().starts_with("HTTP/1.1 200"));
}
