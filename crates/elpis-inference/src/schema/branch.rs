//! What a set of schemas says together, taken apart into cases without a choice in them.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::check::equal;
use super::document::{Document, NodeId};
use super::keywords::{ANNOTATIONS, unsupported};
use super::language::Language;
use super::number::Numbers;
use super::regex::Regex;
use super::types::Types;
use super::uri::pointer_part;
use super::{exact, formats, object};

/// Most cases of one value, and of what has to be tried to find them.
const MAX_BRANCHES: usize = 2048;

/// Most schemas that hold together for one value.
const MAX_TOGETHER: usize = 512;

/// Most choices within each other.
const MAX_CHOICES: usize = 64;

/// A part of a schema that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaError {
    /// The keyword's place: a URI fragment with a JSON pointer.
    pub path: String,
    /// The whole reason.
    pub reason: String,
}

/// What strings have to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Strings<'a> {
    pub least: u64,
    pub most: Option<u64>,
    /// Each with the schema that has it.
    pub patterns: Vec<(NodeId, &'a str)>,
    pub formats: Vec<&'a str>,
}

/// How many there may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub least: u64,
    pub most: Option<u64>,
}

impl Count {
    fn at_least(&mut self, least: u64) {
        self.least = self.least.max(least);
    }

    fn at_most(&mut self, most: u64) {
        self.most = Some(self.most.map_or(most, |old| old.min(most)));
    }
}

/// One case of a value.
#[derive(Debug, Clone)]
pub(super) struct Branch<'a> {
    pub types: Types,
    pub numbers: Numbers,
    pub strings: Strings<'a>,
    pub items: Count,
    pub properties: Count,
    pub required: Vec<&'a str>,
    /// Properties that there must not be.
    pub absent: Vec<&'a str>,
    /// The only values, if they are enumerated.
    pub values: Option<Vec<&'a Value>>,
    /// Values that it must not have.
    pub excluded: Vec<&'a Value>,
    /// The schemas that say it, in their order.
    pub nodes: Vec<NodeId>,
    /// What cannot be enforced, unless the values are enumerated.
    unsupported: Option<SchemaError>,
}

/// A schema that is still to be read, with those that it is a part of in the same place.
#[derive(Debug, Clone)]
struct Pending {
    node: NodeId,
    within: Option<Rc<Pending>>,
}

/// One of several that has to hold.
#[derive(Debug, Clone)]
enum Choice<'a> {
    Any(Vec<Pending>),
    /// Of these exactly one; the place of the keyword, for errors.
    One(Vec<Pending>, String),
    /// Without this property, or with it and with others or a schema.
    Dependent(&'a str, Vec<&'a str>, Option<Pending>),
}

/// Takes schemas apart.
pub(super) struct Cases<'d, 'a> {
    document: &'d Document<'a>,
    tried: usize,
    out: Vec<Branch<'a>>,
}

type Found<T = ()> = Result<T, SchemaError>;

impl<'d, 'a> Cases<'d, 'a> {
    /// The cases of a value that all of these schemas hold for.
    ///
    /// # Errors
    /// What cannot be enforced, or is no schema.
    pub fn of(document: &'d Document<'a>, goal: &[NodeId]) -> Found<Vec<Branch<'a>>> {
        let pending = goal.iter().map(|node| Pending {
            node: *node,
            within: None,
        });
        let mut cases = Self {
            document,
            tried: 0,
            out: Vec::new(),
        };
        cases.expand(Branch::new(), pending.collect(), Vec::new(), 0)?;
        cases.finished()
    }

    /// Whether certainly no value has both parts of a case.
    fn are_apart(&self, branch: &Branch<'a>, one: &Pending, other: &Pending) -> Found<bool> {
        let mut cases = Self {
            document: self.document,
            tried: 0,
            out: Vec::new(),
        };
        let pending = vec![one.clone(), other.clone()];
        cases.expand(branch.clone(), pending, Vec::new(), MAX_CHOICES / 2)?;
        let mut apart = true;
        for branch in &cases.out {
            apart &= branch.is_certainly_empty(self.document, 6)?;
        }
        Ok(apart)
    }

    fn finished(self) -> Found<Vec<Branch<'a>>> {
        let mut all = Vec::with_capacity(self.out.len());
        for mut branch in self.out {
            if let Some(values) = branch.values.take() {
                let mut kept = Vec::new();
                for value in values {
                    if branch.allows(self.document, value)? {
                        kept.push(value);
                    }
                }
                branch.values = Some(kept);
            } else if let Some(error) = branch.unsupported {
                return Err(error);
            }
            all.push(branch);
        }
        Ok(all)
    }

    fn expand(
        &mut self,
        mut branch: Branch<'a>,
        pending: Vec<Pending>,
        mut choices: Vec<Choice<'a>>,
        depth: usize,
    ) -> Found {
        self.tried += 1;
        let mut open = VecDeque::from(pending);
        while let Some(next) = open.pop_front() {
            if branch.nodes.contains(&next.node) {
                continue;
            }
            let before = open.len();
            if branch.nodes.len() >= MAX_TOGETHER || self.document.is_exhausted() {
                let reason = "is one of too many schemas that hold together: there may be 512";
                return self.error(next.node, "", reason);
            }
            self.merge(&mut branch, &next, &mut open, &mut choices)?;
            // What a schema is made of comes before what stands beside it.
            open.rotate_right(open.len() - before);
            if branch.types.is_empty() || branch.values.as_ref().is_some_and(Vec::is_empty) {
                return Ok(());
            }
        }
        let Some(choice) = choices.pop() else {
            self.out.push(branch);
            return Ok(());
        };
        if self.out.len() + self.tried > 4 * MAX_BRANCHES
            || self.out.len() > MAX_BRANCHES
            || depth > MAX_CHOICES
        {
            let path = branch.nodes.first().map(|node| self.document.path(*node));
            return Err(SchemaError {
                path: path.unwrap_or_default(),
                reason: format!("has more than {MAX_BRANCHES} combinations of its choices"),
            });
        }
        match choice {
            Choice::Any(options) => {
                for option in options {
                    self.expand(branch.clone(), vec![option], choices.clone(), depth + 1)?;
                }
            }
            Choice::One(options, path) => {
                let apart = self.told_apart(&branch, &options, &path)?;
                for option in options {
                    let mut branch = branch.clone();
                    branch.require(apart);
                    self.expand(branch, vec![option], choices.clone(), depth + 1)?;
                }
            }
            Choice::Dependent(name, others, schema) => {
                let mut without = branch.clone();
                without.absent.push(name);
                self.expand(without, Vec::new(), choices.clone(), depth + 1)?;
                branch.types = branch.types.and(Types::OBJECT);
                branch.require(Some(name));
                for other in others {
                    branch.require(Some(other));
                }
                self.expand(branch, schema.into_iter().collect(), choices, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Makes sure that no two options hold at once; if need be by a property which then has to
    /// be there.
    fn told_apart(
        &self,
        branch: &Branch<'a>,
        options: &[Pending],
        path: &str,
    ) -> Found<Option<&'a str>> {
        if self.are_distinct_values(options) {
            return Ok(None);
        }
        let mut overlap = None;
        'all: for (at, one) in options.iter().enumerate() {
            for (other_at, other) in options.iter().enumerate().skip(at + 1) {
                if !self.are_apart(branch, one, other)? {
                    overlap = Some((at, other_at));
                    break 'all;
                }
            }
        }
        let Some((one, other)) = overlap else {
            return Ok(None);
        };
        for name in self.common_properties(branch, options)? {
            let mut required = branch.clone();
            required.types = required.types.and(Types::OBJECT);
            required.require(Some(name));
            let mut apart = branch.types == Types::OBJECT || options.len() < 2;
            for (at, one) in options.iter().enumerate() {
                for other in &options[at + 1..] {
                    apart = apart && self.are_apart(&required, one, other)?;
                }
            }
            if apart {
                return Ok(Some(name));
            }
        }
        Err(SchemaError {
            path: path.to_owned(),
            reason: format!(
                "cannot be enforced: a value may fulfil option {one} and option {other} at once; \
                 make them exclude each other, or use anyOf"
            ),
        })
    }

    /// Whether the options are values of which none stands in two.
    fn are_distinct_values(&self, options: &[Pending]) -> bool {
        let mut seen = HashSet::new();
        for option in options {
            let Value::Object(schema) = self.document.value(option.node) else {
                return false;
            };
            let values = match (schema.get("const"), schema.get("enum")) {
                (Some(value), None) => std::slice::from_ref(value),
                (None, Some(Value::Array(values))) => values,
                _ => return false,
            };
            let simple = |value: &Value| value.is_string() || value.is_boolean() || value.is_null();
            let own: HashSet<String> = values.iter().map(Value::to_string).collect();
            if !values.iter().all(simple) || own.iter().any(|value| seen.contains(value)) {
                return false;
            }
            seen.extend(own);
        }
        true
    }

    /// Properties that every option of objects declares.
    fn common_properties(&self, branch: &Branch<'a>, options: &[Pending]) -> Found<Vec<&'a str>> {
        let mut common: Option<Vec<&'a str>> = None;
        for option in options {
            let mut cases = Self {
                document: self.document,
                tried: 0,
                out: Vec::new(),
            };
            let pending = vec![option.clone()];
            cases.expand(branch.clone(), pending, Vec::new(), MAX_CHOICES / 2)?;
            for branch in &cases.out {
                let declared: Vec<&'a str> = branch
                    .nodes
                    .iter()
                    .filter_map(|node| self.document.value(*node).get("properties")?.as_object())
                    .flat_map(Map::keys)
                    .map(String::as_str)
                    .collect();
                common = Some(match common {
                    None => declared,
                    Some(common) => common
                        .into_iter()
                        .filter(|name| declared.contains(name))
                        .collect(),
                });
            }
        }
        Ok(common.unwrap_or_default())
    }

    fn error<T>(&self, node: NodeId, key: &str, reason: impl Into<String>) -> Found<T> {
        Err(error(self.document, node, key, reason))
    }

    fn child(&self, parent: &Pending, keys: &[&str]) -> Option<Pending> {
        let node = self.document.child(parent.node, keys)?;
        Some(Pending {
            node,
            within: Some(Rc::new(parent.clone())),
        })
    }

    fn merge(
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

    fn merge_types(
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

    fn merge_numbers(
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
            // Draft 4 has booleans beside the bounds.
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

    fn merge_counts(
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
                    // More than that is never written.
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

    fn merge_strings(
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
        // A format that is no text is none that is known.
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && !branch.strings.formats.contains(&format)
        {
            branch.strings.formats.push(format);
        }
        Ok(())
    }

    fn merge_properties(
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
            // Draft 3 has booleans, which say something of another object.
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

    fn merge_dependent(
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

    /// Reads a `not` of types, values or one required property; `false` if it says more.
    fn exclude(&self, branch: &mut Branch<'a>, node: NodeId, not: &'a Value) -> Found<bool> {
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

/// An error at a keyword.
pub(super) fn error(
    document: &Document<'_>,
    node: NodeId,
    key: &str,
    reason: impl Into<String>,
) -> SchemaError {
    let path = document.path(node);
    let slash = if key.is_empty() { "" } else { "/" };
    SchemaError {
        path: format!("{path}{slash}{key}"),
        reason: reason.into(),
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

impl<'a> Branch<'a> {
    /// The types of the values that it allows.
    pub fn kinds(&self) -> Types {
        match &self.values {
            None => self.types,
            Some(values) => {
                let kinds = values.iter().map(|value| Types::of(value));
                kinds.fold(Types::NONE, Types::or)
            }
        }
    }

    fn new() -> Self {
        Self {
            types: Types::ALL,
            numbers: Numbers::default(),
            strings: Strings::default(),
            items: Count::default(),
            properties: Count::default(),
            required: Vec::new(),
            absent: Vec::new(),
            values: None,
            excluded: Vec::new(),
            nodes: Vec::new(),
            unsupported: None,
        }
    }

    /// What the bounds, counts and names of one schema say.
    pub(super) fn of_keywords(document: &Document<'a>, node: NodeId) -> Found<Self> {
        let cases = Cases {
            document,
            tried: 0,
            out: Vec::new(),
        };
        let mut branch = Self::new();
        if let Value::Object(schema) = document.value(node) {
            cases.merge_numbers(&mut branch, node, schema)?;
            cases.merge_counts(&mut branch, node, schema)?;
            cases.merge_properties(&mut branch, node, schema)?;
        }
        Ok(branch)
    }

    /// Takes a type away; `false` for one that is a part of another.
    fn remove_type(&mut self, name: &str) -> bool {
        match Types::named(name) {
            Some(kind) if name != "integer" => self.types = self.types.without(kind),
            _ => return false,
        }
        true
    }

    fn require(&mut self, name: Option<&'a str>) {
        if let Some(name) = name
            && !self.required.contains(&name)
        {
            self.required.push(name);
        }
    }

    /// Whether certainly no value is left, looked at to a depth.
    fn is_certainly_empty(&self, document: &Document<'a>, depth: usize) -> Found<bool> {
        if let Some(values) = &self.values {
            for value in values {
                if self.allows(document, value)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let counts = |counts: &Count| counts.most.is_some_and(|most| most < counts.least);
        let mut types = self.types;
        if self.numbers.is_empty() {
            types = types.without(Types::NUMBER);
        }
        let strings = &self.strings;
        if strings.most.is_some_and(|most| most < strings.least)
            || types.has(Types::STRING) && self.has_no_string(document)?
        {
            types = types.without(Types::STRING);
        }
        if counts(&self.items) {
            types = types.without(Types::ARRAY);
        }
        if counts(&self.properties)
            || types.has(Types::OBJECT) && self.has_no_object(document, depth)?
        {
            types = types.without(Types::OBJECT);
        }
        Ok(types.is_empty())
    }

    /// Whether the patterns and formats leave no string.
    fn has_no_string(&self, document: &Document<'a>) -> Found<bool> {
        let strings = &self.strings;
        if strings.patterns.len() + strings.formats.len() < 2 {
            return Ok(false);
        }
        let mut parts = Vec::new();
        for (node, pattern) in &strings.patterns {
            parts.push(document.pattern(*node, "pattern", pattern)?);
        }
        parts.extend(
            strings
                .formats
                .iter()
                .flat_map(|format| formats::parts(format)),
        );
        // What takes too much work may have one.
        Ok(Language::new(&Regex::and(parts)).is_ok_and(|mut language| language.is_empty()))
    }

    fn has_no_object(&self, document: &Document<'a>, depth: usize) -> Found<bool> {
        let most = self.properties.most.unwrap_or(u64::MAX);
        if self.required.len() as u64 > most
            || self.required.iter().any(|name| self.absent.contains(name))
        {
            return Ok(true);
        }
        if depth == 0 {
            return Ok(false);
        }
        for name in &self.required {
            let goal = object::property(document, &self.nodes, name)?;
            let cases = Cases::of(document, &goal)?;
            let mut empty = true;
            for case in &cases {
                empty = empty && case.is_certainly_empty(document, depth - 1)?;
            }
            if empty {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
