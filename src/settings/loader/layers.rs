//! Layers of settings: each overrides those below it.

use std::ffi::OsString;
use std::path::Path;

use super::LoadedSettings;
use crate::emotion::EmotionError;
use crate::settings::error::SettingsError;
use crate::settings::file::Entry;
use crate::settings::origin::{Origin, Origins};
use crate::settings::registry::fields;
use crate::settings::schema::{Field, Section};
use crate::settings::value::{Raw, ValueError};
use crate::settings::{MetricsSettings, Settings, names};

pub(super) struct Layers {
    settings: Settings,
    origins: Origins,
    pub(super) errors: Vec<SettingsError>,
}

impl Layers {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            origins: origins_of_code(&settings),
            settings,
            errors: Vec::new(),
        }
    }

    pub(super) fn add_toml(
        &mut self,
        path: &Path,
        read: impl FnOnce(&Path, &mut Vec<SettingsError>) -> Vec<Entry>,
    ) {
        for entry in read(path, &mut self.errors) {
            let origin = Origin::File {
                path: path.to_owned(),
                line: entry.line,
            };
            self.set(entry.field, &entry.raw, origin);
        }
    }

    pub(super) fn add_environment(&mut self, variables: Vec<(OsString, OsString)>) {
        for (variable, value) in variables {
            let is_ours = |name: &&str| names::is_ours(name, value.to_str());
            let Some(variable) = variable.to_str().filter(is_ours) else {
                continue;
            };
            let variable = variable.to_owned();
            match value.into_string() {
                Ok(value) => {
                    let origin = Origin::Environment {
                        variable: variable.clone(),
                    };
                    self.add_variable(&variable, value, origin, "the environment");
                }
                Err(_) => self.errors.push(SettingsError::NotUnicode { variable }),
            }
        }
    }

    pub(super) fn add_variable(
        &mut self,
        variable: &str,
        value: String,
        origin: Origin,
        place: &str,
    ) {
        if let Some(field) = fields().find(|field| field.variable() == variable) {
            self.set(field, &Raw::Text(value), origin);
            return;
        }
        let part = Section::ALL
            .iter()
            .find_map(|&section| Some((section, variable.strip_prefix(&section.prefix())?)));
        let suggestion = match part {
            Some((section, name)) => names::nearest_field(Some(section), name).map(Field::variable),
            None => names::nearest_variable(variable),
        };
        self.errors.push(SettingsError::Unknown {
            name: variable.to_owned(),
            place: place.to_owned(),
            suggestion,
        });
    }

    fn set(&mut self, field: &'static Field, raw: &Raw, origin: Origin) {
        match (field.set)(&mut self.settings, raw).and_then(|()| field.check(&self.settings)) {
            Ok(()) => {
                self.origins.by_name.insert(field.full_name, origin);
            }
            Err(error) => {
                self.errors.push(error_for(field, error, origin));
                // The invalid value must not be reported again as one from an earlier layer.
                self.origins.by_name.remove(field.full_name);
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<LoadedSettings, SettingsError> {
        let code =
            fields().filter(|field| self.origins.get(field.full_name) == Some(&Origin::Code));
        for field in code {
            if let Err(error) = field.check(&self.settings) {
                self.errors.push(error_for(field, error, Origin::Code));
            }
        }
        if self.errors.is_empty() {
            self.errors.extend(conflicts(&self.settings, &self.origins));
        }
        SettingsError::collect(self.errors)?;
        Ok(LoadedSettings {
            settings: self.settings,
            origins: self.origins,
        })
    }
}

fn origins_of_code(settings: &Settings) -> Origins {
    let defaults = Settings::default();
    let origin = |field: &Field| {
        if field.show(settings) == field.show(&defaults) {
            Origin::Default
        } else {
            Origin::Code
        }
    };
    Origins {
        by_name: fields()
            .map(|field| (field.full_name, origin(field)))
            .collect(),
    }
}

fn error_for(field: &Field, error: ValueError, origin: Origin) -> SettingsError {
    let (name, origin) = (field.full_name.to_owned(), Box::new(origin));
    match error {
        ValueError::Type { found } => SettingsError::WrongType {
            name,
            expected: field.type_name(),
            found,
            origin,
        },
        ValueError::Range { value, limit } => SettingsError::OutOfRange {
            name,
            value,
            limit: field.range().unwrap_or(limit),
            origin,
        },
        ValueError::Choice { value } => SettingsError::NotAChoice {
            name,
            choices: field.type_name(),
            suggestion: names::nearest(&value, (field.choices)())
                .map(|choice| format!("`{choice}`")),
            value,
            origin,
        },
    }
}

/// Checks combinations of settings.
fn conflicts(settings: &Settings, origins: &Origins) -> Vec<SettingsError> {
    let conflict = |name: &'static str, value: String, rule: String| SettingsError::Conflict {
        name,
        value,
        rule,
        origin: Box::new(origins.get(name).cloned().unwrap_or(Origin::Default)),
    };
    let mut errors = Vec::new();
    let runtime = &settings.runtime;
    let (initial, max) = (runtime.restart_backoff_initial, runtime.restart_backoff_max);
    if initial > max {
        errors.push(conflict(
            "runtime.restart_backoff_initial_ms",
            initial.as_millis().to_string(),
            format!(
                "at most runtime.restart_backoff_max_ms, {}",
                max.as_millis()
            ),
        ));
    }
    if let Some(shares) = &settings.model.tensor_split
        && !shares.iter().any(|share| *share > 0.0)
    {
        let rule = "a list with a share above 0".to_owned();
        errors.push(conflict("model.tensor_split", format!("{shares:?}"), rule));
    }
    let listed = &settings.metrics.sessions;
    let most = MetricsSettings::MAX_SESSIONS;
    if listed.len() > most {
        let (value, rule) = (
            listed.len().to_string(),
            format!("a list of at most {most}"),
        );
        errors.push(conflict("metrics.sessions", value, rule));
    }
    if let Err(error) = settings.metrics.listed_sessions() {
        let rule = format!("a list of names of sessions: {error}");
        errors.push(conflict("metrics.sessions", format!("{listed:?}"), rule));
    }
    // Each number is in its range by now, so any error concerns a combination.
    errors.extend(settings.emotion.validate().err().map(|error| {
        let field = error.field();
        let known = fields().find(|known| known.section == Section::Emotion && known.name == field);
        match (known, error) {
            (Some(known), EmotionError::OutOfRange { limit, .. }) => {
                conflict(known.full_name, known.show(settings), limit.into_owned())
            }
            (_, error) => error.into(),
        }
    }));
    errors
}
