//! State that all requests share.

use std::sync::Arc;

use elpis::Elpis;
use elpis::settings::ServerSettings;
use tokio::sync::watch;

use crate::access::Access;
use crate::idempotency::SeenRequests;
use crate::response_cache::ResponseCache;

/// State that all requests share. Clones are handles.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    elpis: Elpis,
    access: Access,
    seen_requests: SeenRequests,
    kept: ResponseCache,
    /// Start of the server, in seconds since 1970, for `/v1/models`.
    started: i64,
    draining: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(elpis: Elpis) -> Self {
        let access = Access::new(&elpis.settings().server);
        Self(Arc::new(Inner {
            elpis,
            access,
            seen_requests: SeenRequests::default(),
            kept: ResponseCache::default(),
            started: jiff::Timestamp::now().as_second(),
            draining: watch::Sender::new(false),
        }))
    }

    pub(crate) fn elpis(&self) -> &Elpis {
        &self.0.elpis
    }

    pub(crate) fn settings(&self) -> &ServerSettings {
        &self.0.elpis.settings().server
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(crate) fn seen_requests(&self) -> &SeenRequests {
        &self.0.seen_requests
    }

    pub(crate) fn response_cache(&self) -> &ResponseCache {
        &self.0.kept
    }

    pub(crate) fn started(&self) -> i64 {
        self.0.started
    }

    /// Refuses readiness and ends the streams of events.
    pub(crate) fn drain(&self) {
        self.0.draining.send_replace(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.0.draining.borrow()
    }

    /// Waits until the server drains.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.0.draining.subscribe();
        async move {
            // An error means that the server is gone.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}
