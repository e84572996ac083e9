//! A schema with its subschemas and references.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::keywords::{Draft, Holds, holds};
use super::uri;

/// Maximum number of look-ups of schemas in a document. Few bytes can cause many look-ups, because
/// schemas that apply together are looked up together.
#[cfg(feature = "tools")]
const MAX_STEPS: u32 = 2_000_000;

/// A schema in a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

/// A JSON schema, read once. Its subschemas are identified by their place.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(super) draft: Draft,
    nodes: RefCell<Nodes<'a>>,
    /// The schemas with their own URI, the root first.
    resources: Vec<Resource>,
    anchors: HashMap<(usize, &'a str), NodeId>,
    /// The number of schemas for each dynamic anchor; the empty one represents recursive anchors.
    dynamic: HashMap<&'a str, usize>,
    /// The number of look-ups so far.
    steps: Cell<u32>,
    /// The compiled patterns.
    #[cfg(feature = "tools")]
    pub(super) patterns: super::patterns::Patterns,
}

#[derive(Debug, Default)]
struct Nodes<'a> {
    all: Vec<Node<'a>>,
    by_address: HashMap<*const Value, NodeId>,
}

#[derive(Debug, Clone)]
struct Node<'a> {
    value: &'a Value,
    parent: Option<NodeId>,
    /// The key or index in the parent.
    key: String,
    resource: usize,
}

#[derive(Debug)]
struct Resource {
    uri: String,
    root: NodeId,
}

impl<'a> Document<'a> {
    /// Reads a schema.
    pub fn new(root: &'a Value) -> Self {
        let mut nodes = Nodes::default();
        let first = nodes.add(root, None, "", 0);
        let mut document = Self {
            draft: Draft::of(root),
            nodes: RefCell::new(nodes),
            resources: vec![Resource {
                uri: String::new(),
                root: first,
            }],
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
            steps: Cell::new(0),
            #[cfg(feature = "tools")]
            patterns: super::patterns::Patterns::default(),
        };
        document.index(first);
        document
    }

    /// The whole schema.
    pub fn root(&self) -> NodeId {
        self.resources[0].root
    }

    /// The value of a schema.
    pub fn value(&self, node: NodeId) -> &'a Value {
        self.nodes.borrow().all[node.0 as usize].value
    }

    /// The subschema at a path of keys and indices.
    pub fn child(&self, node: NodeId, keys: &[&str]) -> Option<NodeId> {
        let mut at = node;
        for key in keys {
            at = self.step(at, key)?;
        }
        Some(at)
    }

    /// The place of a schema, as the fragment of a URI.
    pub fn path(&self, node: NodeId) -> String {
        let nodes = self.nodes.borrow();
        let mut parts = Vec::new();
        let mut at = node;
        while let Node {
            parent: Some(parent),
            key,
            ..
        } = &nodes.all[at.0 as usize]
        {
            parts.push(uri::pointer_part(key));
            at = *parent;
        }
        parts.push("#".to_owned());
        parts.reverse();
        parts.join("/")
    }

    /// The schema that a reference refers to.
    ///
    /// # Errors
    /// Why there is none.
    pub fn resolve(&self, from: NodeId, reference: &str) -> Result<NodeId, String> {
        let resource = self.nodes.borrow().all[from.0 as usize].resource;
        let (target, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = if target.is_empty() {
            resource
        } else {
            let wanted = uri::resolve(&self.resources[resource].uri, target);
            let is_wanted = |one: &Resource| one.uri == wanted;
            self.resources.iter().position(is_wanted).ok_or_else(|| {
                format!("{reference:?} refers to another document, which is not fetched")
            })?
        };
        let root = self.resources[resource].root;
        let fragment = uri::decoded(fragment)
            .ok_or_else(|| format!("{reference:?} has an invalid % escape"))?;
        if fragment.is_empty() {
            return Ok(root);
        }
        let missing = || format!("{reference:?} refers to nothing");
        let Some(pointer) = fragment.strip_prefix('/') else {
            let anchor = self.anchors.get(&(resource, fragment.as_str()));
            return anchor.copied().ok_or_else(missing);
        };
        let mut at = root;
        for part in pointer.split('/') {
            let key = uri::token(part)
                .ok_or_else(|| format!("{reference:?} has a ~ that is not ~0 or ~1"))?;
            match self.step(at, &key) {
                Some(next) => at = next,
                // Some write the root like this.
                None if pointer.is_empty() => return Ok(root),
                None => return Err(missing()),
            }
        }
        Ok(at)
    }

    /// Whether its schemas took too much work.
    #[cfg(feature = "tools")]
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.get() > MAX_STEPS
    }

    /// The schema that a `$dynamicRef` or `$recursiveRef` refers to, if it is the same from every
    /// dynamic scope.
    ///
    /// # Errors
    /// Why there is none.
    #[cfg(feature = "tools")]
    pub(super) fn resolve_dynamic(&self, from: NodeId, reference: &str) -> Result<NodeId, String> {
        let (_, anchor) = reference.split_once('#').unwrap_or((reference, ""));
        if self.dynamic.get(anchor).is_some_and(|count| *count > 1) {
            return Err(format!("{reference:?} refers to several schemas"));
        }
        self.resolve(from, reference)
    }

    fn step(&self, node: NodeId, key: &str) -> Option<NodeId> {
        self.steps.set(self.steps.get().saturating_add(1));
        let value = match self.value(node) {
            Value::Object(fields) => fields.get(key)?,
            Value::Array(items) => {
                let plain = key == "0" || !key.starts_with(['0', '+']);
                items.get(key.parse::<usize>().ok().filter(|_| plain)?)?
            }
            _ => return None,
        };
        let mut nodes = self.nodes.borrow_mut();
        let resource = nodes.all[node.0 as usize].resource;
        Some(nodes.add(value, Some(node), key, resource))
    }

    /// Finds the URIs and anchors of all schemas.
    fn index(&mut self, root: NodeId) {
        let mut open = vec![(root, Holds::Schemas)];
        while let Some((node, kind)) = open.pop() {
            match self.value(node) {
                Value::Array(items) => {
                    for at in 0..items.len() {
                        let next = self.step(node, &at.to_string());
                        open.extend(next.map(|next| (next, kind)));
                    }
                }
                Value::Object(fields) => {
                    let names = kind == Holds::Names;
                    if !names {
                        self.name(node, fields);
                    }
                    for (key, value) in fields {
                        let inside = holds(key, names);
                        if inside != Holds::Data && (value.is_object() || value.is_array()) {
                            let next = self.step(node, key);
                            open.extend(next.map(|next| (next, inside)));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn name(&mut self, node: NodeId, fields: &'a Map<String, Value>) {
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let mut resource = self.nodes.borrow().all[node.0 as usize].resource;
        let id = text(if self.draft.plain_id { "id" } else { "$id" });
        // In drafts where `$ref` stands alone, its siblings are ignored.
        let id = id.filter(|_| !(self.draft.lone_ref && fields.contains_key("$ref")));
        if let Some(id) = id {
            let (id, fragment) = id.split_once('#').unwrap_or((id, ""));
            if !id.is_empty() {
                let uri = uri::resolve(&self.resources[resource].uri, id);
                if node == self.root() {
                    self.resources[0].uri = uri;
                } else {
                    self.resources.push(Resource { uri, root: node });
                    resource = self.resources.len() - 1;
                    self.nodes.borrow_mut().all[node.0 as usize].resource = resource;
                }
            }
            if !fragment.is_empty() && !fragment.starts_with('/') {
                self.anchors.insert((resource, fragment), node);
            }
        }
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = text(key) {
                self.anchors.entry((resource, anchor)).or_insert(node);
            }
        }
        if let Some(anchor) = text("$dynamicAnchor") {
            *self.dynamic.entry(anchor).or_default() += 1;
        }
        if fields.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            *self.dynamic.entry("").or_default() += 1;
        }
    }
}

impl<'a> Nodes<'a> {
    fn add(
        &mut self,
        value: &'a Value,
        parent: Option<NodeId>,
        key: &str,
        resource: usize,
    ) -> NodeId {
        let next = NodeId(self.all.len() as u32);
        let id = *self.by_address.entry(value).or_insert(next);
        if id == next {
            self.all.push(Node {
                value,
                parent,
                key: key.to_owned(),
                resource,
            });
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_in_every_spelling() {
        let schema = json!({
            "$id": "http://a.example/root.json",
            "$defs": {
                "a/b": {"title": "slash"},
                "a~b": {"title": "tilde"},
                "é \"%": {"title": "percent"},
                "Foo<Bar>": {"title": "generic"},
                "named": {"$anchor": "here", "title": "anchor"},
                "dynamic": {"$dynamicAnchor": "node", "title": "dynamic"},
                "inner": {"$id": "inner.json", "title": "inner", "$defs": {
                    "x": {"title": "x"}, "y": {"$anchor": "here", "title": "y"}}},
            },
            "properties": {"": {"title": "empty"}, "$id": {"title": "a name"}, "list": {"items": [{"title": "first"}]}},
            "enum": [{"$id": "data.json"}],
            "title": "root",
        });
        let document = Document::new(&schema);
        let title = |from: NodeId, reference: &str| {
            let found = document.resolve(from, reference);
            found.map(|node| document.value(node)["title"].clone())
        };
        let root = document.root();
        for (reference, found) in [
            ("#", "root"),
            ("", "root"),
            ("#/", "root"),
            ("root.json#", "root"),
            ("http://a.example/root.json", "root"),
            ("#/$defs/a~1b", "slash"),
            ("#/%24defs/a%7E1b", "slash"),
            ("#/$defs/a~0b", "tilde"),
            ("#/$defs/%C3%A9%20%22%25", "percent"),
            ("#/$defs/é \"%25", "percent"),
            ("#/$defs/Foo%3CBar%3E", "generic"),
            ("#/$defs/Foo<Bar>", "generic"),
            ("#here", "anchor"),
            ("#node", "dynamic"),
            ("inner.json", "inner"),
            ("inner.json#/$defs/x", "x"),
            ("inner.json#here", "y"),
            ("#/$defs/inner/$defs/x", "x"),
            ("#/properties/", "empty"),
            ("#/properties/$id", "a name"),
            ("#/properties/list/items/0", "first"),
        ] {
            assert_eq!(title(root, reference), Ok(json!(found)), "{reference}");
        }
        let inner = document.resolve(root, "inner.json").unwrap();
        for (reference, found) in [
            ("#", "inner"),
            ("#/$defs/x", "x"),
            ("#here", "y"),
            ("root.json#here", "anchor"),
        ] {
            assert_eq!(title(inner, reference), Ok(json!(found)), "{reference}");
        }
        for (reference, words) in [
            ("#/missing", "nothing"),
            ("#/properties/list/items/00", "nothing"),
            ("#/properties/list/items/-", "nothing"),
            ("#nowhere", "nothing"),
            ("#/$defs/a~2b", "~"),
            ("#/%zz", "%"),
            ("http://b.example/", "another document"),
            ("data.json", "another document"),
        ] {
            let reason = document.resolve(root, reference).unwrap_err();
            assert!(reason.contains(words), "{reference}: {reason}");
        }
        let x = document.resolve(root, "inner.json#/$defs/x").unwrap();
        assert_eq!(document.path(x), "#/$defs/inner/$defs/x");
        let slash = document.resolve(root, "#/$defs/a~1b").unwrap();
        assert_eq!(document.path(slash), "#/$defs/a~1b");
    }
}
