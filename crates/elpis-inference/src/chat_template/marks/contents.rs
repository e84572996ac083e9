//! The texts of a conversation that come from outside.

use serde_json::Value;

use crate::chat_template::adapt::Adapted;

/// The texts of a conversation that are not the template's.
pub(super) struct Contents<'a> {
    pub(super) texts: Vec<&'a str>,
}

impl<'a> Contents<'a> {
    pub(super) fn of(adapted: &'a Adapted) -> Self {
        let mut texts = Vec::new();
        for value in adapted.messages.iter().chain(&adapted.tools) {
            visit(value, None, &mut |text| texts.push(text));
        }
        Self { texts }
    }

    pub(super) fn letters_from(&self, first: u32) -> impl Iterator<Item = u32> {
        let letters = self.texts.iter().flat_map(|text| text.chars());
        letters
            .map(u32::from)
            .filter(move |letter| *letter >= first)
    }
}

/// Keys whose values are a few known words.
const KNOWN_WORDS: [&str; 2] = ["role", "type"];
/// Keys of objects whose own keys come from outside.
const OWN_KEYS: [&str; 5] = [
    "arguments",
    "properties",
    "$defs",
    "definitions",
    "patternProperties",
];

pub(super) fn has_own_keys(key: Option<&str>) -> bool {
    key.is_some_and(|key| OWN_KEYS.contains(&key))
}

/// Below `arguments` all keys come from outside; elsewhere only those of the next object.
pub(super) fn key_of_child<'k>(key: Option<&'k str>, child: &'k str) -> Option<&'k str> {
    if key == Some("arguments") {
        key
    } else {
        Some(child)
    }
}

pub(super) fn visit<'a>(value: &'a Value, key: Option<&str>, see: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) if !key.is_some_and(|key| KNOWN_WORDS.contains(&key)) => see(text),
        Value::Array(items) => {
            for item in items {
                visit(item, key, see);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if has_own_keys(key) {
                    see(name);
                }
                visit(field, key_of_child(key, name), see);
            }
        }
        _ => {}
    }
}

/// Rewrites the contents of a value.
pub(super) fn rewrite(
    value: &Value,
    key: Option<&str>,
    change: &mut impl FnMut(&str) -> String,
) -> Value {
    match value {
        Value::String(text) if !key.is_some_and(|key| KNOWN_WORDS.contains(&key)) => {
            Value::String(change(text))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| rewrite(item, key, change));
            Value::Array(items.collect())
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                let own = has_own_keys(key);
                let field = rewrite(field, key_of_child(key, name), change);
                (if own { change(name) } else { name.clone() }, field)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

pub(super) fn rewritten(adapted: &Adapted, change: &mut impl FnMut(&str) -> String) -> Adapted {
    Adapted {
        messages: adapted
            .messages
            .iter()
            .map(|message| rewrite(message, None, change))
            .collect(),
        tools: adapted
            .tools
            .as_ref()
            .map(|tools| rewrite(tools, None, change)),
    }
}
