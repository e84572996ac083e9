//! Defects of a model file, before the file's name is added.

use std::fmt::Display;
use std::path::Path;

use crate::{BackendError, GgufKind};
use elpis_files::gguf::{GgufError, Value};
use elpis_files::printable::printable_start;

/// Maximum length of a displayed name or value, in characters.
const SHOWN: usize = 80;

/// Maximum length of a displayed reason, in characters.
const MAX_REASON: usize = 300;

/// Refusal of a model file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Defect {
    /// The container is broken.
    Damaged(String),
    /// It is a GGUF file of another kind.
    Kind(GgufKind),
    /// It has an invalid value.
    Invalid {
        item: String,
        value: String,
        limit: String,
    },
}

impl Defect {
    pub(super) fn invalid(item: &str, value: impl Display, limit: impl Display) -> Self {
        Self::Invalid {
            item: printable_start(item, SHOWN),
            value: printable_start(&value.to_string(), SHOWN),
            limit: limit.to_string(),
        }
    }

    pub(super) fn missing(item: &str) -> Self {
        Self::invalid(item, "missing", "there")
    }

    /// Adds the file's name.
    pub(super) fn of(self, path: &Path) -> BackendError {
        let path = path.to_owned();
        match self {
            // The reason may contain names from the file.
            Self::Damaged(reason) => BackendError::DamagedModel {
                path,
                reason: printable_start(&reason, MAX_REASON),
            },
            Self::Kind(kind) => BackendError::OtherKind { path, kind },
            Self::Invalid { item, value, limit } => BackendError::InvalidModel {
                path,
                item,
                value,
                limit,
            },
        }
    }
}

impl From<GgufError> for Defect {
    fn from(error: GgufError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// A value as displayed in an error.
pub(super) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::F32(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::Bool(x) => x.to_string(),
        Value::Text(text) => printable_start(&String::from_utf8_lossy(text), SHOWN),
        Value::Array(array) => format!("{} values of {}", array.count, array.kind.name()),
        whole => whole
            .integer()
            .map_or_else(String::new, |number| number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_a_file_act_on_no_terminal() {
        let name = format!("blk.0.\u{3}\u{1b}[2J\u{9b}\n{}", "x".repeat(9000));
        for defect in [
            Defect::Damaged(format!("tensor {name} reaches too far")),
            Defect::invalid(&name, &name, "there"),
            Defect::missing(&name),
        ] {
            let text = defect.of(Path::new("m.gguf")).to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.len() < 4096, "{} bytes", text.len());
        }
    }
}
