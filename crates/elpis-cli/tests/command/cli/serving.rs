//! `elpis serve` and `elpis key`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::{command, elpis};
use crate::process::{children, ended, send, within};

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

/// Waits until a server says where it serves, and returns the address and the rest of the line.
fn greeted(server: &mut Child) -> (String, String) {
    let mut errors = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving on") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "the server ended");
    }
    server.stderr = Some(errors.into_inner());
    let (_, rest) = line.split_once("http://").unwrap();
    let (address, rest) = rest.split_once("/v1").unwrap();
    (address.to_owned(), rest.to_owned())
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
    let (address, rest) = greeted(&mut server);
    let address = address.as_str();
    assert!(rest.contains("1 key"), "{rest}");

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

#[test]
fn a_service_manager_passes_a_socket_and_is_told_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("notify");
    let manager = UnixDatagram::bind(&told).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    // The protocol wants the socket as descriptor 3, and the process's own id in the environment.
    let script = format!(
        "exec 3<&{}; LISTEN_FDS=1 LISTEN_PID=$$ exec '{}' serve --quiet --listen 1",
        socket.as_raw_fd(),
        env!("CARGO_BIN_EXE_elpis")
    );
    let mut server = Command::new("bash");
    server.args(["-c", &script]).current_dir(folder.path());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ELPIS_")) {
        server.env_remove(name);
    }
    let server = server.env("NOTIFY_SOCKET", &told).spawn().unwrap();
    let state = || {
        let mut state = [0; 64];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap()
    };
    assert_eq!(state().trim(), "READY=1");
    assert!(ask(&address, "GET /ready HTTP/1.1", "").starts_with("HTTP/1.1 200"));
    send(server.id(), Signal::TERM);
    assert_eq!(state().trim(), "STOPPING=1");
    assert!(ended(server).status.success());
}

#[test]
fn a_server_whose_runtime_gives_up_ends_with_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = command(&["serve", "--listen", "0"], folder.path());
    server.env("ELPIS_RUNTIME_ISOLATION", "process");
    server.env("ELPIS_RUNTIME_RESTART_MAX", "0");
    let mut server = server.stderr(Stdio::piped()).spawn().unwrap();
    greeted(&mut server);
    let worker = within("the worker", || children(server.id()).first().copied());
    send(worker, Signal::KILL);
    let ended = ended(server);
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("the runtime is stopped"), "{told}");
}
