//! Places for sessions in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fixed number of places for sessions in memory.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    taken: Arc<AtomicUsize>,
    loading: Arc<AtomicUsize>,
}

/// A place of a session in memory. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

/// Marks a place whose session is being loaded.
#[derive(Debug)]
pub(super) struct Loading(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
            loading: Arc::default(),
        }
    }

    /// Number of places.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Sessions in memory.
    pub(super) fn resident(&self) -> usize {
        let taken = self.taken.load(Ordering::Acquire);
        taken.saturating_sub(self.loading())
    }

    /// Sessions that are being loaded.
    pub(super) fn loading(&self) -> usize {
        self.loading.load(Ordering::Acquire)
    }

    /// Takes a place, if one is free.
    pub(super) fn take(&self) -> Option<Place> {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        let order = Ordering::AcqRel;
        let taken = self.taken.fetch_update(order, Ordering::Acquire, more);
        taken.is_ok().then(|| Place(Arc::clone(&self.taken)))
    }

    /// Marks a place whose session is being loaded.
    pub(super) fn begin_loading(&self) -> Loading {
        self.loading.fetch_add(1, Ordering::AcqRel);
        Loading(Arc::clone(&self.loading))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
