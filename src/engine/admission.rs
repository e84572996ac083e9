//! Bounds the number of generations that a runtime accepts at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::EngineError;

/// The right to have one generation running or waiting. Dropping it releases the right.
#[derive(Debug)]
pub struct Permit {
    place: OwnedSemaphorePermit,
    /// Counted for as long as the permit belongs to a generation.
    _counted: Option<Counted>,
}

/// A generation that runs or waits.
#[derive(Debug)]
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(generations: &Arc<watch::Sender<usize>>) -> Self {
        generations.send_modify(|count| *count += 1);
        Self(Arc::clone(generations))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Hands out a bounded number of [`Permit`]s.
#[derive(Debug)]
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    limit: usize,
    /// Number of generations that run or wait.
    generations: Arc<watch::Sender<usize>>,
}

impl Admission {
    /// Creates an admission for `limit` generations, at least 1.
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            generations: Arc::default(),
        }
    }

    /// Hands out a permit for a generation.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] if all are in use.
    pub fn admit(&self) -> Result<Permit, EngineError> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(place) => Ok(self.counted(place)),
            Err(_) => Err(EngineError::Overloaded { limit: self.limit }),
        }
    }

    /// Waits for a permit that does not belong to a generation yet. Returns `None` once no permits
    /// are handed out any more.
    pub async fn reserve(&self) -> Option<Permit> {
        let place = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        Some(Permit {
            place,
            _counted: None,
        })
    }

    /// Turns a reserved permit into the permit of a generation. A permit from another runtime is not
    /// valid here, so a new one is requested instead.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn redeem(&self, reserved: Permit) -> Result<Permit, EngineError> {
        if Arc::ptr_eq(reserved.place.semaphore(), &self.permits) {
            return Ok(self.counted(reserved.place));
        }
        self.admit()
    }

    fn counted(&self, place: OwnedSemaphorePermit) -> Permit {
        Permit {
            place,
            _counted: Some(Counted::new(&self.generations)),
        }
    }

    /// Waits until no generation runs or waits. Reserved permits do not count.
    pub async fn drained(&self) {
        let mut generations = self.generations.subscribe();
        // `self` owns the sender, so the channel stays open.
        let _ = generations.wait_for(|count| *count == 0).await;
    }
}
