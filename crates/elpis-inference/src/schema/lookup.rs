//! Finds the schemas of a part of a value by its path.

use super::document::{Document, NodeId};
use super::types::Types;

/// The schemas that apply to a part: all schemas of one of these lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup(Vec<Vec<NodeId>>);

impl Lookup {
    /// The value as a whole.
    pub fn root(document: &Document<'_>) -> Self {
        Self(vec![vec![document.root()]])
    }

    /// Any of these lists.
    #[cfg(feature = "tools")]
    pub fn of(goal: &[NodeId]) -> Self {
        Self(vec![goal.to_vec()])
    }

    /// A property of the objects that this applies to; `None` if it is unrestricted.
    pub fn property(&self, document: &Document<'_>, name: &str) -> Option<Self> {
        self.step(|goal| part::property(document, goal, name))
    }

    /// An item of the lists that this applies to; `None` if it is unrestricted.
    pub fn item(&self, document: &Document<'_>, at: usize) -> Option<Self> {
        self.step(|goal| part::item(document, goal, at))
    }

    fn step(&self, part: impl Fn(&[NodeId]) -> Vec<Vec<NodeId>>) -> Option<Self> {
        let mut all: Vec<Vec<NodeId>> = self.0.iter().flat_map(|goal| part(goal)).collect();
        all.sort_unstable();
        all.dedup();
        let says = all.iter().any(|goal| !goal.is_empty());
        says.then_some(Self(all))
    }

    /// A superset of the types that the part may have.
    pub fn types(&self, document: &Document<'_>) -> Types {
        let types = self.0.iter().map(|goal| part::types(document, goal));
        types.fold(Types::NONE, Types::or)
    }
}

/// The look-up by cases, as the grammars of this build use it.
#[cfg(feature = "tools")]
mod part {
    use super::{Document, NodeId, Types};
    use crate::schema::cases::Cases;
    use crate::schema::{object, types};

    pub fn property(document: &Document<'_>, goal: &[NodeId], name: &str) -> Vec<Vec<NodeId>> {
        let cases = Cases::of(document, goal).unwrap_or_default();
        let cases = cases.iter();
        cases
            .filter_map(|case| object::property(document, &case.nodes, name).ok())
            .collect()
    }

    pub fn item(document: &Document<'_>, goal: &[NodeId], at: usize) -> Vec<Vec<NodeId>> {
        let cases = Cases::of(document, goal).unwrap_or_default();
        let cases = cases.iter();
        cases
            .map(|case| object::item(document, &case.nodes, at))
            .collect()
    }

    pub fn types(document: &Document<'_>, goal: &[NodeId]) -> Types {
        match Cases::of(document, goal) {
            Ok(cases) => cases
                .iter()
                .fold(Types::NONE, |all, case| all.or(case.kinds())),
            Err(_) => goal.iter().fold(Types::ALL, |all, node| {
                all.and(types::types(document, *node))
            }),
        }
    }
}

/// The look-up without cases: properties and items declared by name or place.
#[cfg(not(feature = "tools"))]
mod part {
    use serde_json::Value;

    use super::{Document, NodeId, Types};
    use crate::schema::types;

    /// Maximum nesting of schemas that are examined.
    const MAX_DEPTH: usize = 16;

    pub fn property(document: &Document<'_>, goal: &[NodeId], name: &str) -> Vec<Vec<NodeId>> {
        parts(document, goal, &["properties", name])
    }

    pub fn item(document: &Document<'_>, goal: &[NodeId], at: usize) -> Vec<Vec<NodeId>> {
        let first = parts(document, goal, &["prefixItems", &at.to_string()]);
        if first.is_empty() {
            return parts(document, goal, &["items"]);
        }
        first
    }

    fn parts(document: &Document<'_>, goal: &[NodeId], keys: &[&str]) -> Vec<Vec<NodeId>> {
        let mut found = Vec::new();
        for node in goal {
            collect(document, *node, keys, 0, &mut found);
        }
        found.into_iter().map(|node| vec![node]).collect()
    }

    fn collect(
        document: &Document<'_>,
        node: NodeId,
        keys: &[&str],
        depth: usize,
        found: &mut Vec<NodeId>,
    ) {
        let Some(schema) = document.value(node).as_object() else {
            return;
        };
        if depth > MAX_DEPTH || found.len() > MAX_DEPTH {
            return;
        }
        found.extend(document.child(node, keys));
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && let Ok(target) = document.resolve(node, reference)
        {
            collect(document, target, keys, depth + 1, found);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            let options = schema.get(key).and_then(Value::as_array);
            for at in 0..options.map_or(0, Vec::len) {
                if let Some(option) = document.child(node, &[key, &at.to_string()]) {
                    collect(document, option, keys, depth + 1, found);
                }
            }
        }
    }

    pub fn types(document: &Document<'_>, goal: &[NodeId]) -> Types {
        goal.iter().fold(Types::ALL, |all, node| {
            all.and(types::types(document, *node))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_types_of_a_part_are_told_from_all_that_holds_for_it() {
        let schema = json!({
            "$ref": "#/$defs/e",
            "anyOf": [{"properties": {"b": {"type": "null"}}}, {"properties": {"b": {"type": "string"}}}],
            "properties": {"l": {"items": {"type": "number"}}},
            "$defs": {"e": {"properties": {"a": {"type": "string"}}}},
        });
        let document = Document::new(&schema);
        let root = Lookup::root(&document);
        let types = |name| {
            root.property(&document, name)
                .map(|part| part.types(&document))
        };
        assert_eq!(types("a"), Some(Types::STRING));
        assert_eq!(types("b"), Some(Types::STRING.or(Types::NULL)));
        assert_eq!(types("c"), None);
        let items = root
            .property(&document, "l")
            .and_then(|list| list.item(&document, 3));
        assert_eq!(items.unwrap().types(&document), Types::NUMBER);
    }

    #[cfg(feature = "tools")]
    #[test]
    fn properties_that_are_not_named_are_told_as_well() {
        let schema = json!({
            "patternProperties": {"^n_": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
        });
        let document = Document::new(&schema);
        let root = Lookup::root(&document);
        let types = |name| {
            root.property(&document, name)
                .map(|part| part.types(&document))
        };
        assert_eq!(types("n_1"), Some(Types::NUMBER));
        assert_eq!(types("x"), Some(Types::STRING));
    }
}
