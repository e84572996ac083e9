//! Runs the model: the interface of [`elpis_backend`], the backends of this build, and the choice
//! among them by the settings.

mod factory;

pub use elpis_backend::*;
pub use factory::BackendFactory;

use crate::settings::{Isolation, Settings};

/// The backends of this build.
pub(crate) const LOADERS: &[Loader] = &[
    #[cfg(feature = "llama-cpp")]
    elpis_llama_cpp::LOADER,
    #[cfg(feature = "transformers")]
    elpis_transformers::LOADER,
];

/// Lists the backends of this build.
pub fn available_backends() -> &'static [BackendKind] {
    &[
        #[cfg(feature = "llama-cpp")]
        BackendKind::LlamaCpp,
        #[cfg(feature = "transformers")]
        BackendKind::Transformers,
    ]
}

/// Lists the devices that the linked backends report.
pub fn devices() -> Vec<Device> {
    LOADERS
        .iter()
        .flat_map(|loader| (loader.devices)())
        .collect()
}

/// Lists the devices that one backend reports; none if it is not linked.
pub fn devices_of(backend: BackendKind) -> Vec<Device> {
    let loader = LOADERS.iter().find(|loader| loader.kind == backend);
    loader.map(|loader| (loader.devices)()).unwrap_or_default()
}

/// Returns the options for loading a model under these settings.
pub fn load_options(settings: &Settings, source: ModelSource, devices: Vec<Device>) -> LoadOptions {
    let in_worker = settings.runtime.isolation == Isolation::Process;
    // The other backend has no native code that reads files, and the bundled model was tried at
    // build time.
    let is_tried = settings.model.trust == ModelTrust::Isolate
        && settings.model.backend == BackendKind::LlamaCpp
        && matches!(source, ModelSource::File(_));
    LoadOptions::new(&settings.model, source)
        .n_sequences(settings.runtime.n_parallel as u32)
        .devices(devices)
        .worker((in_worker || is_tried).then(|| WorkerOptions {
            program: settings.runtime.worker.clone(),
            bound: settings.runtime.watchdog,
            trial: !in_worker,
        }))
}

/// Loads a model with the configured backend, in this process or in a worker process.
///
/// # Errors
/// [`BackendError::NotBuilt`] if this build lacks the backend, [`BackendError::WorkerUnusable`] if
/// the process cannot be started, [`BackendError::TrialFailed`] if it did not survive the trial of
/// the model, otherwise the error of loading the model.
pub fn create_backend(options: &LoadOptions) -> Result<Box<dyn Backend>, BackendError> {
    match &options.worker {
        None => load_with(LOADERS, options),
        Some(worker) if worker.trial => {
            elpis_worker::try_load(options, worker)?;
            load_with(LOADERS, options)
        }
        Some(worker) => elpis_worker::load(options, worker),
    }
}
