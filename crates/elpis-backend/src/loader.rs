//! Registration of backends.

use super::{Backend, BackendError, BackendKind, Device, LoadOptions};

/// A kind of backend as a program registers it: its functions to load a model and to list devices.
#[derive(Debug, Clone, Copy)]
pub struct Loader {
    /// Its name in the settings.
    pub kind: BackendKind,
    /// Loads a model in this process.
    pub load: fn(&LoadOptions) -> Result<Box<dyn Backend>, BackendError>,
    /// Lists the devices that its native library reports.
    pub devices: fn() -> Vec<Device>,
}

/// Loads a model in this process with the loader of its kind.
///
/// # Errors
/// [`BackendError::NotBuilt`] if there is none, otherwise the error of loading the model.
pub fn load_with(
    loaders: &[Loader],
    options: &LoadOptions,
) -> Result<Box<dyn Backend>, BackendError> {
    let kind = options.model.backend;
    match loaders.iter().find(|loader| loader.kind == kind) {
        Some(loader) => (loader.load)(options),
        None => Err(BackendError::NotBuilt {
            backend: kind,
            built: names(loaders),
        }),
    }
}

fn names(loaders: &[Loader]) -> String {
    if loaders.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = loaders.iter().map(|loader| loader.kind.as_str()).collect();
    names.join(", ")
}
