//! What notations without JSON need to know of a schema.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::definition::ToolSet;

/// Ends a parameter of Qwen3-Coder; no text can have it in it.
pub(super) const PARAMETER_END: &str = "</parameter>";

/// Keywords that say nothing about what is valid.
const ANNOTATIONS: [&str; 9] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
];

/// Keywords by which parts of a schema are referred to.
const NAMES: [&str; 4] = ["$id", "$anchor", "$dynamicRef", "$recursiveRef"];

/// The keywords that bind.
pub(super) fn keywords(schema: &Map<String, Value>) -> Vec<&str> {
    let binds = |key: &&str| !ANNOTATIONS.contains(key);
    schema.keys().map(String::as_str).filter(binds).collect()
}

/// A schema that texts alone fulfil, and perhaps null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub nullable: bool,
    /// The texts, if they are enumerated.
    pub choices: Option<Vec<String>>,
    /// Least and most characters.
    pub least: u64,
    pub most: Option<u64>,
}

impl Text {
    /// `None` for what is no text or what only JSON's grammar knows: patterns and formats.
    pub fn of(schema: &Value) -> Option<Self> {
        let schema = schema.as_object()?;
        let keys = keywords(schema);
        if keys == ["anyOf"] {
            let of = schema["anyOf"].as_array()?;
            let is_null = |one: &&Value| {
                let one = one.as_object();
                one.is_some_and(|one| {
                    one.get("type").is_some_and(|t| t == "null") && keywords(one).len() == 1
                })
            };
            let mut others = of.iter().filter(|one| !is_null(one));
            let (text, None) = (others.next()?, others.next()) else {
                return None;
            };
            let mut text = Self::of(text)?;
            text.nullable |= of.len() > 1;
            return Some(text);
        }
        let mut text = Self::default();
        let values = match (schema.get("enum"), schema.get("const")) {
            (None, None) => None,
            (Some(values), None) => Some(values.as_array()?.clone()),
            (None, Some(value)) => Some(vec![value.clone()]),
            (Some(_), Some(_)) => return None,
        };
        let mut texts = true;
        match schema.get("type") {
            None if values.is_some() => {
                texts = false;
                text.nullable = true;
            }
            Some(Value::String(kind)) if kind == "string" => {}
            Some(Value::Array(kinds)) => {
                let known = |kind: &Value| kind == "string" || kind == "null";
                if !kinds.contains(&"string".into()) || !kinds.iter().all(known) {
                    return None;
                }
                text.nullable = kinds.contains(&"null".into());
            }
            _ => return None,
        }
        if let Some(values) = values {
            if keys
                .iter()
                .any(|key| !["type", "enum", "const"].contains(key))
            {
                return None;
            }
            if !texts
                && !values
                    .iter()
                    .all(|value| value.is_string() || value.is_null())
            {
                return None;
            }
            text.nullable &= values.iter().any(Value::is_null);
            let choices = values.iter().filter_map(Value::as_str).map(str::to_owned);
            text.choices = Some(choices.collect()).filter(|choices: &Vec<_>| !choices.is_empty());
            return text.choices.is_some().then_some(text);
        }
        if keys
            .iter()
            .any(|key| !["type", "minLength", "maxLength"].contains(key))
        {
            return None;
        }
        text.least = bound(schema, "minLength")?.unwrap_or(0);
        text.most = bound(schema, "maxLength")?;
        let fits = text.most.is_none_or(|most| most >= text.least);
        fits.then_some(text)
    }
}

/// A keyword's number; `None` if it is none.
#[expect(clippy::option_option, reason = "a missing keyword is not a wrong one")]
pub(super) fn bound(schema: &Map<String, Value>, key: &str) -> Option<Option<u64>> {
    match schema.get(key) {
        None => Some(None),
        Some(value) => value.as_u64().map(Some),
    }
}

/// A property of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub name: &'a str,
    pub schema: &'a Value,
    pub required: bool,
}

/// The properties of an object that has no others; also of one that may have others, if it names
/// any, since it need not have them. `None` for what this cannot say.
pub(super) fn fields(schema: &Map<String, Value>) -> Option<Vec<Field<'_>>> {
    let known = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "$defs",
        "definitions",
    ];
    let properties = match schema.get("properties") {
        None => None,
        Some(properties) => Some(properties.as_object()?),
    };
    let further = match schema.get("additionalProperties") {
        None => true,
        Some(further) => further.as_bool()?,
    };
    let closed = !further || properties.is_some_and(|properties| !properties.is_empty());
    let plain = keywords(schema).iter().all(|key| known.contains(key));
    if schema.get("type")? != "object" || !closed || !plain {
        return None;
    }
    let required = match schema.get("required") {
        None => &[][..],
        Some(required) => required.as_array()?,
    };
    let has = |name: &Value| {
        let name = name.as_str();
        name.is_some_and(|name| properties.is_some_and(|known| known.contains_key(name)))
    };
    if !required.iter().all(has) {
        return None;
    }
    let list = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| Field {
            name,
            schema,
            required: required.iter().any(|key| key == name.as_str()),
        });
    let list: Vec<_> = list.collect();
    list.iter()
        .all(|field| field.schema.is_object() || field.schema == &Value::Bool(true))
        .then_some(list)
}

/// Whether parts of a schema can be compiled apart: all it refers to are its definitions.
pub(super) fn divisible(schema: &Value) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                let named = NAMES
                    .iter()
                    .any(|name| fields.get(*name).is_some_and(Value::is_string));
                let target = fields.get("$ref").and_then(Value::as_str);
                let kept =
                    |to: &str| to.starts_with("#/$defs/") || to.starts_with("#/definitions/");
                if named || target.is_some_and(|to| !kept(to)) {
                    return false;
                }
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    true
}

/// A part of a schema with the definitions that it refers to.
pub(super) fn part(whole: &Map<String, Value>, part: &Value) -> Value {
    let mut part = part.clone();
    if let Value::Object(fields) = &mut part
        && refers(fields)
    {
        for key in ["$defs", "definitions"] {
            if let Some(definitions) = whole.get(key) {
                fields.insert(key.to_owned(), definitions.clone());
            }
        }
    }
    part
}

fn refers(schema: &Map<String, Value>) -> bool {
    let mut open: Vec<&Value> = schema.values().collect();
    let mut found = schema.contains_key("$ref");
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                found |= fields.contains_key("$ref");
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    found
}

/// How the value of a parameter is written where texts have no quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// As it is.
    Text,
    /// As it is, or `null`.
    NullableText,
    Json,
    /// Not declared: JSON, or else text.
    Unknown,
}

impl Notation {
    pub fn of(schema: &Value) -> Self {
        let Some(text) = Text::of(schema) else {
            return Self::Json;
        };
        let mut choices = text.choices.iter().flatten();
        let unclear = |text_is: &String| {
            text_is.contains(PARAMETER_END) || text.nullable && text_is == "null"
        };
        match text.nullable {
            _ if choices.any(unclear) => Self::Json,
            true => Self::NullableText,
            false => Self::Text,
        }
    }
}

/// The notations of all parameters, by tool and name.
#[derive(Debug, Clone, Default)]
pub(super) struct Notations(Arc<HashMap<String, HashMap<String, Notation>>>);

impl Notations {
    pub fn new(tools: &ToolSet) -> Self {
        let of_tool = |parameters: &Value| {
            let properties = parameters.get("properties").and_then(Value::as_object);
            let properties = properties.into_iter().flatten();
            properties
                .map(|(name, schema)| (name.clone(), Notation::of(schema)))
                .collect()
        };
        let tools = tools.tools().iter();
        let tools = tools.map(|tool| (tool.name.clone(), of_tool(&tool.parameters)));
        Self(Arc::new(tools.collect()))
    }

    pub fn of(&self, tool: &str, parameter: &str) -> Notation {
        let tool = self.0.get(tool);
        let notation = tool.and_then(|tool| tool.get(parameter));
        notation.copied().unwrap_or(Notation::Unknown)
    }
}
