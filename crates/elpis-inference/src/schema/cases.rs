//! Splits a set of schemas into cases without alternatives.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::branch::Branch;
use super::document::{Document, NodeId};
use super::error::{Found, SchemaError, error};
use super::types::Types;

/// Maximum number of cases of one value, and of combinations tried to find them.
const MAX_BRANCHES: usize = 2048;

/// Maximum number of schemas that apply to one value together.
const MAX_TOGETHER: usize = 512;

/// Maximum nesting of choices.
const MAX_CHOICES: usize = 64;

/// A schema still to be read, with its enclosing schemas for the same value.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub node: NodeId,
    pub within: Option<Rc<Pending>>,
}

/// A choice of several alternatives.
#[derive(Debug, Clone)]
pub(super) enum Choice<'a> {
    Any(Vec<Pending>),
    /// Exactly one of these, with the place of the keyword for errors.
    One(Vec<Pending>, String),
    /// Either without this property, or with it and with other properties or a schema.
    Dependent(&'a str, Vec<&'a str>, Option<Pending>),
}

/// Splits schemas into cases.
pub(super) struct Cases<'d, 'a> {
    pub(super) document: &'d Document<'a>,
    tried: usize,
    out: Vec<Branch<'a>>,
}

impl<'d, 'a> Cases<'d, 'a> {
    /// The cases of a value to which all of these schemas apply.
    ///
    /// # Errors
    /// [`SchemaError`] if a part cannot be enforced or is not a schema.
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

    /// Whether certainly no value matches both parts of a case.
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
            // A schema's components come before its siblings.
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

    /// Makes sure that no two options match at once, if necessary by a property that must then be
    /// present.
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

    /// Whether the options are disjoint sets of values.
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

    pub(super) fn error<T>(&self, node: NodeId, key: &str, reason: impl Into<String>) -> Found<T> {
        Err(error(self.document, node, key, reason))
    }

    pub(super) fn child(&self, parent: &Pending, keys: &[&str]) -> Option<Pending> {
        let node = self.document.child(parent.node, keys)?;
        Some(Pending {
            node,
            within: Some(Rc::new(parent.clone())),
        })
    }
}

impl<'a> Branch<'a> {
    /// Reads the bounds, counts and names of one schema.
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
}
