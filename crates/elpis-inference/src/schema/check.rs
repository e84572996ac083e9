//! Checks whether a value listed in a schema is valid under the whole schema.

use serde_json::{Map, Value};

use super::branch::Branch;
use super::document::{Document, NodeId};
use super::error::{SchemaError, error};
use super::exact::equal;
use super::types::Types;
use super::{exact, object, string_formats};

/// Maximum nesting of schemas, including references.
const MAX_DEPTH: usize = 128;

impl<'a> Branch<'a> {
    /// Whether a value is valid in this case.
    pub(super) fn allows(
        &self,
        document: &Document<'a>,
        value: &Value,
    ) -> Result<bool, SchemaError> {
        let has = |name: &&str| value.get(*name).is_some();
        if !self.types.has(Types::of(value))
            || self.excluded.iter().any(|other| equal(value, other))
            || value.is_object() && (!self.required.iter().all(has) || self.absent.iter().any(has))
        {
            return Ok(false);
        }
        for node in &self.nodes {
            if !valid(document, *node, value, 0)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Document<'_> {
    /// Whether a value is valid under a schema.
    pub(super) fn allows(&self, node: NodeId, value: &Value) -> Result<bool, SchemaError> {
        valid(self, node, value, 0)
    }
}

#[expect(clippy::too_many_lines, reason = "a few lines for each keyword")]
fn valid(
    document: &Document<'_>,
    node: NodeId,
    value: &Value,
    depth: usize,
) -> Result<bool, SchemaError> {
    let schema = match document.value(node) {
        Value::Bool(all) => return Ok(*all),
        Value::Object(schema) => schema,
        _ => return Err(error(document, node, "", "is no schema")),
    };
    if depth > MAX_DEPTH {
        return Err(error(document, node, "", "refers to itself too often"));
    }
    let child = |keys: &[&str], value: &Value| match document.child(node, keys) {
        Some(child) => valid(document, child, value, depth + 1),
        None => Ok(true),
    };
    for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
        if let Some(reference) = schema.get(key).and_then(Value::as_str) {
            let target = if key == "$ref" {
                document.resolve(node, reference)
            } else {
                document.resolve_dynamic(node, reference)
            };
            let target = target.map_err(|reason| error(document, node, key, reason))?;
            let holds = valid(document, target, value, depth + 1)?;
            if !holds || document.draft.lone_ref {
                return Ok(holds);
            }
        }
    }
    let is_kind = |name: &Value| match (name.as_str(), value) {
        (Some("integer"), Value::Number(number)) => {
            exact::decimal(number).is_ok_and(|number| number.is_integer())
        }
        (Some(name), value) => Types::named(name) == Some(Types::of(value)),
        _ => false,
    };
    let typed = match schema.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(is_kind),
        Some(name) => is_kind(name),
    };
    let is = |other: &Value| equal(value, other);
    let listed = schema.get("enum").and_then(Value::as_array);
    if !typed
        || listed.is_some_and(|values| !values.iter().any(is))
        || schema.get("const").is_some_and(|other| !is(other))
    {
        return Ok(false);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let Some(options) = schema.get(key).and_then(Value::as_array) else {
            continue;
        };
        let mut hold = 0;
        for at in 0..options.len() {
            hold += usize::from(child(&[key, &at.to_string()], value)?);
        }
        let holds = match key {
            "allOf" => hold == options.len(),
            "anyOf" => hold > 0,
            _ => hold == 1,
        };
        if !holds {
            return Ok(false);
        }
    }
    if schema.contains_key("not") && child(&["not"], value)? {
        return Ok(false);
    }
    if schema.contains_key("if") {
        let then = child(&["if"], value)?;
        if !child(&[if then { "then" } else { "else" }], value)? {
            return Ok(false);
        }
    }
    match value {
        Value::Number(_) | Value::Null | Value::Bool(_) => simple(document, node, value),
        Value::String(text) => Ok(simple(document, node, value)? && {
            let mut fits = true;
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
                fits &= document.finds(node, "pattern", pattern, text)?;
            }
            let format = schema.get("format").and_then(Value::as_str);
            for regex in format.into_iter().flat_map(string_formats::parts) {
                fits &= document.has(node, "format", &regex, text)?;
            }
            fits
        }),
        Value::Array(items) => {
            if !simple(document, node, value)? {
                return Ok(false);
            }
            for (at, item) in items.iter().enumerate() {
                for schema in object::item(document, &[node], at) {
                    if !valid(document, schema, item, depth + 1)? {
                        return Ok(false);
                    }
                }
            }
            let twice =
                |(at, item): (usize, &Value)| items[..at].iter().any(|other| equal(other, item));
            if schema.get("uniqueItems") == Some(&Value::Bool(true))
                && items.iter().enumerate().any(twice)
            {
                return Ok(false);
            }
            if schema.contains_key("contains") {
                let mut found = 0_u64;
                for item in items {
                    found += u64::from(child(&["contains"], item)?);
                }
                let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
                let most = bound("maxContains").unwrap_or(u64::MAX);
                return Ok(found >= bound("minContains").unwrap_or(1) && found <= most);
            }
            Ok(true)
        }
        Value::Object(fields) => {
            if !simple(document, node, value)? {
                return Ok(false);
            }
            for (name, value) in fields {
                if !child(&["propertyNames"], &Value::from(name.as_str()))? {
                    return Ok(false);
                }
                for schema in object::property(document, &[node], name)? {
                    if !valid(document, schema, value, depth + 1)? {
                        return Ok(false);
                    }
                }
            }
            for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
                let all = schema.get(key).and_then(Value::as_object);
                for (name, needed) in all.into_iter().flatten() {
                    let holds = match needed {
                        _ if !fields.contains_key(name) => true,
                        Value::Array(names) => has_all(fields, names),
                        _ => child(&[key, name], value)?,
                    };
                    if !holds {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        }
    }
}

fn has_all(fields: &Map<String, Value>, names: &[Value]) -> bool {
    let mut names = names.iter().filter_map(Value::as_str);
    names.all(|name| fields.contains_key(name))
}

/// Bounds, lengths and required names.
fn simple(document: &Document<'_>, node: NodeId, value: &Value) -> Result<bool, SchemaError> {
    let branch = Branch::of_keywords(document, node)?;
    let within = |count: usize, counts: &super::branch::Count| {
        let count = count as u64;
        count >= counts.least && counts.most.is_none_or(|most| count <= most)
    };
    Ok(match value {
        Value::Number(number) => {
            let exact = exact::decimal(number).ok();
            let fits = exact.and_then(|number| branch.numbers.contains(&number));
            fits.ok_or_else(|| error(document, node, "multipleOf", "has too many digits"))?
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            let most = branch.strings.most;
            length >= branch.strings.least && most.is_none_or(|most| length <= most)
        }
        Value::Array(items) => within(items.len(), &branch.items),
        Value::Object(fields) => {
            let has = |name: &&str| fields.contains_key(*name);
            within(fields.len(), &branch.properties) && branch.required.iter().all(has)
        }
        Value::Null | Value::Bool(_) => true,
    })
}
