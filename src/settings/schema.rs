//! The table of all settings: one row drives reading, checking, naming and documentation.

use super::Settings;
use super::value::{Raw, UNSET, ValueError};

/// The part of the settings that a field belongs to: a table in `elpis.toml`, a prefix in the environment.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Section {
    /// `[model]`: which model, how it is loaded and how it samples.
    Model,
    /// `[emotion]`: how the emotional state moves.
    Emotion,
    /// `[runtime]`: actors, queues and time limits.
    Runtime,
    /// `[store]`: persistence.
    Store,
    /// `[metrics]`: metrics and traces.
    Metrics,
    /// `[server]`: the HTTP server.
    Server,
}

impl Section {
    /// All sections, in the order of the reference.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the section's name in `elpis.toml`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the prefix of the section's environment variables.
    pub fn prefix(self) -> String {
        format!("ELPIS_{}_", self.as_str().to_ascii_uppercase())
    }
}

/// The range that a number must lie in; NaN lies in none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    min: f64,
    max: f64,
    /// Whether `min` itself is refused.
    open: bool,
    /// Whether 0 is also allowed although it is below `min`.
    or_zero: bool,
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        let above = if self.open {
            value > self.min
        } else {
            value >= self.min
        };
        (above && value <= self.max && value.is_finite()) || (self.or_zero && value == 0.0)
    }

    fn describe(self) -> String {
        match (self.open, self.max.is_finite()) {
            (false, true) if self.or_zero => format!("0, or {} to {}", self.min, self.max),
            (false, true) => format!("{} to {}", self.min, self.max),
            (false, false) => format!("{} or more", self.min),
            (true, true) => format!("more than {}, at most {}", self.min, self.max),
            (true, false) => format!("more than {}", self.min),
        }
    }
}

/// Numbers from `min` to `max`, both included.
pub(super) const fn between(min: f64, max: f64) -> Limit {
    limit(min, max, false)
}

/// Numbers from `min` to `max`, both included, and also 0 if `or_zero`.
pub(super) const fn limit(min: f64, max: f64, or_zero: bool) -> Limit {
    let open = false;
    Limit {
        min,
        max,
        open,
        or_zero,
    }
}

/// Finite numbers from `min` upwards.
pub(super) const fn at_least(min: f64) -> Limit {
    between(min, f64::INFINITY)
}

/// Numbers above `min`, up to and including `max`.
pub(super) const fn above(min: f64, max: f64) -> Limit {
    Limit {
        open: true,
        ..between(min, max)
    }
}

/// One setting: its name, type, range, default and documentation.
#[derive(Debug)]
pub struct Field {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) full_name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) limit: Option<Limit>,
    pub(super) unset: Option<&'static str>,
    pub(super) type_name: fn() -> String,
    pub(super) choices: fn() -> &'static [&'static str],
    pub(super) show: fn(&Settings) -> String,
    pub(super) numbers: fn(&Settings) -> Vec<f64>,
    pub(super) set: fn(&mut Settings, &Raw) -> Result<(), ValueError>,
}

impl Field {
    /// Returns the section that the field belongs to.
    pub fn section(&self) -> Section {
        self.section
    }

    /// Returns the field's name within its section, such as `temperature`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the name with its section, such as `model.temperature`.
    pub fn full_name(&self) -> &'static str {
        self.full_name
    }

    /// Returns the environment variable, such as `ELPIS_MODEL_TEMPERATURE`.
    pub fn variable(&self) -> String {
        format!(
            "{}{}",
            self.section.prefix(),
            self.name.to_ascii_uppercase()
        )
    }

    /// Returns what kind of value the field takes, such as `whole number` or the allowed words.
    pub fn type_name(&self) -> String {
        (self.type_name)()
    }

    /// Returns the allowed range, if the field has one.
    pub fn range(&self) -> Option<String> {
        self.limit.map(Limit::describe)
    }

    /// Returns the default as text; for an optional field, what happens when it is unset.
    pub fn default_text(&self) -> String {
        match self.unset {
            Some(meaning) if self.is_unset_by_default() => format!("unset ({meaning})"),
            _ => self.show(&Settings::default()),
        }
    }

    /// Whether the default is to have no value.
    pub(super) fn is_unset_by_default(&self) -> bool {
        self.show(&Settings::default()) == UNSET
    }

    /// Returns the one-paragraph description.
    pub fn doc(&self) -> String {
        self.doc
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Renders this field's value in `settings`; `unset` for an optional field without one.
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }

    /// Checks this field's value in `settings` against the range.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), ValueError> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        if (self.numbers)(settings)
            .into_iter()
            .all(|number| limit.holds(number))
        {
            return Ok(());
        }
        Err(ValueError::Range {
            value: self.show(settings),
            limit: limit.describe(),
        })
    }
}

/// Declares the table rows for a structure.
macro_rules! table {
    (
        $Section:ident, $part:ident, $section:literal;
        $( $(#[doc = $doc:literal])+ $name:ident : $ty:ty
           $(, in $limit:expr)? $(, unset $unset:literal)? $(, as $Unit:ident $key:literal)? ; )+
    ) => {
        pub(super) static FIELDS: &[$crate::settings::schema::Field] = &[$(
            $crate::settings::schema::Field {
                section: $crate::settings::schema::Section::$Section,
                name: $crate::settings::schema::table!(@key $name $($key)?),
                full_name: concat!($section, ".", $crate::settings::schema::table!(@key $name $($key)?)),
                doc: &[$($doc),+],
                limit: $crate::settings::schema::table!(@or None $(, Some($limit))?),
                unset: $crate::settings::schema::table!(@or None $(, Some($unset))?),
                type_name: <$ty as $crate::settings::value::SettingValue<$crate::settings::schema::table!(@unit $($Unit)?)>>::type_name,
                choices: <$ty as $crate::settings::value::SettingValue<$crate::settings::schema::table!(@unit $($Unit)?)>>::choices,
                show: |settings| <$ty as $crate::settings::value::SettingValue<$crate::settings::schema::table!(@unit $($Unit)?)>>::show(&settings.$part.$name),
                numbers: |settings| <$ty as $crate::settings::value::SettingValue<$crate::settings::schema::table!(@unit $($Unit)?)>>::numbers(&settings.$part.$name),
                set: |settings, raw| {
                    settings.$part.$name = <$ty as $crate::settings::value::SettingValue<$crate::settings::schema::table!(@unit $($Unit)?)>>::read(raw)?;
                    Ok(())
                },
            },
        )+];
    };
    (@key $name:ident) => { stringify!($name) };
    (@key $name:ident $key:literal) => { $key };
    (@unit) => { $crate::settings::value::Plain };
    (@unit $Unit:ident) => { $crate::settings::value::$Unit };
    (@or $default:expr) => { $default };
    (@or $default:expr, $given:expr) => { $given };
}
pub(super) use table;

/// Declares a structure of settings together with its table rows, its defaults and its setters.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $Struct:ident = $Section:ident, $part:ident, $section:literal;
        $( $(#[doc = $doc:literal])+ $name:ident : $ty:ty = $default:expr
           $(, in $limit:expr)? $(, unset $unset:literal)? $(, as $Unit:ident $key:literal)? ; )+
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct $Struct {
            $( $(#[doc = $doc])+ pub $name: $ty, )+
        }

        impl Default for $Struct {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $Struct {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, value: impl $crate::settings::value::IntoField<$ty>) -> Self {
                    self.$name = value.into_field();
                    self
                }
            )+
        }

        $crate::settings::schema::table! {
            $Section, $part, $section;
            $( $(#[doc = $doc])+ $name : $ty $(, in $limit)? $(, unset $unset)? $(, as $Unit $key)? ; )+
        }
    };
}
pub(super) use section;
