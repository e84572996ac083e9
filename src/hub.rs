//! Locates the configured model, on disk or on the Hugging Face Hub (feature `hub`).

use std::path::PathBuf;
use std::sync::Arc;

use elpis_backend::ModelSource;
pub use elpis_hub::*;

/// Returns the local path of a model, downloading it if the source is on the Hub; `None` for the
/// bundled model.
///
/// Blocks until the model is available. It may be called from asynchronous code but occupies its
/// thread.
///
/// # Errors
/// [`HubError`] for a source on the Hub; none for a source on disk.
pub fn locate(
    source: &ModelSource,
    format: ModelFormat,
    progress: Arc<dyn DownloadProgress>,
) -> Result<Option<PathBuf>, HubError> {
    match source {
        ModelSource::Bundled => Ok(None),
        ModelSource::File(path) | ModelSource::Folder(path) => Ok(Some(path.clone())),
        ModelSource::Hub { repo, file } => fetch(repo, file.as_deref(), format, progress).map(Some),
    }
}
