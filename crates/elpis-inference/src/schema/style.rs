//! Writes values in each notation.

use serde_json::Value;

use super::lark::{Lark, Symbol};
use super::notation::{Style, is_bare};
use super::regex::{Codec, Regex};

/// The first character of a schema's value that the notation cannot write.
pub(crate) struct Unwritable(pub char);

impl Style {
    /// The separator of items and of properties.
    pub fn comma(self) -> &'static str {
        match self {
            Self::Json | Self::Python => ", ",
            Self::Marked(..) => ",",
        }
    }

    /// A text that matches the expression; `None` if none can be written.
    ///
    /// # Errors
    /// Why the expression cannot be used.
    pub fn text(self, lark: &mut Lark, texts: &Regex) -> Result<Option<Vec<Symbol>>, String> {
        let quoted = |quote: &str, codec: char| {
            let mark = || Regex::literal(quote).coded(&Codec::raw());
            Regex::concat([mark(), texts.coded(&Codec::quoted(codec)), mark()])
        };
        let one = |terminal: Option<Symbol>| terminal.map(|terminal| vec![terminal]);
        match self {
            Self::Json => Ok(one(lark.terminal(&quoted("\"", '"'))?)),
            Self::Python => {
                let either = Regex::alt([quoted("\"", '"'), quoted("'", '\'')]);
                Ok(one(lark.terminal(&either)?))
            }
            Self::Marked(marker, token) => {
                let outside = Regex::literal(marker).containing().not();
                let inside = Regex::and([texts.clone(), outside]);
                let Some(token) = token else {
                    // A single terminal, because only the end determines the length of the text.
                    let mark = || Regex::literal(marker);
                    let whole = Regex::concat([mark(), inside, mark()]);
                    return Ok(one(lark.terminal(&whole.coded(&Codec::raw()))?));
                };
                let some = Regex::and([inside, Regex::of_length(1, None)]);
                let some = lark.terminal(&some.coded(&Codec::raw()))?;
                let mark = Symbol::Token(token);
                let mut ways = Vec::new();
                if texts.is_nullable() {
                    ways.push(vec![mark.clone(), mark.clone()]);
                }
                ways.extend(some.map(|some| vec![mark.clone(), some, mark.clone()]));
                Ok((!ways.is_empty()).then(|| vec![lark.choice(ways)]))
            }
        }
    }

    /// A key and the text before its value.
    pub fn key(self, name: &str) -> Result<Vec<Symbol>, Unwritable> {
        let bare = matches!(self, Self::Marked(..)) && is_bare(name);
        Ok(vec![Symbol::Literal(if bare {
            format!("{name}:")
        } else {
            format!("{}: ", quoted(name)?)
        })])
    }

    /// A key that matches the expression, and the text before its value.
    ///
    /// # Errors
    /// Why the expression cannot be used.
    pub fn free_key(self, lark: &mut Lark, names: &Regex) -> Result<Option<Vec<Symbol>>, String> {
        let colon = |text: &str| Symbol::Literal(text.to_owned());
        let key = match self {
            Self::Json | Self::Python => Self::Json.text(lark, names)?,
            Self::Marked(..) => {
                let bare = Regex::Raw("[A-Za-z0-9_.-]+".to_owned());
                let names = Regex::and([names.coded(&Codec::raw()), bare]);
                lark.terminal(&names)?.map(|key| vec![key])
            }
        };
        Ok(key.map(|mut key| {
            key.push(colon(if matches!(self, Self::Marked(..)) {
                ":"
            } else {
                ": "
            }));
            key
        }))
    }

    /// Only this value, in every notation.
    pub fn literal(self, value: &Value) -> Result<Vec<Vec<Symbol>>, Unwritable> {
        let one = |text: String| vec![vec![Symbol::Literal(text)]];
        Ok(match (self, value) {
            (Self::Json, value) => one(json(value)?),
            (Self::Python, Value::Null) => {
                [one("None".to_owned()), one("null".to_owned())].concat()
            }
            (Self::Python, Value::Bool(is)) => {
                let (python, json) = if *is {
                    ("True", "true")
                } else {
                    ("False", "false")
                };
                [one(python.to_owned()), one(json.to_owned())].concat()
            }
            (Self::Python, Value::String(text)) => {
                let single = Codec::quoted('\'')
                    .text(text)
                    .map(|text| format!("'{text}'"));
                let mut ways = one(quoted(text)?);
                ways.extend(single.into_iter().flat_map(one));
                ways
            }
            (Self::Python, value) => one(python(value)?),
            (Self::Marked(marker, token), Value::String(text)) => {
                let mark = || match token {
                    Some(token) => Symbol::Token(token),
                    None => Symbol::Literal(marker.to_owned()),
                };
                if text.contains(marker) {
                    one(quoted(text)?)
                } else {
                    vec![vec![mark(), Symbol::Literal(text.clone()), mark()]]
                }
            }
            (Self::Marked(..), Value::Array(items)) => {
                let mut all = vec![Symbol::Literal("[".to_owned())];
                for (at, item) in items.iter().enumerate() {
                    all.extend((at > 0).then(|| Symbol::Literal(",".to_owned())));
                    all.extend(self.literal(item)?.swap_remove(0));
                }
                all.push(Symbol::Literal("]".to_owned()));
                vec![all]
            }
            (Self::Marked(..), Value::Object(fields)) => {
                let mut all = vec![Symbol::Literal("{".to_owned())];
                for (at, (name, value)) in fields.iter().enumerate() {
                    all.extend((at > 0).then(|| Symbol::Literal(",".to_owned())));
                    all.extend(self.key(name)?);
                    all.extend(self.literal(value)?.swap_remove(0));
                }
                all.push(Symbol::Literal("}".to_owned()));
                vec![all]
            }
            (Self::Marked(..), other) => one(other.to_string()),
        })
    }
}

/// A text in JSON notation.
pub(super) fn quoted(text: &str) -> Result<String, Unwritable> {
    let codec = Codec::quoted('"');
    match codec.text(text) {
        Some(text) => Ok(format!("\"{text}\"")),
        None => Err(Unwritable(
            text.chars()
                .find(|letter| !codec.writes(*letter))
                .unwrap_or('\0'),
        )),
    }
}

/// JSON with a space after `:` and `,`.
fn json(value: &Value) -> Result<String, Unwritable> {
    written(value, &|value| value.to_string())
}

fn python(value: &Value) -> Result<String, Unwritable> {
    written(value, &|value| match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    })
}

fn written(value: &Value, simple: &impl Fn(&Value) -> String) -> Result<String, Unwritable> {
    Ok(match value {
        Value::String(text) => quoted(text)?,
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| written(item, simple)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(fields) => {
            let mut all = Vec::with_capacity(fields.len());
            for (name, value) in fields {
                all.push(format!("{}: {}", quoted(name)?, written(value, simple)?));
            }
            format!("{{{}}}", all.join(", "))
        }
        other => simple(other),
    })
}

/// Splits a text into literals and tokens of the model without text.
pub(crate) fn split(text: &str, control: &[(&'static str, u32)]) -> Vec<Symbol> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let found = control
            .iter()
            .filter_map(|(mark, id)| Some((rest.find(mark)?, mark, id)))
            .min_by_key(|(at, mark, _)| (*at, usize::MAX - mark.len()));
        let Some((at, mark, id)) = found else {
            out.push(Symbol::Literal(rest.to_owned()));
            break;
        };
        if at > 0 {
            out.push(Symbol::Literal(rest[..at].to_owned()));
        }
        out.push(Symbol::Token(*id));
        rest = &rest[at + mark.len()..];
    }
    out
}
