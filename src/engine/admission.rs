//! How many generations a runtime takes at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::EngineError;

/// The right to have one generation running or waiting; given back on drop.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// Gives out a bounded number of [`Permit`]s.
#[derive(Debug)]
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    limit: usize,
}

impl Admission {
    /// Makes an admission for `limit` generations, at least 1.
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// Gives out a permit.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] if all are in use.
    pub fn admit(&self) -> Result<Permit, EngineError> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(EngineError::Overloaded { limit: self.limit }),
        }
    }

    /// Waits until every permit was given back.
    pub async fn drained(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // The semaphore is never closed; the permits go back at once.
        let _ = self.permits.acquire_many(all).await;
    }
}
