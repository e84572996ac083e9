//! Settings: their values, origins and errors.
//!
//! A setting has one name in three places: the field in [`Settings`], the key in `elpis.toml`, and
//! the environment variable (`model.temperature` is `ELPIS_MODEL_TEMPERATURE`). [`SettingsLoader`]
//! merges the layers and keeps the [`Origin`] of every value. A single table of [`Field`]s
//! generates the structures, names, ranges, errors and [`reference_markdown`], so no setting lacks
//! documentation.
//!
//! No setting is a secret. Only [`hub`](crate::hub) reads the token for the Hugging Face Hub.

mod emotion;
mod error;
mod file;
mod loader;
mod metrics;
mod model;
mod names;
mod origin;
mod reference;
mod registry;
mod runtime;
mod schema;
mod server;
mod source;
mod store;
mod value;

use crate::emotion::EmotionConfig;

pub use elpis_backend::{BackendKind, FlashAttention, ModelSource, ModelTrust, TorchDtype};
pub use elpis_store::Durability;
pub use error::SettingsError;
pub use loader::{LoadedSettings, SettingsLoader, read_settings};
pub use metrics::{ListenAddress, ListenAddressError, MetricsSettings};
pub use model::{ContextOverflow, ControlTokens, HardwareBackend, ModelSettings};
pub use origin::{Origin, Origins};
pub use reference::reference_markdown;
pub use registry::fields;
pub use runtime::{Isolation, PrefixPolicy, RuntimeSettings};
pub use schema::{Field, Section};
pub use server::{ApiKey, ApiKeyError, Rights, ServerSettings};
pub use source::parse_model_source;
pub use store::StoreSettings;
pub use value::IntoField;

/// All settings. The defaults run the bundled model with the emotional dynamics of the reference
/// implementation.
///
/// ```
/// use elpis::settings::{ModelSettings, Settings};
///
/// let settings = Settings::default().model(ModelSettings::default().path("org/name").temperature(0.5));
/// settings.validate()?;
/// # Ok::<(), elpis::settings::SettingsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// `[model]`: which model, how it is loaded and how it samples.
    pub model: ModelSettings,
    /// `[emotion]`: how the emotional state moves.
    pub emotion: EmotionConfig,
    /// `[runtime]`: actors, queues and time limits.
    pub runtime: RuntimeSettings,
    /// `[store]`: persistence.
    pub store: StoreSettings,
    /// `[metrics]`: metrics and traces.
    pub metrics: MetricsSettings,
    /// `[server]`: the HTTP server.
    pub server: ServerSettings,
}

impl Settings {
    /// Loads the settings of this process: defaults, `elpis.toml` and `.env` in the working directory, environment.
    ///
    /// [`SettingsLoader`] also gives the origin of every value and takes other files.
    ///
    /// # Errors
    /// As [`SettingsLoader::load`].
    pub fn load() -> Result<Self, SettingsError> {
        SettingsLoader::new().load().map(|loaded| loaded.settings)
    }

    /// Checks settings that were created in code.
    ///
    /// # Errors
    /// [`SettingsError`] for every value outside its range and every combination that is not
    /// allowed; several errors are combined as [`SettingsError::Many`].
    pub fn validate(&self) -> Result<(), SettingsError> {
        loader::validate(self)
    }

    /// Returns the model that `model.path` names.
    ///
    /// # Errors
    /// As [`parse_model_source`].
    pub fn model_source(&self) -> Result<ModelSource, SettingsError> {
        match &self.model.path {
            None => Ok(ModelSource::Bundled),
            Some(path) => parse_model_source(path),
        }
    }
}

/// Declares a setter for each section.
macro_rules! setters {
    ($($section:ident: $Section:ty),+ $(,)?) => {
        impl Settings {
            $(
                #[doc = concat!("Replaces the section `", stringify!($section), "`.")]
                #[must_use]
                pub fn $section(mut self, $section: $Section) -> Self {
                    self.$section = $section;
                    self
                }
            )+
        }
    };
}
setters! {
    model: ModelSettings,
    emotion: EmotionConfig,
    runtime: RuntimeSettings,
    store: StoreSettings,
    metrics: MetricsSettings,
    server: ServerSettings,
}
