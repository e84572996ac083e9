//! How a runtime comes by its backend.

use std::fmt::{self, Debug};
use std::sync::Arc;

use elpis_backend::{Backend, BackendError, LoadOptions};

use super::create_backend;

/// How a runtime comes by its backend, again after every restart of the engine.
#[derive(Clone)]
pub struct BackendFactory {
    make: Arc<dyn Fn(&LoadOptions) -> FactoryResult + Send + Sync>,
    loads_settings: bool,
}

type FactoryResult = Result<Box<dyn Backend>, BackendError>;

impl BackendFactory {
    /// Makes backends with a function of one's own, which decides by itself
    /// where they run ([`LoadOptions::worker`] says what the settings ask for).
    pub fn new(make: impl Fn(&LoadOptions) -> FactoryResult + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            loads_settings: false,
        }
    }

    /// Does something with every backend that is made, such as putting
    /// another around it.
    #[must_use]
    pub fn map(
        self,
        wrap: impl Fn(Box<dyn Backend>) -> Box<dyn Backend> + Send + Sync + 'static,
    ) -> Self {
        let make = self.make;
        Self {
            make: Arc::new(move |options| make(options).map(&wrap)),
            loads_settings: self.loads_settings,
        }
    }

    /// Whether the backend is the one that the settings name.
    pub fn loads_settings(&self) -> bool {
        self.loads_settings
    }

    /// Makes a backend.
    ///
    /// # Errors
    /// Why the model could not be loaded.
    pub fn create(&self, options: &LoadOptions) -> FactoryResult {
        (self.make)(options)
    }
}

impl Default for BackendFactory {
    /// Loads what the settings name.
    fn default() -> Self {
        Self {
            loads_settings: true,
            ..Self::new(create_backend)
        }
    }
}

impl Debug for BackendFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendFactory")
    }
}
