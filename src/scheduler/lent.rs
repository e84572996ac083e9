//! Values that are lent for a while and that others may take meanwhile.

use crate::sync::{Mutex, lock};

/// Holds the values that their owner lends. Values that nobody takes return to the owner.
#[derive(Debug)]
pub(crate) struct Lent<T>(Mutex<Vec<T>>);

impl<T> Default for Lent<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Lent<T> {
    /// Lends the values until the guard is dropped, which returns those that nobody took.
    pub fn lend<'a>(&'a self, values: &'a mut Vec<T>) -> LentGuard<'a, T> {
        *lock(&self.0) = std::mem::take(values);
        LentGuard { lent: self, values }
    }

    /// Takes the values that are lent at the moment.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// Returns the values when it is dropped.
pub(crate) struct LentGuard<'a, T> {
    lent: &'a Lent<T>,
    values: &'a mut Vec<T>,
}

impl<T> Drop for LentGuard<'_, T> {
    fn drop(&mut self) {
        *self.values = self.lent.take();
    }
}
