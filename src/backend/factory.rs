//! Creates the backend of a runtime.

use std::fmt::{self, Debug};
use std::sync::Arc;

use elpis_backend::{Backend, BackendError, LoadOptions};

use super::create_backend;

/// Creates the backend of a runtime, at the start and after every restart of the engine.
#[derive(Clone)]
pub struct BackendFactory {
    make: Arc<dyn Fn(&LoadOptions) -> FactoryResult + Send + Sync>,
    loads_settings: bool,
}

type FactoryResult = Result<Box<dyn Backend>, BackendError>;

impl BackendFactory {
    /// Creates backends with a custom function, which decides where they run
    /// ([`LoadOptions::worker`] holds the settings' choice).
    pub fn new(make: impl Fn(&LoadOptions) -> FactoryResult + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            loads_settings: false,
        }
    }

    /// Applies a function to every backend that is created, for example to wrap it in another.
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

    /// Whether the backend is the configured one.
    pub fn loads_settings(&self) -> bool {
        self.loads_settings
    }

    /// Creates a backend.
    ///
    /// # Errors
    /// The error of loading the model.
    pub fn create(&self, options: &LoadOptions) -> FactoryResult {
        (self.make)(options)
    }
}

impl Default for BackendFactory {
    /// Loads the configured backend.
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
