//! Reads fields of a JSON file, with errors that name the file and field.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use elpis_backend::BackendError;

/// An object of a JSON file.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    path: &'a Path,
    prefix: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads the top-level object of a file.
    ///
    /// # Errors
    /// [`BackendError::Checkpoint`] if it is not an object.
    pub fn new(path: &'a Path, value: &'a Value) -> Result<Self, BackendError> {
        let object = value.as_object().ok_or_else(|| BackendError::Checkpoint {
            path: path.to_owned(),
            item: "the file".to_owned(),
            reason: "is not a JSON object".to_owned(),
        })?;
        Ok(Self {
            path,
            prefix: String::new(),
            object,
        })
    }

    /// The error of a field.
    pub fn error(&self, name: &str, reason: impl Into<String>) -> BackendError {
        BackendError::Checkpoint {
            path: self.path.to_owned(),
            item: format!("field `{}{name}`", self.prefix),
            reason: reason.into(),
        }
    }

    /// A field, unless it is missing or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, BackendError> {
        value.ok_or_else(|| self.error(name, "is missing"))
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> BackendError {
        let mut shown = value.to_string();
        if shown.len() > 60 {
            shown = shown.chars().take(60).chain("…".chars()).collect();
        }
        self.error(name, format!("is {shown}, which is not {wanted}"))
    }

    /// A nested object.
    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>, BackendError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let object = value
            .as_object()
            .ok_or_else(|| self.wrong(name, value, "an object"))?;
        Ok(Some(Fields {
            path: self.path,
            prefix: format!("{}{name}.", self.prefix),
            object,
        }))
    }

    /// An optional string.
    pub fn optional_text(&self, name: &str) -> Result<Option<&'a str>, BackendError> {
        self.get(name)
            .map(|value| {
                value
                    .as_str()
                    .ok_or_else(|| self.wrong(name, value, "a text"))
            })
            .transpose()
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&'a str, BackendError> {
        let value = self.optional_text(name)?;
        self.required(name, value)
    }

    /// An optional integer.
    pub fn optional_count(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, BackendError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        match count {
            Some(count) if range.contains(&count) => Ok(Some(count)),
            _ => Err(self.wrong(
                name,
                value,
                &format!("a whole number from {} to {}", range.start(), range.end()),
            )),
        }
    }

    /// A whole number.
    pub fn count(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize, BackendError> {
        let value = self.optional_count(name, range)?;
        self.required(name, value)
    }

    /// An integer, or the default `missing`, if there is one, if the field is missing.
    pub fn required_or(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
        missing: Option<usize>,
    ) -> Result<usize, BackendError> {
        let value = self.optional_count(name, range)?.or(missing);
        self.required(name, value)
    }

    /// An integer; `missing` if the field is missing, `None` if it is null.
    pub fn count_or(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
        missing: Option<usize>,
    ) -> Result<Option<usize>, BackendError> {
        if self.object.contains_key(name) {
            self.optional_count(name, range)
        } else {
            Ok(missing)
        }
    }

    /// An optional finite number.
    pub fn optional_number(&self, name: &str) -> Result<Option<f64>, BackendError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| self.wrong(name, value, "a number"))
    }

    /// An optional number above 0.
    pub fn optional_positive(&self, name: &str) -> Result<Option<f64>, BackendError> {
        match self.optional_number(name)? {
            Some(number) if number <= 0.0 => {
                Err(self.error(name, format!("is {number}, which is not above 0")))
            }
            number => Ok(number),
        }
    }

    /// A number above 0.
    pub fn positive(&self, name: &str) -> Result<f64, BackendError> {
        let value = self.optional_positive(name)?;
        self.required(name, value)
    }

    /// A number above 0; `missing` if the field is missing, `None` if it is null.
    pub fn positive_or(
        &self,
        name: &str,
        missing: Option<f64>,
    ) -> Result<Option<f64>, BackendError> {
        if self.object.contains_key(name) {
            self.optional_positive(name)
        } else {
            Ok(missing)
        }
    }

    /// An optional flag.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, BackendError> {
        self.get(name)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| self.wrong(name, value, "true or false"))
            })
            .transpose()
    }

    /// An optional list.
    pub fn list(&self, name: &str) -> Result<Option<&'a [Value]>, BackendError> {
        self.get(name)
            .map(|value| {
                value
                    .as_array()
                    .map(Vec::as_slice)
                    .ok_or_else(|| self.wrong(name, value, "a list"))
            })
            .transpose()
    }
}
