//! The content of messages and items in `OpenAI`'s APIs: a text, or parts.

use serde::Deserialize;

use crate::error::ApiError;
use crate::extract::field;

/// A text, or parts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part; which fields it has depends on its type.
#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

impl Content {
    /// The whole text. `place` is the path of the content.
    ///
    /// # Errors
    /// The path of a part that is no text, or has none.
    pub(crate) fn text(self, place: &str) -> Result<String, ApiError> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut whole = String::new();
        for (index, part) in parts.into_iter().enumerate() {
            let (name, text) = match part.kind.as_str() {
                "text" | "input_text" | "output_text" => ("text", part.text),
                "refusal" => ("refusal", part.refusal),
                kind => {
                    let reason = format!("is {kind:?}, but this model reads text only");
                    return Err(field(format!("{place}[{index}].type"), &reason));
                }
            };
            let Some(text) = text else {
                return Err(field(format!("{place}[{index}].{name}"), "is missing"));
            };
            whole.push_str(&text);
        }
        Ok(whole)
    }
}
