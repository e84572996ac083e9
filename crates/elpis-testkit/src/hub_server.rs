//! A server on loopback with the routes of the Hugging Face Hub that a download uses.
//!
//! Large files are redirected to another host name, as on the Hub. Faults can be injected.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The commit that every file comes from.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The files of `org/name`.
#[derive(Default)]
pub struct Repo(BTreeMap<String, (Vec<u8>, bool)>);

impl Repo {
    /// A repository without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that is kept in git.
    #[must_use]
    pub fn small(mut self, path: &str, content: &[u8]) -> Self {
        self.0.insert(path.to_owned(), (content.to_vec(), false));
        self
    }

    /// Adds a file that is kept by its SHA-256 on another host.
    #[must_use]
    pub fn large(mut self, path: &str, content: &[u8]) -> Self {
        self.0.insert(path.to_owned(), (content.to_vec(), true));
        self
    }
}

/// The injected faults.
#[derive(Default)]
pub struct Faults {
    /// Number of bytes after which each of the next downloads is cut off.
    pub cut_after: Vec<usize>,
    /// Number of bytes after which a download stalls until the server stops.
    pub stall_after: Option<usize>,
    /// Whether ranges are ignored.
    pub no_ranges: bool,
    /// Whether the first byte of each download is wrong.
    pub corrupt: bool,
    /// The HTTP status of downloads, instead of their content.
    pub download_status: Option<u16>,
    /// HTTP status and error code of the listing.
    pub listing_status: Option<(u16, &'static str)>,
    /// HTTP status and error code of file look-ups.
    pub resolve_status: Option<(u16, &'static str)>,
    /// Value of `ETag` and `X-Linked-ETag`.
    pub etag: Option<String>,
    /// Value of `X-Repo-Commit`.
    pub commit: Option<String>,
    /// Body of the listing.
    pub listing: Option<String>,
    /// Address of the listing's next page, in a `Link` header.
    pub next_page: Option<String>,
    /// Target of a file's redirect.
    pub location: Option<String>,
    /// Number of bytes that every download has beyond the listed ones.
    pub extra: usize,
    /// Whether downloads have no `Content-Length`.
    pub no_length: bool,
    /// Delay of each byte of a download or listing.
    pub dribble: Option<Duration>,
    /// Value of `Content-Encoding` of downloads.
    pub encoding: Option<&'static str>,
}

/// A request that the server got.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The first requested byte.
    pub range: Option<usize>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

struct State {
    repo: Repo,
    address: SocketAddr,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

/// The server, which stops when it is dropped.
pub struct HubServer {
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl HubServer {
    /// Starts a server on a free port of loopback.
    pub fn start(repo: Repo) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            repo,
            address: listener.local_addr().unwrap(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                // A client that hangs up early is not this server's failure.
                std::thread::spawn(move || drop(state.answer(&stream)));
            }
        });
        Self {
            state,
            thread: Mutex::new(Some(thread)),
        }
    }

    /// The URL of the server.
    pub fn address(&self) -> String {
        format!("http://{}", self.state.address)
    }

    /// Changes the injected faults.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.faults.lock().unwrap());
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Returns the ranges of all downloads of a path, in order.
    pub fn ranges(&self, path: &str) -> Vec<Option<usize>> {
        let requests = self.requests().into_iter();
        requests
            .filter(|request| request.method == "GET" && request.path == path)
            .map(|request| request.range)
            .collect()
    }

    /// Number of downloads of a path.
    pub fn bodies_sent(&self, path: &str) -> usize {
        self.ranges(path).len()
    }

    /// Stops listening; further connections are refused.
    pub fn stop(&self) {
        let Some(thread) = self.thread.lock().unwrap().take() else {
            return;
        };
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.state.address);
        thread.join().unwrap();
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let start = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut words = start.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = target.split('?').next().unwrap_or("").to_owned();
        let mut request = Request {
            method: method.to_owned(),
            path,
            range: None,
            authorization: None,
        };
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => request.authorization = Some(value.to_owned()),
                "range" => {
                    let first = value.trim_start_matches("bytes=").split('-').next();
                    request.range = first.and_then(|first| first.parse().ok());
                }
                _ => {}
            }
        }
        self.requests.lock().unwrap().push(request.clone());
        let mut faults = self.faults.lock().unwrap();
        let reply = self.reply(&request, &mut faults);
        let stall = faults
            .stall_after
            .filter(|_| request.path.starts_with("/cdn/"));
        let dribble = faults
            .dribble
            .filter(|_| request.method == "GET" && !request.path.contains("/resolve/"));
        drop(faults);
        let mut stream = stream;
        stream.write_all(reply.head.as_bytes())?;
        if request.method != "HEAD" {
            if let Some(count) = stall {
                stream.write_all(&reply.body[..count])?;
                stream.flush()?;
                while !self.stopped.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
            let Some(pause) = dribble else {
                stream.write_all(&reply.body)?;
                return stream.flush();
            };
            for byte in reply.body {
                stream.write_all(&[byte])?;
                std::thread::sleep(pause);
            }
        }
        stream.flush()
    }

    fn reply(&self, request: &Request, faults: &mut Faults) -> Reply {
        let path = request.path.as_str();
        if path == "/api/models/org/name/tree/main" {
            return if let Some((status, code)) = faults.listing_status {
                Reply::error(status, code)
            } else {
                let listing = faults.listing.clone().unwrap_or_else(|| self.listing());
                let next = faults.next_page.as_ref();
                let link = next.map(|next| format!("Link: <{next}>; rel=\"next\""));
                let headers: Vec<&str> = link.iter().map(String::as_str).collect();
                Reply::new(200, &headers, listing.into_bytes())
            };
        }
        if let Some(file) = path.strip_prefix("/cdn/") {
            return self.download(file, request, faults);
        }
        let file = ["main", COMMIT]
            .iter()
            .find_map(|revision| path.strip_prefix(&format!("/org/name/resolve/{revision}/")));
        let Some((file, (content, large))) =
            file.and_then(|file| Some((file, self.repo.0.get(file)?)))
        else {
            return Reply::error(
                404,
                if file.is_some() {
                    "EntryNotFound"
                } else {
                    "RepoNotFound"
                },
            );
        };
        if let Some((status, code)) = faults.resolve_status {
            return Reply::error(status, code);
        }
        let commit = faults.commit.as_deref().unwrap_or(COMMIT);
        let commit = format!("X-Repo-Commit: {commit}");
        let etag = faults.etag.clone().unwrap_or_else(|| {
            let id = if *large { sha256 } else { git_id };
            format!("\"{}\"", id(content))
        });
        if !large && faults.location.is_none() {
            let mut content = content.clone();
            content.extend(vec![b'x'; faults.extra]);
            return Reply::new(200, &[&commit, &format!("ETag: {etag}")], content);
        }
        let elsewhere = format!("http://localhost:{}/cdn/{file}", self.address.port());
        let location = faults.location.as_ref().unwrap_or(&elsewhere);
        let headers = [
            commit,
            format!("Location: {location}"),
            format!("X-Linked-ETag: {etag}"),
            format!("X-Linked-Size: {}", content.len()),
            "ETag: \"of-the-redirect\"".to_owned(),
        ];
        Reply::new(
            302,
            &headers.each_ref().map(String::as_str),
            b"Found".to_vec(),
        )
    }

    fn download(&self, file: &str, request: &Request, faults: &mut Faults) -> Reply {
        let Some((content, _)) = self.repo.0.get(file) else {
            return Reply::error(404, "");
        };
        if let Some(status) = faults.download_status
            && request.method == "GET"
        {
            return Reply::error(status, "");
        }
        let mut content = content.clone();
        if faults.corrupt {
            content[0] ^= 1;
        }
        content.extend(vec![b'x'; faults.extra]);
        let first = request
            .range
            .filter(|first| !faults.no_ranges && *first < content.len());
        let mut reply = match first {
            None => Reply::new(200, &[], content),
            Some(first) => {
                let range = format!(
                    "Content-Range: bytes {first}-{}/{}",
                    content.len() - 1,
                    content.len()
                );
                Reply::new(206, &[&range], content.split_off(first))
            }
        };
        if faults.no_length {
            reply.head = reply.head.replace("Content-Length", "X-Length");
        }
        if let Some(encoding) = faults.encoding {
            let header = format!("\r\nContent-Encoding: {encoding}\r\n\r\n");
            reply.head = reply.head.replace("\r\n\r\n", &header);
        }
        if request.method == "GET" && !faults.cut_after.is_empty() {
            reply.body.truncate(faults.cut_after.remove(0));
        }
        reply
    }

    fn listing(&self) -> String {
        let entry = |(path, (content, large)): (&String, &(Vec<u8>, bool))| {
            let (size, id) = (content.len(), git_id(content));
            let lfs = format!(
                ",\"lfs\":{{\"oid\":\"{}\",\"size\":{size},\"pointerSize\":134}}",
                sha256(content)
            );
            let lfs = if *large { lfs.as_str() } else { "" };
            format!(
                "{{\"type\":\"file\",\"oid\":\"{id}\",\"size\":{size},\"path\":\"{path}\"{lfs}}}"
            )
        };
        let folder = "{\"type\":\"directory\",\"oid\":\"00\",\"size\":0,\"path\":\"q\"}".to_owned();
        let entries: Vec<String> = std::iter::once(folder)
            .chain(self.repo.0.iter().map(entry))
            .collect();
        format!("[{}]", entries.join(","))
    }
}

struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, headers: &[&str], body: Vec<u8>) -> Self {
        let mut head = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n",
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        Self { head, body }
    }

    fn error(status: u16, code: &str) -> Self {
        let code = format!("X-Error-Code: {code}");
        Self::new(status, &[&code], b"{\"error\":\"no\"}".to_vec())
    }
}

fn sha256(content: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap();
    Sha256::digest(content)
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A git-like id of forty digits. Its value does not matter.
fn git_id(content: &[u8]) -> String {
    sha256(content)[..40].to_owned()
}
