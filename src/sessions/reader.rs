//! Reads from the store, in parallel to the writer thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::inference::{Conversation, SessionId};
use crate::store::{StateStore, StoreError, StoredSession};

/// Maximum time to wait for an answer of the store.
pub(super) const MAX_PATIENCE: Duration = Duration::from_secs(30);

/// Maximum number of concurrent reads, so that a store that hangs does not occupy all threads.
const MAX_READERS: usize = 32;

/// Reads from the store.
#[derive(Debug)]
pub(super) struct Reader {
    /// Released when the runtime closes, so that the store can be opened again.
    store: Mutex<Option<Arc<dyn StateStore>>>,
    readers: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(store: Option<Arc<dyn StateStore>>) -> Self {
        Self {
            store: Mutex::new(store),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Releases the store.
    pub(super) fn close(&self) {
        drop(self.lock().take());
    }

    /// Reads a session; the inner `None` means that the store does not have it, the outer one that
    /// there is no store.
    ///
    /// # Errors
    /// The store's error, or [`StoreError::Slow`] if it does not answer.
    pub(super) async fn load(
        &self,
        session: SessionId,
    ) -> Result<Option<Option<StoredSession>>, StoreError> {
        self.ask(move |store| store.load(&session)).await
    }

    /// Reads a conversation; `None` if there is no store or it has no such conversation.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) async fn conversation(
        &self,
        session: SessionId,
    ) -> Result<Option<Conversation>, StoreError> {
        let kept = self.ask(move |store| store.conversation(&session)).await?;
        Ok(kept.flatten())
    }

    /// Writes a conversation or removes it. Returns `false` if there is no store.
    ///
    /// # Errors
    /// As [`load`](Self::load). After [`StoreError::Slow`] the write may still happen.
    pub(super) async fn keep_conversation(
        &self,
        session: SessionId,
        conversation: Option<Conversation>,
    ) -> Result<bool, StoreError> {
        let keep =
            move |store: &dyn StateStore| store.keep_conversation(&session, conversation.as_ref());
        Ok(self.ask(keep).await?.is_some())
    }

    /// Lists the sessions of the store; none without a store.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) async fn names(&self) -> Result<Vec<SessionId>, StoreError> {
        let names = self.ask(|store| store.sessions()).await?;
        Ok(names.unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn StateStore>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store on a blocking thread; `None` if there is no store.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn StateStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(store) = self.lock().clone() else {
            return Ok(None);
        };
        let readers = Arc::clone(&self.readers);
        let asked = async move {
            // The semaphore is never closed.
            let reader = readers.acquire_owned().await;
            let work = move || {
                let _reader = reader;
                work(store.as_ref())
            };
            tokio::task::spawn_blocking(work).await
        };
        match tokio::time::timeout(MAX_PATIENCE, asked).await {
            Ok(Ok(result)) => result.map(Some),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(slow_after(MAX_PATIENCE)),
        }
    }
}

/// An internal failure of the runtime.
pub(super) fn failed(reason: String) -> StoreError {
    StoreError::Failed {
        file: "of the runtime".to_owned(),
        reason,
    }
}

/// The error of a store that has not answered in time.
pub(super) fn slow_after(limit: Duration) -> StoreError {
    StoreError::Slow {
        seconds: limit.as_secs(),
    }
}
