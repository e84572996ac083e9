//! `elpis serve` and `elpis key`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use super::{command, elpis};
use crate::process::{ended, send};

/// Sends a request and returns the whole answer.
fn ask(address: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let length = body.len();
    let request = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_with_a_key_answers_and_stops_in_good_order() {
    let made = elpis(&[
        "key",
        "ada",
        "--rights",
        "chat,feel,admin",
        "--prefix",
        "ada/",
        "--rate",
        "600",
    ]);
    assert!(made.status.success());
    let key = String::from_utf8(made.stdout).unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    let (_, settings) = told.split_once("elpis.toml:\n").unwrap();
    assert!(
        !settings.contains(key.trim()),
        "the settings hold the hash alone"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("elpis.toml"), settings).unwrap();
    let mut server = command(
        &["serve", "--listen", "0", "--store", "moods.db"],
        folder.path(),
    );
    let mut server = server.stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving on") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "the server ended");
    }
    let (_, rest) = line.split_once("http://").unwrap();
    let (address, rest) = rest.split_once("/v1").unwrap();
    assert!(rest.contains("1 key"), "{line}");

    assert!(ask(address, "GET /ready HTTP/1.1", "").starts_with("HTTP/1.1 200"));
    assert!(ask(address, "GET /v1/models HTTP/1.1", "").starts_with("HTTP/1.1 401"));
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {}",
        key.trim()
    );
    let body = r#"{"model": "elpis/x", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 4, "elpis": {"events": ["success"]}}"#;
    let answer = ask(address, &head, body);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("x-elpis-session: x"),
        "{answer}"
    );
    let head = format!("GET /metrics HTTP/1.1\r\nx-api-key: {}", key.trim());
    assert!(
        ask(address, &head, "").contains("elpis_"),
        "the metrics are recorded"
    );

    send(server.id(), Signal::TERM);
    assert!(ended(server).status.success());
    let stored = command(&["store", "list", "moods.db"], folder.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&stored.stdout).contains("ada/x"));
}

#[test]
fn a_server_that_others_could_reach_needs_keys() {
    let refused = elpis(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("server.keys") && told.contains("allow_anonymous"),
        "{told}"
    );
    for wrong in [
        &["serve", "--listen", "here"][..],
        &["key", "two words"],
        &["key", "ada", "--rights", "all"],
    ] {
        assert_eq!(elpis(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
