//! The notations in which model families write values and arguments.

use super::types::Types;

/// A notation for values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Style {
    /// JSON with one space after `:` and `,`, like Python's.
    Json,
    /// Python literals, and also JSON's literals for true, false and null.
    Python,
    /// Texts between markers, keys without quotes and no spaces: `{key:<|"|>text<|"|>,n:1}`. The
    /// marker and its token, if the model has one.
    Marked(&'static str, Option<u32>),
}

/// How the arguments of a call are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Arguments {
    /// As an object in the notation for values.
    Object,
    /// `name=value, …` in Python syntax.
    Keywords,
    /// One by one, with texts unquoted and other values as JSON.
    Params(&'static Params),
    /// As nested elements after this mark: `<key>text</key>`.
    Elements(&'static str),
}

/// Parameters that are written one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Params {
    /// The text before the key.
    pub open: &'static str,
    /// The text between the key and a value.
    pub middle: Middle,
    /// The text after the value.
    pub close: &'static str,
}

/// The text between a key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Middle {
    Same(&'static str),
    /// One for texts and one for other values.
    ByText(&'static str, &'static str),
    /// The text around the name of the type.
    ByType(&'static str, &'static str),
}

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// Every kind with its type.
    pub const ALL: [(Self, Types); 6] = [
        (Self::Null, Types::NULL),
        (Self::Boolean, Types::BOOLEAN),
        (Self::Number, Types::NUMBER),
        (Self::String, Types::STRING),
        (Self::Array, Types::ARRAY),
        (Self::Object, Types::OBJECT),
    ];

    pub fn of(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// The name of the type.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Middle {
    /// The text for a kind of value.
    pub fn text(self, kind: Kind) -> String {
        match self {
            Self::Same(text) => text.to_owned(),
            Self::ByText(text, _) if kind == Kind::String => text.to_owned(),
            Self::ByText(_, other) => other.to_owned(),
            Self::ByType(before, behind) => format!("{before}{}{behind}", kind.name()),
        }
    }
}

/// Whether a key can be written without quotes in notations that allow it.
pub(crate) fn is_bare(key: &str) -> bool {
    let sign = |letter: char| letter.is_control() || "{}[],:\"<>".contains(letter);
    !key.is_empty() && key.trim() == key && !key.contains(sign)
}
