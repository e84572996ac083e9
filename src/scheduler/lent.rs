//! Values that are lent for a while, and may be taken meanwhile.

use crate::sync::{Mutex, lock};

/// Holds what its owner lends. Whatever nobody takes comes back to the owner.
#[derive(Debug)]
pub(crate) struct Lent<T>(Mutex<Vec<T>>);

impl<T> Default for Lent<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Lent<T> {
    /// Lends the values until the guard is dropped; they are then back, as far as nobody took them.
    pub fn lend<'a>(&'a self, values: &'a mut Vec<T>) -> LentGuard<'a, T> {
        *lock(&self.0) = std::mem::take(values);
        LentGuard { lent: self, values }
    }

    /// Takes what is lent at the moment.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// Gives the values back when it is dropped.
pub(crate) struct LentGuard<'a, T> {
    lent: &'a Lent<T>,
    values: &'a mut Vec<T>,
}

impl<T> Drop for LentGuard<'_, T> {
    fn drop(&mut self) {
        *self.values = self.lent.take();
    }
}
