//! Where feelings outlive the process.

use std::sync::Arc;

pub use elpis_store::*;

use crate::settings::StoreSettings;

/// Opens the store that the settings name; `None` if they name none.
///
/// # Errors
/// [`StoreError`] if it cannot be opened, or if this build lacks it.
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
