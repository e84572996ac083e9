//! Asks the store beside the thread that writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::inference::{Conversation, SessionId};
use crate::store::{StateStore, StoreError, StoredSession};

/// Longest time that anybody waits for the store's answer.
pub(super) const MAX_PATIENCE: Duration = Duration::from_secs(30);

/// Most that read from the store at once, so that one that hangs does not take all threads.
const MAX_READERS: usize = 32;

/// Reads from the store.
#[derive(Debug)]
pub(super) struct Reader {
    /// Given up when the runtime closes, so that others may open it.
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

    /// Gives the store up.
    pub(super) fn close(&self) {
        drop(self.lock().take());
    }

    /// Reads a session, if the store has it; the outer `None` says that there is no store.
    ///
    /// # Errors
    /// What the store says; [`StoreError::Slow`] if it does not answer.
    pub(super) async fn load(
        &self,
        session: SessionId,
    ) -> Result<Option<Option<StoredSession>>, StoreError> {
        self.ask(move |store| store.load(&session)).await
    }

    /// Reads a conversation, if there is a store and it has it.
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

    /// Writes a conversation, or removes it; `false` if there is no store.
    ///
    /// # Errors
    /// As [`load`](Self::load); with [`StoreError::Slow`] it may be written later.
    pub(super) async fn keep_conversation(
        &self,
        session: SessionId,
        conversation: Option<Conversation>,
    ) -> Result<bool, StoreError> {
        let keep =
            move |store: &dyn StateStore| store.keep_conversation(&session, conversation.as_ref());
        Ok(self.ask(keep).await?.is_some())
    }

    /// Names the sessions of the store; without one, none.
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

    /// Asks the store away from the threads that serve events; `None` if there is none.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn StateStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(store) = self.lock().clone() else {
            return Ok(None);
        };
        let readers = Arc::clone(&self.readers);
        let asked = async move {
            // It is never closed.
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

/// A failure that is nobody's but the runtime's.
pub(super) fn failed(reason: String) -> StoreError {
    StoreError::Failed {
        file: "of the runtime".to_owned(),
        reason,
    }
}

/// The store has not answered in time.
pub(super) fn slow_after(limit: Duration) -> StoreError {
    StoreError::Slow {
        seconds: limit.as_secs(),
    }
}
