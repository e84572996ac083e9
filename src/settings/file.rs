//! Reads `elpis.toml` and `.env` into raw values.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::names;
use super::schema::{Field, Section};
use super::value::Raw;

/// A value of the settings file, for a known field, with its line.
pub(super) struct Entry {
    pub field: &'static Field,
    pub raw: Raw,
    pub line: usize,
}

/// Reads the settings file. Returns the valid entries and adds errors to `errors`.
pub(super) fn read_toml(path: &Path, errors: &mut Vec<SettingsError>) -> Vec<Entry> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => {
            errors.push(SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            });
            return Vec::new();
        }
    };
    parse_toml(&text, path, errors)
}

/// Reads the text of a settings file.
pub(super) fn parse_toml(text: &str, path: &Path, errors: &mut Vec<SettingsError>) -> Vec<Entry> {
    let line_of = |span: Range<usize>| {
        1 + text
            .bytes()
            .take(span.start)
            .filter(|byte| *byte == b'\n')
            .count()
    };
    let document = match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(error) => {
            errors.push(SettingsError::Syntax {
                path: path.to_owned(),
                line: error.span().map_or(1, line_of),
                message: error.message().replace('\n', ", "),
            });
            return Vec::new();
        }
    };

    let mut entries = Vec::new();
    for (key, value) in &document {
        let Some(section) = Section::ALL
            .iter()
            .copied()
            .find(|section| section.as_str() == key.get_ref().as_ref())
        else {
            errors.push(unknown(path, line_of(key.span()), None, key.get_ref()));
            continue;
        };
        let DeValue::Table(table) = value.get_ref() else {
            errors.push(SettingsError::WrongType {
                name: section.as_str().to_owned(),
                expected: format!("table, [{}]", section.as_str()),
                found: raw(value).type_name(),
                origin: Box::new(super::Origin::File {
                    path: path.to_owned(),
                    line: line_of(key.span()),
                }),
            });
            continue;
        };
        for (key, value) in table {
            let line = line_of(key.span());
            match names::find(section, key.get_ref()) {
                Some(field) => entries.push(Entry {
                    field,
                    raw: raw(value),
                    line,
                }),
                None => errors.push(unknown(path, line, Some(section), key.get_ref())),
            }
        }
    }
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn unknown(path: &Path, line: usize, section: Option<Section>, key: &str) -> SettingsError {
    let sections: Vec<&'static str> = Section::ALL
        .iter()
        .map(|section| section.as_str())
        .collect();
    let field = names::nearest_field(section, key).map(|field| field.full_name.to_owned());
    let suggestion = match section {
        Some(_) => field,
        None => names::nearest(key, &sections)
            .map(|name| format!("[{name}]"))
            .or(field),
    };
    SettingsError::Unknown {
        name: section.map_or_else(
            || key.to_owned(),
            |section| format!("{}.{key}", section.as_str()),
        ),
        place: format!("{}:{line}", path.display()),
        suggestion,
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Str(text.clone().into_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number too large"), Raw::Int),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Raw::Other("a malformed number"), Raw::Float),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(raw).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// Reads `.env` without touching the process environment. Only variables of elpis are kept.
pub(super) fn read_dotenv(path: &Path, errors: &mut Vec<SettingsError>) -> Vec<(String, String)> {
    let unreadable = |source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(dotenvy::Error::Io(source)) => {
            errors.push(unreadable(source));
            return Vec::new();
        }
        Err(_) => {
            errors.push(SettingsError::DotenvSyntax {
                path: path.to_owned(),
                entry: 1,
            });
            return Vec::new();
        }
    };
    let mut pairs = Vec::new();
    for (index, entry) in entries.enumerate() {
        match entry {
            Ok((name, value)) if names::is_ours(&name, Some(&value)) => pairs.push((name, value)),
            Ok(_) => {}
            Err(dotenvy::Error::Io(source)) => {
                errors.push(unreadable(source));
                break;
            }
            Err(_) => errors.push(SettingsError::DotenvSyntax {
                path: path.to_owned(),
                entry: index + 1,
            }),
        }
    }
    pairs
}
