//! Runtimes with a backend that has faults.

use elpis::backend::{BackendError, BackendFactory};
pub use elpis_testkit::fragile::Site;
use elpis_testkit::fragile::loader;

/// Makes the backends of [`loader`].
pub fn factory(
    fault: impl Fn(Site, u32) -> Result<(), BackendError> + Send + Sync + 'static,
) -> BackendFactory {
    BackendFactory::new(loader(fault))
}
