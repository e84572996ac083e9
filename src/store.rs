//! Stores for sessions that outlive the process.

use std::sync::Arc;

pub use elpis_store::*;

use crate::settings::StoreSettings;

/// Opens the configured store; `None` if none is configured.
///
/// # Errors
/// [`StoreError`] if it cannot be opened or is not part of this build.
pub fn open(settings: &StoreSettings) -> Result<Option<Arc<dyn StateStore>>, StoreError> {
    let Some(path) = &settings.path else {
        return Ok(None);
    };
    #[cfg(feature = "sqlite")]
    return Ok(Some(Arc::new(SqliteStore::open(path, settings)?)));
    #[cfg(not(feature = "sqlite"))]
    Err(StoreError::NotBuilt {
        file: path.display().to_string(),
    })
}
