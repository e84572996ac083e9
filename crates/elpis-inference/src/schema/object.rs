//! Determines the schemas that apply to the properties of objects.

use serde_json::{Map, Value};

use super::branch::Branch;
use super::document::{Document, NodeId};
use super::error::{SchemaError, error};
use super::language::Language;
use super::regex::Regex;

/// Maximum number of patterns for names at one place, because each subset of them is a case.
const MAX_PATTERNS: usize = 6;

/// Schemas that apply together, in order and without duplicates.
pub(super) type Goal = Vec<NodeId>;

/// The schemas for a property of an object to which all of `nodes` apply.
pub(super) fn property(
    document: &Document<'_>,
    nodes: &[NodeId],
    name: &str,
) -> Result<Goal, SchemaError> {
    let mut goal = Goal::new();
    for node in nodes {
        let Value::Object(schema) = document.value(*node) else {
            continue;
        };
        let mut known = false;
        if let Some(own) = document.child(*node, &["properties", name])
            && schema.get("properties").is_some_and(Value::is_object)
        {
            goal.push(own);
            known = true;
        }
        for pattern in patterns(schema) {
            if document.finds(*node, "patternProperties", pattern, name)? {
                goal.extend(document.child(*node, &["patternProperties", pattern]));
                known = true;
            }
        }
        if !known {
            goal.extend(others(document, *node, schema));
        }
    }
    goal.sort_unstable();
    goal.dedup();
    Ok(goal)
}

/// The schema for properties that are not named.
fn others(document: &Document<'_>, node: NodeId, schema: &Map<String, Value>) -> Option<NodeId> {
    let key = ["additionalProperties", "unevaluatedProperties"]
        .into_iter()
        .find(|key| schema.contains_key(*key))?;
    document.child(node, &[key])
}

fn patterns(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    patterns.into_iter().flat_map(Map::keys).map(String::as_str)
}

/// The names that the schemas of a case declare or require, in their order.
pub(super) fn names<'a>(document: &Document<'a>, branch: &Branch<'a>) -> Vec<&'a str> {
    let mut names: Vec<&'a str> = Vec::new();
    for node in &branch.nodes {
        let declared = document.value(*node).get("properties");
        let declared = declared.and_then(Value::as_object).into_iter();
        for name in declared.flat_map(Map::keys) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for name in branch.required.iter().chain(&branch.absent) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
}

/// The undeclared names, grouped by the schemas of their values.
pub(super) fn free_names<'a>(
    document: &Document<'a>,
    branch: &Branch<'a>,
    declared: &[&str],
) -> Result<Vec<(Regex, Goal)>, SchemaError> {
    let mut all: Vec<(NodeId, &str, Regex)> = Vec::new();
    for node in &branch.nodes {
        if let Value::Object(schema) = document.value(*node) {
            for pattern in patterns(schema) {
                all.push((
                    *node,
                    pattern,
                    document.pattern(*node, "patternProperties", pattern)?,
                ));
            }
        }
    }
    if all.len() > MAX_PATTERNS {
        let (node, ..) = all[0];
        let reason = format!("has more than {MAX_PATTERNS} patterns for the same object");
        return Err(error(document, node, "patternProperties", reason));
    }
    let taken = Regex::alt(declared.iter().map(|name| Regex::literal(name))).not();
    let mut classes = Vec::new();
    for set in 0..1_u32 << all.len() {
        let has = |at: usize| set & 1 << at != 0;
        let parts = all.iter().enumerate().map(|(at, (_, _, regex))| {
            let regex = regex.clone();
            if has(at) { regex } else { regex.not() }
        });
        let regex = Regex::and(parts.chain([taken.clone()]));
        // Without patterns there are always more names.
        if !all.is_empty() {
            let (node, ..) = all[0];
            let mut language = Language::new(&regex)
                .map_err(|reason| error(document, node, "patternProperties", reason))?;
            if language.is_empty() {
                continue;
            }
        }
        let mut goal = Goal::new();
        for node in &branch.nodes {
            let Value::Object(schema) = document.value(*node) else {
                continue;
            };
            let mut known = false;
            for (at, (of, pattern, _)) in all.iter().enumerate() {
                if of == node && has(at) {
                    goal.extend(document.child(*node, &["patternProperties", pattern]));
                    known = true;
                }
            }
            if !known {
                goal.extend(others(document, *node, schema));
            }
        }
        goal.sort_unstable();
        goal.dedup();
        classes.push((regex, goal));
    }
    Ok(classes)
}

/// The schemas that all names must match.
pub(super) fn name_goal(document: &Document<'_>, nodes: &[NodeId]) -> Goal {
    let mut goal: Goal = nodes
        .iter()
        .filter(|node| document.value(**node).is_object())
        .filter_map(|node| document.child(*node, &["propertyNames"]))
        .collect();
    goal.sort_unstable();
    goal.dedup();
    goal
}

/// The schemas for the item at an index of a list to which all of `nodes` apply.
pub(super) fn item(document: &Document<'_>, nodes: &[NodeId], at: usize) -> Goal {
    let mut goal = Goal::new();
    for node in nodes {
        let Value::Object(schema) = document.value(*node) else {
            continue;
        };
        let (first, rest) = list_keys(schema);
        let own = first.and_then(|key| document.child(*node, &[key, &at.to_string()]));
        goal.extend(own.or_else(|| document.child(*node, &[rest?])));
    }
    goal.sort_unstable();
    goal.dedup();
    goal
}

/// Number of first items with individual schemas.
pub(super) fn first_items(document: &Document<'_>, nodes: &[NodeId]) -> usize {
    let count = |node: &NodeId| {
        let schema = document.value(*node).as_object()?;
        let (first, _) = list_keys(schema);
        Some(schema.get(first?)?.as_array()?.len())
    };
    nodes.iter().filter_map(count).max().unwrap_or(0)
}

/// The keywords for the first items and for the rest. Until draft 2019-09, a list in `items` means
/// what `prefixItems` means later.
fn list_keys(schema: &Map<String, Value>) -> (Option<&'static str>, Option<&'static str>) {
    let has = |key: &'static str| schema.contains_key(key).then_some(key);
    let rest = |key| has(key).or_else(|| has("unevaluatedItems"));
    match schema.get("items") {
        Some(Value::Array(_)) => (Some("items"), rest("additionalItems")),
        _ => (has("prefixItems"), rest("items")),
    }
}
