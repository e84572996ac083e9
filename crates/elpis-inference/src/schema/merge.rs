//! Merges one more schema into a case.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::branch::Branch;
use super::cases::{Cases, Choice, Pending};
use super::document::NodeId;
use super::error::{Found, error};
use super::exact::{self, equal};
use super::keywords::{ANNOTATIONS, unsupported};
use super::types::Types;
use super::uri::pointer_part;

impl<'a> Cases<'_, 'a> {
    pub(super) fn merge(
        &self,
        branch: &mut Branch<'a>,
        pending: &Pending,
        open: &mut VecDeque<Pending>,
        choices: &mut Vec<Choice<'a>>,
    ) -> Found {
        let node = pending.node;
        branch.nodes.push(node);
        let schema = match self.document.value(node) {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => {
                branch.types = Types::NONE;
                return Ok(());
            }
            Value::Object(schema) => schema,
            _ => return self.error(node, "", "is no schema, which is an object or a boolean"),
        };
        for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = schema.get(key) else {
                continue;
            };
            let Some(text) = reference.as_str() else {
                return self.error(node, key, "is not a string");
            };
            let target = if key == "$ref" {
                self.document.resolve(node, text)
            } else {
                self.document.resolve_dynamic(node, text)
            };
            let target = target.or_else(|reason| self.error(node, key, reason))?;
            let mut around = Some(pending);
            while let Some(one) = around {
                if one.node == target {
                    return self.error(
                        node,
                        key,
                        format!("{text:?} refers to itself and to nothing else"),
                    );
                }
                around = one.within.as_deref();
            }
            open.push_back(Pending {
                node: target,
                within: Some(Rc::new(pending.clone())),
            });
            if key == "$ref" && self.document.draft.lone_ref {
                return Ok(());
            }
        }
        if let Some((key, reason)) = unsupported(schema) {
            let error = error(self.document, node, key, reason);
            branch.unsupported.get_or_insert(error);
        }
        if let Some(not) = schema.get("not")
            && !self.exclude(branch, node, not)?
        {
            let reason = "cannot be enforced, except for types, values and one required property";
            let error = error(self.document, node, "not", reason);
            branch.unsupported.get_or_insert(error);
        }
        self.merge_types(branch, node, schema)?;
        self.merge_numbers(branch, node, schema)?;
        self.merge_counts(branch, node, schema)?;
        self.merge_strings(branch, node, schema)?;
        self.merge_properties(branch, node, schema)?;
        for key in ["allOf", "anyOf", "oneOf"] {
            let Some(options) = schema.get(key) else {
                continue;
            };
            let Some(count) = options.as_array().map(Vec::len) else {
                return self.error(node, key, "is not a list of schemas");
            };
            let options = (0..count).filter_map(|at| self.child(pending, &[key, &at.to_string()]));
            match key {
                "allOf" => open.extend(options),
                "anyOf" => choices.push(Choice::Any(options.collect())),
                _ => {
                    let path = format!("{}/{key}", self.document.path(node));
                    choices.push(Choice::One(options.collect(), path));
                }
            }
        }
        self.merge_dependent(pending, schema, choices)
    }

    pub(super) fn merge_types(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        schema: &'a Map<String, Value>,
    ) -> Found {
        if let Some(kind) = schema.get("type") {
            let names = match kind {
                Value::Array(names) => names.iter().collect(),
                one => vec![one],
            };
            let mut types = Types::NONE;
            let mut integers = true;
            for name in names {
                let text = name.as_str();
                let Some(kind) = text.and_then(Types::named) else {
                    return self.error(node, "type", format!("{name} is no type of JSON"));
                };
                types = types.or(kind);
                integers &= text != Some("number");
            }
            branch.types = branch.types.and(types);
            branch.numbers.integer |= integers && types.has(Types::NUMBER);
        }
        let values = match (schema.get("enum"), schema.get("const")) {
            (None, None) => return Ok(()),
            (Some(Value::Array(values)), _) => values.iter().collect(),
            (Some(_), _) => return self.error(node, "enum", "is not a list of values"),
            (None, Some(value)) => vec![value],
        };
        for (at, value) in values.iter().enumerate() {
            if let Some((path, reason)) = rounded(value) {
                let key = if schema.contains_key("enum") {
                    format!("enum/{at}{path}")
                } else {
                    format!("const{path}")
                };
                return self.error(node, &key, reason);
            }
        }
        let mut values: Vec<&Value> = values;
        if let (Some(_), Some(value)) = (schema.get("enum"), schema.get("const")) {
            values.retain(|other| equal(other, value));
        }
        branch.values = Some(match branch.values.take() {
            None => values,
            Some(mut old) => {
                old.retain(|one| values.iter().any(|other| equal(one, other)));
                old
            }
        });
        Ok(())
    }

    pub(super) fn merge_numbers(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        schema: &Map<String, Value>,
    ) -> Found {
        let number = |key: &str| match schema.get(key) {
            Some(Value::Number(number)) => match exact::decimal(number) {
                Ok(decimal) => Ok(Some(decimal)),
                Err(reason) => self.error(node, key, reason),
            },
            // Draft 4 has booleans next to the bounds.
            Some(Value::Bool(_)) if key.starts_with("exclusive") => Ok(None),
            Some(_) => self.error(node, key, "is not a number"),
            None => Ok(None),
        };
        let is_exclusive = |key: &str| schema.get(key) == Some(&Value::Bool(true));
        if let Some(low) = number("minimum")? {
            branch
                .numbers
                .set_low(low, !is_exclusive("exclusiveMinimum"));
        }
        if let Some(low) = number("exclusiveMinimum")? {
            branch.numbers.set_low(low, false);
        }
        if let Some(high) = number("maximum")? {
            branch
                .numbers
                .set_high(high, !is_exclusive("exclusiveMaximum"));
        }
        if let Some(high) = number("exclusiveMaximum")? {
            branch.numbers.set_high(high, false);
        }
        if let Some(of) = number("multipleOf")? {
            if of.is_zero() || of.is_negative() {
                return self.error(node, "multipleOf", "is not above 0");
            }
            branch.numbers.add_multiple(of);
        }
        Ok(())
    }

    pub(super) fn merge_counts(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        schema: &Map<String, Value>,
    ) -> Found {
        let count = |key: &str| {
            let Some(value) = schema.get(key) else {
                return Ok(None);
            };
            let number = value
                .as_number()
                .and_then(|number| exact::decimal(number).ok());
            match number {
                Some(number) if number.is_integer() && !number.is_negative() => {
                    // Larger counts are never reached.
                    let count = number.integer_text().and_then(|text| text.parse().ok());
                    Ok(Some(count.unwrap_or(u64::MAX)))
                }
                _ => self.error(
                    node,
                    key,
                    format!("is {value}, but must be a whole number from 0 on"),
                ),
            }
        };
        let strings = &mut branch.strings;
        strings.least = strings.least.max(count("minLength")?.unwrap_or(0));
        if let Some(most) = count("maxLength")? {
            strings.most = Some(strings.most.map_or(most, |old| old.min(most)));
        }
        for (counts, least, most) in [
            (&mut branch.items, "minItems", "maxItems"),
            (&mut branch.properties, "minProperties", "maxProperties"),
        ] {
            counts.at_least(count(least)?.unwrap_or(0));
            if let Some(most) = count(most)? {
                counts.at_most(most);
            }
        }
        Ok(())
    }

    pub(super) fn merge_strings(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        schema: &'a Map<String, Value>,
    ) -> Found {
        if let Some(pattern) = schema.get("pattern") {
            let Some(pattern) = pattern.as_str() else {
                return self.error(node, "pattern", "is not a string");
            };
            branch.strings.patterns.push((node, pattern));
        }
        // A format that is not a string is unknown.
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && !branch.strings.formats.contains(&format)
        {
            branch.strings.formats.push(format);
        }
        Ok(())
    }

    pub(super) fn merge_properties(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        schema: &'a Map<String, Value>,
    ) -> Found {
        for key in ["properties", "patternProperties"] {
            if schema.get(key).is_some_and(|value| !value.is_object()) {
                return self.error(node, key, "is not an object of schemas");
            }
        }
        match schema.get("required") {
            // Draft 3 has booleans, which concern another object.
            None | Some(Value::Bool(_)) => {}
            Some(Value::Array(names)) => {
                for name in names {
                    let Some(name) = name.as_str() else {
                        return self.error(node, "required", format!("{name} is not a name"));
                    };
                    branch.require(Some(name));
                }
            }
            Some(_) => return self.error(node, "required", "is not a list of names"),
        }
        Ok(())
    }

    pub(super) fn merge_dependent(
        &self,
        pending: &Pending,
        schema: &'a Map<String, Value>,
        choices: &mut Vec<Choice<'a>>,
    ) -> Found {
        for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
            let Some(all) = schema.get(key) else { continue };
            let Some(all) = all.as_object() else {
                return self.error(pending.node, key, "is not an object");
            };
            for (name, value) in all {
                let choice = if let Value::Array(names) = value {
                    let names = names.iter().filter_map(Value::as_str).collect();
                    Choice::Dependent(name, names, None)
                } else {
                    let schema = self.child(pending, &[key, name]);
                    Choice::Dependent(name, Vec::new(), schema)
                };
                choices.push(choice);
            }
        }
        Ok(())
    }

    /// Reads a `not` of types, values or one required property. Returns `false` for anything else.
    pub(super) fn exclude(
        &self,
        branch: &mut Branch<'a>,
        node: NodeId,
        not: &'a Value,
    ) -> Found<bool> {
        let not = match not {
            Value::Bool(false) => return Ok(true),
            Value::Bool(true) => {
                branch.types = Types::NONE;
                return Ok(true);
            }
            Value::Object(not) => not,
            _ => return self.error(node, "not", "is no schema"),
        };
        let says = |(key, _): &(&String, &Value)| !ANNOTATIONS.contains(&key.as_str());
        let mut keywords = not.iter().filter(says);
        let Some((key, value)) = keywords.next() else {
            branch.types = Types::NONE;
            return Ok(true);
        };
        if keywords.next().is_some() {
            return Ok(false);
        }
        match (key.as_str(), value) {
            ("type", Value::String(name)) => return Ok(branch.remove_type(name)),
            ("type", Value::Array(names)) => {
                let mut names = names.iter();
                return Ok(
                    names.all(|name| name.as_str().is_some_and(|name| branch.remove_type(name)))
                );
            }
            ("const", value) => branch.excluded.push(value),
            ("enum", Value::Array(values)) => branch.excluded.extend(values),
            ("required", Value::Array(names)) => match names.as_slice() {
                [Value::String(name)] => branch.absent.push(name),
                _ => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The first number in a value that was rounded: its place and the reason.
fn rounded(value: &Value) -> Option<(String, String)> {
    let mut open = vec![(value, String::new())];
    while let Some((value, path)) = open.pop() {
        match value {
            Value::Number(number) => {
                if let Err(reason) = exact::decimal(number) {
                    return Some((path, reason));
                }
            }
            Value::Array(items) => {
                let item = |(at, item)| (item, format!("{path}/{at}"));
                open.extend(items.iter().enumerate().map(item));
            }
            Value::Object(fields) => {
                let field =
                    |(key, value): (&String, _)| (value, format!("{path}/{}", pointer_part(key)));
                open.extend(fields.iter().map(field));
            }
            _ => {}
        }
    }
    None
}
