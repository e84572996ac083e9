//! Reads one setting from a TOML value or from text, and renders it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error as DeserializeError};

/// A raw value of a layer, before its setting is known.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// Text from an environment variable or `.env`: the setting decides how to read it.
    Text(String),
    Str(String),
    Int(i128),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// A TOML type that no setting takes, by its name.
    Other(&'static str),
}

impl Raw {
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Text(text) => format!("`{text}`"),
            Self::Str(_) => "a string".to_owned(),
            Self::Int(_) => "a whole number".to_owned(),
            Self::Float(_) => "a number".to_owned(),
            Self::Bool(_) => "a boolean".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(name) => (*name).to_owned(),
        }
    }
}

/// Why a raw value does not fit a setting; the caller knows the setting's name and origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueError {
    Type { found: String },
    Range { value: String, limit: String },
    Choice { value: String },
}

pub(super) fn wrong_type(raw: &Raw) -> ValueError {
    ValueError::Type {
        found: raw.type_name(),
    }
}

/// Values that stand in a file as they are.
pub(super) struct Plain;

/// Durations that stand in a file as a number of seconds.
pub(super) struct Seconds;

/// Durations that stand in a file as a whole number of milliseconds.
pub(super) struct Milliseconds;

/// A type that a setting can have, written in a unit.
pub(super) trait SettingValue<Unit = Plain>: Sized {
    /// Names the allowed values for people, such as "whole number".
    fn type_name() -> String;
    fn read(raw: &Raw) -> Result<Self, ValueError>;
    /// Renders the value as the settings reference and `elpis doctor` print it.
    fn show(&self) -> String;
    /// Returns the numbers in this value that the setting's limit applies to.
    fn numbers(&self) -> Vec<f64> {
        Vec::new()
    }
    fn choices() -> &'static [&'static str] {
        &[]
    }
}

macro_rules! whole_number {
    ($($ty:ty),+) => {$(
        impl SettingValue for $ty {
            fn type_name() -> String {
                "whole number".to_owned()
            }
            fn read(raw: &Raw) -> Result<Self, ValueError> {
                let wide = match raw {
                    Raw::Int(value) => *value,
                    Raw::Text(text) => text.trim().parse::<i128>().map_err(|_| wrong_type(raw))?,
                    _ => return Err(wrong_type(raw)),
                };
                Self::try_from(wide).map_err(|_| ValueError::Range {
                    value: wide.to_string(),
                    limit: format!("{} to {}", Self::MIN, Self::MAX),
                })
            }
            fn show(&self) -> String {
                self.to_string()
            }
            #[allow(clippy::cast_lossless, reason = "not all of these types convert without loss")]
            fn numbers(&self) -> Vec<f64> {
                vec![*self as f64]
            }
        }
    )+};
}
whole_number!(i32, u32, u64, usize);

macro_rules! number {
    ($($ty:ty),+) => {$(
        impl SettingValue for $ty {
            fn type_name() -> String {
                "number".to_owned()
            }
            fn read(raw: &Raw) -> Result<Self, ValueError> {
                match raw {
                    Raw::Int(value) => Ok(*value as $ty),
                    Raw::Float(value) => Ok(*value as $ty),
                    Raw::Text(text) => text.trim().parse().map_err(|_| wrong_type(raw)),
                    _ => Err(wrong_type(raw)),
                }
            }
            fn show(&self) -> String {
                format!("{self:?}")
            }
            fn numbers(&self) -> Vec<f64> {
                vec![f64::from(*self)]
            }
        }
    )+};
}
number!(f32, f64);

impl SettingValue<Seconds> for Duration {
    fn type_name() -> String {
        f64::type_name()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        let seconds = f64::read(raw)?;
        Self::try_from_secs_f64(seconds).map_err(|_| no_duration(seconds))
    }
    fn show(&self) -> String {
        self.as_secs_f64().show()
    }
    fn numbers(&self) -> Vec<f64> {
        vec![self.as_secs_f64()]
    }
}

impl SettingValue<Milliseconds> for Duration {
    fn type_name() -> String {
        u64::type_name()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        u64::read(raw).map(Self::from_millis)
    }
    /// Code may set fractions of a millisecond.
    fn show(&self) -> String {
        (self.as_secs_f64() * 1000.0).to_string()
    }
    fn numbers(&self) -> Vec<f64> {
        vec![self.as_secs_f64() * 1000.0]
    }
}

fn no_duration(seconds: f64) -> ValueError {
    ValueError::Range {
        value: seconds.show(),
        limit: "0 or more".to_owned(),
    }
}

impl SettingValue for bool {
    fn type_name() -> String {
        "true or false".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(wrong_type(raw)),
            },
            _ => Err(wrong_type(raw)),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for String {
    fn type_name() -> String {
        "text".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        match raw {
            Raw::Str(text) | Raw::Text(text) => Ok(text.clone()),
            _ => Err(wrong_type(raw)),
        }
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl SettingValue for PathBuf {
    fn type_name() -> String {
        "path".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        String::read(raw).map(PathBuf::from)
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl<T: SettingValue> SettingValue for Vec<T> {
    fn type_name() -> String {
        format!("list of {}s", T::type_name())
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        match raw {
            Raw::List(items) => items.iter().map(T::read).collect(),
            Raw::Text(text) => text
                .split(',')
                .map(|item| T::read(&Raw::Text(item.to_owned())))
                .collect(),
            _ => Err(wrong_type(raw)),
        }
    }
    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(SettingValue::show).collect();
        items.join(",")
    }
    fn numbers(&self) -> Vec<f64> {
        self.iter().flat_map(SettingValue::numbers).collect()
    }
}

/// How an optional setting without a value is shown.
pub(super) const UNSET: &str = "unset";

/// In an environment variable, an empty text resets an optional setting to unset.
impl<Unit, T: SettingValue<Unit>> SettingValue<Unit> for Option<T> {
    fn type_name() -> String {
        T::type_name()
    }
    fn read(raw: &Raw) -> Result<Self, ValueError> {
        match raw {
            Raw::Text(text) if text.trim().is_empty() => Ok(None),
            _ => T::read(raw).map(Some),
        }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| UNSET.to_owned(), T::show)
    }
    fn numbers(&self) -> Vec<f64> {
        self.as_ref().map(T::numbers).unwrap_or_default()
    }
    fn choices() -> &'static [&'static str] {
        T::choices()
    }
}

/// Reads a value of an enumeration by its serde name.
pub(super) fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, ValueError> {
    T::deserialize(BorrowedStrDeserializer::<DeserializeError>::new(name)).map_err(|_| {
        ValueError::Choice {
            value: name.to_owned(),
        }
    })
}

/// Implements [`SettingValue`] for enumerations with named values.
macro_rules! choices {
    ($($Name:ty),+ $(,)?) => {$(
        impl $crate::settings::value::SettingValue for $Name {
            fn type_name() -> String {
                let names = Self::NAMES.iter().map(|name| format!("`{name}`"));
                names.collect::<Vec<_>>().join(", ")
            }
            fn read(raw: &$crate::settings::value::Raw) -> Result<Self, $crate::settings::value::ValueError> {
                let text = <String as $crate::settings::value::SettingValue>::read(raw)?;
                $crate::settings::value::named(text.trim())
            }
            fn show(&self) -> String {
                self.to_string()
            }
            fn choices() -> &'static [&'static str] {
                Self::NAMES
            }
        }
    )+};
}
pub(super) use choices;

/// The argument of a setter for a field of type `T`: the value itself or, for an optional field,
/// its content.
pub trait IntoField<T> {
    /// Converts into the field's type.
    fn into_field(self) -> T;
}

impl<T> IntoField<T> for T {
    fn into_field(self) -> T {
        self
    }
}

impl IntoField<super::ListenAddress> for std::net::SocketAddr {
    fn into_field(self) -> super::ListenAddress {
        self.into()
    }
}

macro_rules! into_optional {
    ($($from:ty => $to:ty),+ $(,)?) => {$(
        impl IntoField<Option<$to>> for $from {
            fn into_field(self) -> Option<$to> {
                Some(self.into())
            }
        }
    )+};
}
into_optional!(
    bool => bool, u32 => u32, u64 => u64, usize => usize, f64 => f64,
    String => String, &str => String,
    PathBuf => PathBuf, &str => PathBuf, &std::path::Path => PathBuf,
    Vec<f32> => Vec<f32>,
    Duration => Duration,
    u16 => super::ListenAddress, std::net::SocketAddr => super::ListenAddress,
);
