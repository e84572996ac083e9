//! One case of a value: the combined requirements of a set of schemas, without alternatives.

use serde_json::Value;

use super::document::NodeId;
use super::error::SchemaError;
use super::number::Numbers;
use super::types::Types;

/// The requirements on strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Strings<'a> {
    pub least: u64,
    pub most: Option<u64>,
    /// Each pattern with the schema that has it.
    pub patterns: Vec<(NodeId, &'a str)>,
    pub formats: Vec<&'a str>,
}

/// The allowed count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub least: u64,
    pub most: Option<u64>,
}

impl Count {
    pub(super) fn at_least(&mut self, least: u64) {
        self.least = self.least.max(least);
    }

    pub(super) fn at_most(&mut self, most: u64) {
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
    /// Properties that must be absent.
    pub absent: Vec<&'a str>,
    /// The only values, if they are enumerated.
    pub values: Option<Vec<&'a Value>>,
    /// Values that it must not have.
    pub excluded: Vec<&'a Value>,
    /// The schemas of the case, in their order.
    pub nodes: Vec<NodeId>,
    /// The part that cannot be enforced, unless the values are enumerated.
    pub unsupported: Option<SchemaError>,
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

    pub(super) fn new() -> Self {
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

    /// Removes a type. Returns `false` if it is part of another type.
    pub(super) fn remove_type(&mut self, name: &str) -> bool {
        match Types::named(name) {
            Some(kind) if name != "integer" => self.types = self.types.without(kind),
            _ => return false,
        }
        true
    }

    pub(super) fn require(&mut self, name: Option<&'a str>) {
        if let Some(name) = name
            && !self.required.contains(&name)
        {
            self.required.push(name);
        }
    }
}
