//! Resolves the configured model, downloads it from the hub if necessary, and loads its backend.

use std::sync::Arc;

use crate::actors::hardware::HardwareReport;
use crate::backend::{self, Backend};
use crate::error::Error;
use crate::hub::{self, DownloadProgress, ModelFormat, NoProgress};
use crate::settings::{BackendKind, ModelSource, Settings};

/// Loads the configured model without a runtime.
///
/// # Errors
/// As [`ElpisBuilder::start`](super::ElpisBuilder::start).
///
/// # Cancel safety
/// Not cancel safe: a model that is being loaded is loaded completely before it is dropped.
pub async fn create_backend(settings: &Settings) -> Result<Box<dyn Backend>, Error> {
    load_backend(settings, Arc::new(NoProgress)).await
}

/// As [`create_backend`], and reports the progress of a download.
#[doc(hidden)]
pub async fn load_backend(
    settings: &Settings,
    progress: Arc<dyn DownloadProgress>,
) -> Result<Box<dyn Backend>, Error> {
    settings.validate()?;
    let hardware = HardwareReport::take(&settings.model)?;
    let source = resolve(settings, progress).await?;
    let options = backend::load_options(settings, source, hardware.selected_devices());
    let loaded = tokio::task::spawn_blocking(move || backend::create_backend(&options)).await;
    Ok(loaded.map_err(|error| Error::failed("the loading of the model", error))??)
}

/// Resolves the model, downloading it if it is a model of the hub.
pub(super) async fn resolve(
    settings: &Settings,
    progress: Arc<dyn DownloadProgress>,
) -> Result<ModelSource, Error> {
    let source = settings.model_source()?;
    if !matches!(source, ModelSource::Hub { .. }) {
        return Ok(source);
    }
    let format = match settings.model.backend {
        BackendKind::Transformers => ModelFormat::Transformers,
        BackendKind::LlamaCpp => ModelFormat::Gguf,
    };
    let located = tokio::task::spawn_blocking(move || hub::locate(&source, format, progress))
        .await
        .map_err(|error| Error::failed("the download", error))??;
    Ok(match located {
        Some(path) if path.is_dir() => ModelSource::Folder(path),
        Some(path) => ModelSource::File(path),
        None => ModelSource::Bundled,
    })
}
