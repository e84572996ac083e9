//! The grammar of `FunctionGemma`'s calls.

use serde_json::{Map, Value};

use super::{Rules, quote};
use crate::inference::tools::definition::ToolDefinition;
use crate::inference::tools::schema::{Field, Text, bound, divisible, fields, keywords};
use crate::inference::tools::write::{is_bare, spaced};

/// Stands on both sides of a text; no text can have it in it.
const ESCAPE: &str = "<escape>";

/// Keywords that let a value be one of several.
const CHOICE: [&str; 3] = ["type", "enum", "const"];

pub(super) struct FunctionRules<'a> {
    rules: Rules<'a>,
    /// [`ESCAPE`] in the grammar: a token or text.
    escape: &'a str,
}

impl<'a> FunctionRules<'a> {
    /// The rules of one tool, from `tool_n` on. `None` if its arguments have to be JSON as a whole.
    pub fn of(n: usize, tool: &'a ToolDefinition, escape: &'a str) -> Option<String> {
        let whole = tool.parameters.as_object()?;
        let fields = fields(whole).filter(|_| divisible(&tool.parameters))?;
        let rules = Rules::new(n, whole);
        let mut rules = Self { rules, escape };
        let body = rules.object(&fields)?;
        let (name, rest) = (quote(&tool.name), rules.rules.text);
        Some(format!("tool_{n}: {name} {body}\n{rest}"))
    }

    /// A value. `None` once there is too much.
    fn value(&mut self, schema: &Value) -> Option<String> {
        match self.native(schema) {
            Some(native) => native,
            None => self.rules.json(schema),
        }
    }

    /// A value in the notation of the model, `None` if it has none for what the schema says.
    #[expect(clippy::option_option, reason = "too much, or not to be said")]
    fn native(&mut self, schema: &Value) -> Option<Option<String>> {
        let schema = schema.as_object()?;
        let keys = keywords(schema);
        let only = |known: &[&str]| keys.iter().all(|key| known.contains(key));
        if keys == ["anyOf"] {
            return Some(self.one_of(schema["anyOf"].as_array()?.iter()));
        }
        if schema.contains_key("enum") || schema.contains_key("const") {
            let values = choices(schema).filter(|_| only(&CHOICE))?;
            return Some(Some(self.literals(&values)));
        }
        match schema.get("type")? {
            Value::Array(kinds) => {
                let of = |kind: &Value| {
                    let mut one = schema.clone();
                    one.insert("type".to_owned(), kind.clone());
                    Value::Object(one)
                };
                let ones: Vec<_> = kinds.iter().map(of).collect();
                Some(self.one_of(ones.iter()))
            }
            Value::String(kind) => match kind.as_str() {
                "string" => {
                    let text = Text::of(&Value::Object(schema.clone()))?;
                    Some(Some(self.text(&text)))
                }
                "array" if only(&["type", "items", "minItems", "maxItems"]) => {
                    let (least, most) = (bound(schema, "minItems")?, bound(schema, "maxItems")?);
                    let items = schema.get("items").filter(|items| items.is_object())?;
                    self.list(items, least.unwrap_or(0), most)
                }
                "object" => {
                    let fields = fields(schema)?;
                    let bare = |field: &Field<'_>| is_bare(field.name);
                    let own = ["$defs", "definitions"]
                        .iter()
                        .any(|key| schema.contains_key(*key));
                    (!own && fields.iter().all(bare)).then(|| self.object(&fields))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn one_of<'b>(&mut self, ways: impl Iterator<Item = &'b Value>) -> Option<String> {
        let ways: Option<Vec<_>> = ways.map(|way| self.value(way)).collect();
        Some(self.rules.rule(&ways?.join(" | ")))
    }

    fn literals(&mut self, values: &[Value]) -> String {
        let literal = |value: &Value| match value {
            Value::String(text) if !text.contains(ESCAPE) => self.quoted(text),
            other => quote(&spaced(other)),
        };
        let ways: Vec<_> = values.iter().map(literal).collect();
        self.rules.rule(&ways.join(" | "))
    }

    fn quoted(&self, text: &str) -> String {
        let escape = self.escape;
        if !self.is_token() {
            quote(&format!("{ESCAPE}{text}{ESCAPE}"))
        } else if text.is_empty() {
            format!("{escape} {escape}")
        } else {
            format!("{escape} {} {escape}", quote(text))
        }
    }

    fn text(&mut self, text: &Text) -> String {
        let escape = self.escape;
        if self.is_token() {
            if text.most == Some(0) {
                return self.quoted("");
            }
            let any = self.rules.text(text, text.least.max(1), ESCAPE);
            let often = if text.least == 0 { "?" } else { "" };
            return self.rules.rule(&format!("{escape} {any}{often} {escape}"));
        }
        // One lexeme: only the end says how long the text is.
        let any = self.rules.text(text, text.least, ESCAPE);
        self.rules.terminal(&format!("{escape} {any} {escape}"))
    }

    fn is_token(&self) -> bool {
        self.escape.starts_with("<[")
    }

    #[expect(clippy::option_option, reason = "too much, or not to be said")]
    fn list(&mut self, items: &Value, least: u64, most: Option<u64>) -> Option<Option<String>> {
        if most.is_some_and(|most| most < least) {
            return None;
        }
        if most == Some(0) {
            return Some(Some(quote("[]")));
        }
        let Some(item) = self.value(items) else {
            return Some(None);
        };
        let more = if most == Some(1) {
            item
        } else {
            let most = most.map(|most| (most - 1).to_string()).unwrap_or_default();
            format!(
                "{item} (\",\" {item}){{{},{most}}}",
                least.saturating_sub(1)
            )
        };
        let body = if least == 0 {
            format!("({more})?")
        } else {
            more
        };
        Some(Some(self.rules.rule(&format!("\"[\" {body} \"]\""))))
    }

    /// Properties in their order, with commas between those that are written.
    fn object(&mut self, fields: &[Field<'_>]) -> Option<String> {
        // What may stand from a property on: as the first one, or behind another.
        let (mut first, mut next) = (String::new(), String::new());
        for field in fields.iter().rev() {
            let value = self.value(field.schema)?;
            let key = if is_bare(field.name) {
                quote(&format!("{}:", field.name))
            } else {
                quote(&format!("{}: ", quote(field.name)))
            };
            let one = self.rules.rule(&format!("{key} {value}"));
            let with = format!("{one} {next}");
            if field.required {
                first = self.rules.rule(&with);
                next = self.rules.rule(&format!("\",\" {with}"));
            } else {
                // Nothing at all may follow the last required property.
                let without = if first.is_empty() { "\"\"" } else { &first };
                first = self.rules.rule(&format!("{with} | {without}"));
                let without = if next.is_empty() { "\"\"" } else { &next };
                next = self.rules.rule(&format!("\",\" {with} | {without}"));
            }
        }
        Some(self.rules.rule(&format!("\"{{\" {first} \"}}\"")))
    }
}

/// The values that an enumeration leaves, of the types that are allowed.
fn choices(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    let values = match (schema.get("enum"), schema.get("const")) {
        (Some(values), None) => values.as_array()?.clone(),
        (None, Some(value)) => vec![value.clone()],
        _ => return None,
    };
    let kinds = match schema.get("type") {
        None => return Some(values).filter(|values| !values.is_empty()),
        Some(Value::Array(kinds)) => kinds.clone(),
        Some(kind) => vec![kind.clone()],
    };
    let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
    let fits = |value: &Value| match value {
        Value::Null => kinds.contains(&"null"),
        Value::Bool(_) => kinds.contains(&"boolean"),
        Value::String(_) => kinds.contains(&"string"),
        Value::Array(_) => kinds.contains(&"array"),
        Value::Object(_) => kinds.contains(&"object"),
        Value::Number(number) => {
            kinds.contains(&"number")
                || kinds.contains(&"integer") && (number.is_i64() || number.is_u64())
        }
    };
    let values: Vec<_> = values.into_iter().filter(fits).collect();
    (!values.is_empty()).then_some(values)
}
