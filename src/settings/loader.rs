//! Merges the layers: defaults, code, `elpis.toml`, `.env`, environment.

mod layers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Settings;
use super::error::SettingsError;
use super::file::{parse_toml, read_dotenv, read_toml};
use super::origin::{Origin, Origins};
use super::registry::fields;
use super::schema::Field;
use layers::Layers;

/// The settings in force and their origins.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadedSettings {
    /// The validated settings.
    pub settings: Settings,
    /// The origin of every value.
    pub origins: Origins,
}

impl LoadedSettings {
    /// Returns every setting with its value as text and its origin, in the order of the reference.
    pub fn rows(&self) -> impl Iterator<Item = (&'static Field, String, &Origin)> {
        fields().filter_map(|field| {
            let origin = self.origins.get(field.full_name)?;
            Some((field, field.show(&self.settings), origin))
        })
    }
}

#[derive(Debug, Clone)]
enum Source {
    /// The file in the searched folder, if it exists.
    Found,
    Given(PathBuf),
    Off,
}

impl Source {
    /// A named file must exist; a file that is searched for need not.
    fn path(&self, directory: &Path, name: &str) -> Option<PathBuf> {
        match self {
            Self::Found => Some(directory.join(name)).filter(|path| path.is_file()),
            Self::Given(path) => Some(path.clone()),
            Self::Off => None,
        }
    }
}

/// Loads settings from their layers, where later layers override earlier ones: defaults, code,
/// `elpis.toml`, `.env`, environment.
///
/// By default it looks for both files in the working directory and reads the process environment,
/// which it never changes. In a variable, an empty text unsets an optional setting, and list items
/// are separated by commas. `.env` may refer to earlier entries and to the process environment as
/// `${NAME}`.
///
/// ```
/// use elpis::settings::SettingsLoader;
///
/// let loaded = SettingsLoader::new()
///     .without_files()
///     .env([("ELPIS_MODEL_TEMPERATURE", "0.4")])
///     .load()?;
/// assert_eq!(loaded.settings.model.temperature, 0.4);
/// # Ok::<(), elpis::settings::SettingsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SettingsLoader {
    base: Settings,
    directory: PathBuf,
    file: Source,
    dotenv: Source,
    env: Option<Vec<(OsString, OsString)>>,
}

impl Default for SettingsLoader {
    fn default() -> Self {
        Self {
            base: Settings::default(),
            directory: PathBuf::from("."),
            file: Source::Found,
            dotenv: Source::Found,
            env: None,
        }
    }
}

impl SettingsLoader {
    /// Creates a loader that looks for both files in the working directory and reads the process environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the layer "code": the settings that files and environment override.
    ///
    /// A field counts as set in code if it differs from the default.
    #[must_use]
    pub fn base(mut self, settings: Settings) -> Self {
        self.base = settings;
        self
    }

    /// Looks for `elpis.toml` and `.env` in this folder instead of the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Reads this settings file, which must exist.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Source::Given(path.into());
        self
    }

    /// Reads this file in the format of `.env`, which must exist.
    #[must_use]
    pub fn dotenv(mut self, path: impl Into<PathBuf>) -> Self {
        self.dotenv = Source::Given(path.into());
        self
    }

    /// Reads neither a settings file nor `.env`.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.file = Source::Off;
        self.dotenv = Source::Off;
        self
    }

    /// Uses these variables instead of the process environment.
    #[must_use]
    pub fn env<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.env = Some(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        );
        self
    }

    /// Merges the layers and checks every value.
    ///
    /// # Errors
    /// [`SettingsError`] for everything that is wrong in any layer, even in a value that a later
    /// layer overrides; several errors are combined as [`SettingsError::Many`].
    pub fn load(self) -> Result<LoadedSettings, SettingsError> {
        let mut layers = Layers::new(self.base);
        if let Some(path) = self.file.path(&self.directory, "elpis.toml") {
            layers.add_toml(&path, read_toml);
        }
        if let Some(path) = self.dotenv.path(&self.directory, ".env") {
            for (variable, value) in read_dotenv(&path, &mut layers.errors) {
                let origin = Origin::Dotenv {
                    path: path.clone(),
                    variable: variable.clone(),
                };
                layers.add_variable(&variable, value, origin, &path.display().to_string());
            }
        }
        layers.add_environment(self.env.unwrap_or_else(|| std::env::vars_os().collect()));
        layers.finish()
    }
}

/// Reads bytes as settings, for fuzzing: a settings file, a NUL byte, then lines `NAME=value` of an environment.
#[doc(hidden)]
pub fn read_settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, environment) = text.split_once('\0').unwrap_or((&text, ""));
    let mut layers = Layers::new(Settings::default());
    layers.add_toml(Path::new("elpis.toml"), |path, errors| {
        parse_toml(file, path, errors)
    });
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    layers.add_environment(
        variables
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    );
    match layers.finish() {
        Ok(loaded) => {
            let valid = loaded.settings.validate();
            assert!(valid.is_ok(), "what was loaded is valid: {valid:?}");
            assert!(loaded.rows().count() > 0);
            // Whether paths exist does not matter; no text may make parsing them panic.
            let _ = loaded.settings.model_source();
        }
        Err(error) => assert!(
            error
                .all()
                .iter()
                .all(|error| !error.to_string().is_empty())
        ),
    }
}

/// Checks settings that were created in code.
pub(super) fn validate(settings: &Settings) -> Result<(), SettingsError> {
    Layers::new(settings.clone()).finish().map(drop)
}
