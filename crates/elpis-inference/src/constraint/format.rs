//! Response formats that a caller may request.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ConstraintError;
use super::bounds::{FIELD, check_repetitions, limit, repetitions};
use super::schema::{json_grammar, unwrapped};

/// Maximum length of a regular expression or Lark grammar, in bytes.
pub const MAX_GRAMMAR_BYTES: usize = 64 * 1024;

/// Maximum number of simultaneously open brackets in a regular expression or Lark grammar.
pub const MAX_GRAMMAR_DEPTH: usize = 64;

/// Maximum number of texts of a choice.
pub const MAX_CHOICES: usize = 1024;

/// The format that a reply must have.
///
/// In JSON: `{"type": "json_schema", "json_schema": {"schema": …}}` and `{"type": "json_object"}`
/// as in `OpenAI`'s API, `{"type": "regex", "regex": …}`, `{"type": "choice", "choice": […]}`,
/// `{"type": "lark", "lark": …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that conforms to a schema.
    JsonSchema {
        /// The schema.
        json_schema: NamedSchema,
    },
    /// Text that matches a regular expression from its beginning to its end.
    Regex {
        /// The expression, in the syntax of the crate `regex`.
        regex: String,
    },
    /// One of several texts.
    Choice {
        /// The texts.
        choice: Vec<String>,
    },
    /// Text of a formal language.
    Lark {
        /// Its grammar in llguidance's dialect of Lark, from the rule `start`.
        lark: String,
    },
}

/// A schema in the wrapper of `OpenAI`'s API, whose other fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedSchema {
    /// The schema.
    pub schema: Value,
}

impl ResponseFormat {
    /// JSON that conforms to a schema, which may be in the wrapper of `OpenAI`'s API.
    pub fn json_schema(schema: Value) -> Self {
        Self::JsonSchema {
            json_schema: NamedSchema { schema },
        }
    }

    /// Text that matches a regular expression from its beginning to its end.
    pub fn regex(regex: impl Into<String>) -> Self {
        Self::Regex {
            regex: regex.into(),
        }
    }

    /// One of several texts.
    pub fn choice<T: Into<String>>(choice: impl IntoIterator<Item = T>) -> Self {
        Self::Choice {
            choice: choice.into_iter().map(Into::into).collect(),
        }
    }

    /// Text of a Lark grammar.
    pub fn lark(lark: impl Into<String>) -> Self {
        Self::Lark { lark: lark.into() }
    }

    /// The grammar to compile; `None` for any text.
    ///
    /// # Errors
    /// [`ConstraintError::Limit`] for a format that is too long, too deep or empty;
    /// [`ConstraintError::Refused`] for a schema that cannot be enforced, with the place in it;
    /// [`ConstraintError::NotBuilt`] for a schema in a build without the feature `tools`.
    pub fn grammar(&self) -> Result<Option<Grammar>, ConstraintError> {
        let source = match self {
            Self::Text => return Ok(None),
            Self::JsonObject => Source::Lark(json_grammar(&json!({"type": "object"}))?),
            Self::JsonSchema { json_schema } => {
                Source::Lark(json_grammar(unwrapped(&json_schema.schema))?)
            }
            Self::Regex { regex } => {
                check_text(regex)?;
                Source::Regex(regex.clone())
            }
            Self::Choice { choice } => Source::Lark(choices(choice)?),
            Self::Lark { lark } => {
                check_text(lark)?;
                Source::Lark(lark.clone())
            }
        };
        Ok(Some(Grammar {
            field: FIELD,
            source,
        }))
    }
}

/// A grammar that is ready to be compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Grammar {
    /// The field of the request.
    pub(super) field: &'static str,
    pub(super) source: Source,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Regex(String),
    Lark(String),
}

impl Grammar {
    /// The grammar of tool calls, as [`crate::ToolFormat::grammar`] writes it.
    pub fn of_tools(lark: String) -> Self {
        Self {
            field: "tools",
            source: Source::Lark(lark),
        }
    }
}

/// Counts brackets first, because the compilers are recursive.
fn check_text(text: &str) -> Result<(), ConstraintError> {
    if text.trim().is_empty() {
        return Err(limit(FIELD, "empty".to_owned(), "not empty"));
    }
    if text.len() > MAX_GRAMMAR_BYTES {
        let value = format!("{} bytes long", text.len());
        return Err(limit(FIELD, value, "at most 65536 bytes"));
    }
    check_repetitions(FIELD, repetitions(text))?;
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_GRAMMAR_DEPTH {
            let value = "nested more than 64 deep".to_owned();
            return Err(limit(FIELD, value, "at most 64 open brackets"));
        }
    }
    Ok(())
}

fn choices(choice: &[String]) -> Result<String, ConstraintError> {
    if choice.is_empty() || choice.len() > MAX_CHOICES {
        let value = format!("a choice of {} texts", choice.len());
        return Err(limit(FIELD, value, "1 to 1024 texts"));
    }
    if choice.iter().any(String::is_empty) {
        let value = "a choice with an empty text".to_owned();
        return Err(limit(FIELD, value, "texts that are not empty"));
    }
    let bytes: usize = choice.iter().map(String::len).sum();
    if bytes > MAX_GRAMMAR_BYTES {
        let value = format!("{bytes} bytes long");
        return Err(limit(FIELD, value, "at most 65536 bytes"));
    }
    let texts: Vec<_> = choice.iter().map(|text| json!(text).to_string()).collect();
    Ok(format!("start: {}\n", texts.join(" | ")))
}
