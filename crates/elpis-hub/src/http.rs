//! HTTP requests to the Hub: time limits, redirects, retries, and which hosts get the token.

mod failure;
mod retry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LINK,
    LOCATION, RANGE,
};
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::address::Address;
use super::environment::Token;
use super::protocol::{self, Commit, ContentId, RemoteFile};
use super::{DownloadProgress, HubError};
pub(super) use failure::Failed;
pub(super) use retry::{Patience, Waits};

/// Maximum number of redirects of a request.
const MAX_REDIRECTS: usize = 10;

/// Time limit of a listing, as a multiple of the limit on the Hub's silence.
const LISTING_SILENCES: u32 = 10;

/// The characters that are not percent-encoded in a path segment.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Ends requests and waits early when it is dropped.
pub(super) struct Stopper {
    agent: Agent,
    _open: mpsc::Sender<()>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
    }
}

/// The metadata of a file, from the headers of a response.
pub(super) struct Metadata {
    pub(super) commit: Commit,
    pub(super) content: Option<ContentId>,
}

/// Requests about one repository.
pub(super) struct Http {
    agent: Agent,
    hub: Address,
    endpoint: String,
    token: Option<Token>,
    repo: String,
    pub(super) patience: Patience,
    pub(super) progress: Arc<dyn DownloadProgress>,
    stop: mpsc::Receiver<()>,
}

impl Http {
    /// Creates a client that makes requests until the stopper is dropped.
    ///
    /// # Errors
    /// [`HubError::BadEndpoint`] if the endpoint is not a valid address.
    pub(super) fn new(
        endpoint: &str,
        token: Option<Token>,
        repo: &str,
        patience: Patience,
        progress: Arc<dyn DownloadProgress>,
    ) -> Result<(Self, Stopper), HubError> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let Some(hub) = Address::parse(&endpoint) else {
            return Err(HubError::BadEndpoint { endpoint });
        };
        let silence = Some(patience.silence);
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let agent: Agent = Agent::config_builder()
            .tls_config(tls.build())
            .user_agent(concat!("elpis/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // `send` follows redirects, because the token must not be sent to other hosts.
            .max_redirects(0)
            .timeout_resolve(silence)
            .timeout_connect(silence)
            .timeout_send_request(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .build()
            .into();
        let (open, stop) = mpsc::channel();
        let stopper = Stopper {
            agent: agent.clone(),
            _open: open,
        };
        let http = Self {
            agent,
            hub,
            endpoint,
            token,
            repo: repo.to_owned(),
            patience,
            progress,
            stop,
        };
        Ok((http, stopper))
    }

    /// Lists the files of the main branch.
    ///
    /// # Errors
    /// Those of any request, and [`HubError::BadAnswer`] if the listing is malformed or too long.
    pub(super) fn list(&self) -> Result<Vec<RemoteFile>, HubError> {
        let first = format!(
            "{}/api/models/{}/tree/main?recursive=true",
            self.endpoint, self.repo
        );
        let mut next = Some(self.address(&first)?);
        // If a name is repeated, its first entry is used.
        let mut files = BTreeMap::new();
        let mut pages = 0;
        let limit = self.patience.silence.saturating_mul(LISTING_SILENCES);
        let start = Instant::now();
        while let Some(address) = next {
            pages += 1;
            if start.elapsed() > limit {
                let seconds = limit.as_secs_f64();
                return Err(self.unreachable(format!("its listing takes longer than {seconds} s")));
            }
            let (page, link) = self.repeated(|| self.page(&address))?;
            for file in protocol::page(&page).map_err(|reason| self.bad(reason))? {
                files.entry(file.path.clone()).or_insert(file);
            }
            next = match link {
                None => None,
                Some(link) => Some(address.follow(&link).map_err(|reason| self.bad(reason))?),
            };
            if files.len() > protocol::MAX_FILES || (next.is_some() && pages >= protocol::MAX_PAGES)
            {
                let (files, pages) = (protocol::MAX_FILES, protocol::MAX_PAGES);
                return Err(self.bad(format!(
                    "its listing has more than {files} files or {pages} pages"
                )));
            }
        }
        Ok(files.into_values().collect())
    }

    /// Reads a page of a listing and the link to the next one.
    fn page(&self, address: &Address) -> Result<(Vec<u8>, Option<String>), Failed> {
        let mut answer = self.send(address, Range::All, None)?;
        let link = text(answer.headers(), LINK.as_str()).and_then(protocol::next_page);
        let link = link.map(str::to_owned);
        let limit = protocol::MAX_PAGE_BYTES;
        let body = answer.body_mut().with_config().limit(limit).read_to_vec();
        match body {
            Ok(body) => Ok((body, link)),
            Err(ureq::Error::BodyExceedsLimit(_)) => Err(Failed::Lasting(self.bad(format!(
                "a page of its listing is longer than {limit} bytes"
            )))),
            Err(error) => Err(Failed::Passing(self.broken(&error))),
        }
    }

    /// Requests the metadata of a file.
    ///
    /// # Errors
    /// Those of any request, and [`HubError::BadAnswer`] if the response names no valid commit.
    pub(super) fn metadata(&self, file: &str, revision: &str) -> Result<Metadata, HubError> {
        let address = self.file_address(file, revision)?;
        self.repeated(|| {
            let answer = self.send(&address, Range::Head, Some(file))?;
            let headers = answer.headers();
            let commit = text(headers, "x-repo-commit").and_then(Commit::parse);
            let Some(commit) = commit else {
                return Err(self
                    .bad(format!("it names no valid commit of {file}"))
                    .into());
            };
            let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()));
            Ok(Metadata {
                commit,
                content: etag.and_then(ContentId::from_etag),
            })
        })
    }

    /// Requests a file's content from the byte `from` on. Returns the response and the position at
    /// which its body begins: `from`, or 0 if the server does not support ranges.
    pub(super) fn content(
        &self,
        file: &str,
        revision: &str,
        from: u64,
    ) -> Result<(Response<Body>, u64), Failed> {
        let address = self.file_address(file, revision)?;
        let answer = self.send(&address, Range::From(from), Some(file))?;
        let headers = answer.headers();
        if let Some(encoding) = text(headers, CONTENT_ENCODING.as_str())
            && !encoding.eq_ignore_ascii_case("identity")
        {
            return Err(self.bad(format!("it sends {file} compressed")).into());
        }
        if answer.status() != 206 {
            return Ok((answer, 0));
        }
        let start = text(headers, CONTENT_RANGE.as_str()).and_then(protocol::range_start);
        if start == Some(from) {
            Ok((answer, from))
        } else {
            Err(self
                .bad(format!(
                    "it sends a different part of {file} than requested"
                ))
                .into())
        }
    }

    /// Sends a request and follows its redirects.
    fn send(
        &self,
        address: &Address,
        range: Range,
        file: Option<&str>,
    ) -> Result<Response<Body>, Failed> {
        let mut address = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_once(&address, range)?;
            let status = answer.status().as_u16();
            if matches!(status, 200 | 206) {
                return Ok(answer);
            }
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                let code = text(answer.headers(), "x-error-code");
                return Err(self.status(status, code, file));
            }
            let target = text(answer.headers(), LOCATION.as_str());
            let target = target.ok_or_else(|| self.bad("it redirects without a target"))?;
            let next = address.follow(target).map_err(|reason| self.bad(reason))?;
            // The Hub itself has the metadata. The host that stores the content is not asked.
            let leaves =
                !next.is_same_origin(&self.hub) || answer.headers().contains_key("x-repo-commit");
            if range == Range::Head && leaves {
                return Ok(answer);
            }
            address = next;
        }
        Err(self
            .bad(format!("it redirects more than {MAX_REDIRECTS} times"))
            .into())
    }

    fn send_once(&self, address: &Address, range: Range) -> Result<Response<Body>, Failed> {
        let uri = address.uri().clone();
        let mut request = match range {
            Range::Head => self.agent.head(uri),
            Range::All | Range::From(_) => self.agent.get(uri),
        };
        // With compression, sizes and ranges would not be those of the file.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Range::From(from @ 1..) = range {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = &self.token
            && address.is_same_origin(&self.hub)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = match range {
            // Listings are short, so the whole body has a time limit.
            Range::All => request
                .config()
                .timeout_recv_body(Some(self.patience.silence))
                .build(),
            Range::Head | Range::From(_) => request,
        };
        request
            .call()
            .map_err(|error| Failed::Passing(self.broken(&error)))
    }

    fn address(&self, text: &str) -> Result<Address, HubError> {
        Address::parse(text).ok_or_else(|| HubError::BadEndpoint {
            endpoint: self.endpoint.clone(),
        })
    }

    fn file_address(&self, file: &str, revision: &str) -> Result<Address, HubError> {
        let segments = file
            .split('/')
            .map(|part| utf8_percent_encode(part, PLAIN).to_string());
        let file = segments.collect::<Vec<_>>().join("/");
        self.address(&format!(
            "{}/{}/resolve/{revision}/{file}",
            self.endpoint, self.repo
        ))
    }
}

/// The part of a resource that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// Only the headers.
    Head,
    /// A short text as a whole.
    All,
    /// A file from a byte on.
    From(u64),
}

/// The content length that a response announces, in bytes.
pub(super) fn announced(answer: &Response<Body>) -> Option<u64> {
    text(answer.headers(), CONTENT_LENGTH.as_str())?
        .parse()
        .ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
