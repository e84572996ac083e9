//! Parses arguments that are nested elements, with a mark before each tag.

use serde_json::json;

use super::Draft;
use super::params::typed;
use super::value::Step;
use crate::schema::{Document, Lookup, Types};
use crate::tools::declared::Declared;

/// Maximum nesting of elements.
const MAX_DEPTH: usize = 64;

/// The name of the items of a list.
const ITEM: &str = "item";

/// Elements up to the end of the enclosing one.
#[derive(Debug, Clone)]
pub(super) struct ElementsScan {
    mark: &'static str,
    end: String,
    declared: Declared,
    text: String,
}

impl ElementsScan {
    /// Begins after the tag of the element with the name `around`.
    pub fn new(mark: &'static str, around: &str, declared: Declared) -> Self {
        Self {
            mark,
            end: format!("{mark}</{around}>"),
            declared,
            text: String::new(),
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        self.text.push(letter);
        let Some(inside) = self.text.strip_suffix(&self.end) else {
            return Step::Open;
        };
        let Some(elements) = Reader(self.mark).elements(&mut &*inside, None, 0) else {
            return Step::Broken;
        };
        let schema = draft.name.as_deref();
        let schema = schema.and_then(|name| self.declared.schema(name));
        let nothing = serde_json::Value::Bool(true);
        let document = Document::new(schema.unwrap_or(&nothing));
        let whole = Lookup::root(&document);
        object(&document, &elements, Some(&whole), &mut draft.arguments);
        Step::Closed
    }
}

/// An element: its name and its contents.
struct Element<'t> {
    name: &'t str,
    inside: Inside<'t>,
}

enum Inside<'t> {
    Text(&'t str),
    Elements(Vec<Element<'t>>),
}

/// Parses elements with this mark before each tag.
struct Reader(&'static str);

impl Reader {
    /// Elements up to the end of the one with the name `around`.
    fn elements<'t>(
        &self,
        text: &mut &'t str,
        around: Option<&str>,
        depth: usize,
    ) -> Option<Vec<Element<'t>>> {
        let mut all = Vec::new();
        loop {
            let Some(tag) = text.trim_start().strip_prefix(self.0) else {
                let done = around.is_none() && text.trim().is_empty();
                return done.then_some(all);
            };
            let (name, rest) = tag.strip_prefix('<')?.split_once('>')?;
            *text = rest;
            if let Some(name) = name.strip_prefix('/') {
                return (around == Some(name)).then_some(all);
            }
            if depth > MAX_DEPTH {
                return None;
            }
            let end = format!("{}</{name}>", self.0);
            let tag = text.trim_start().strip_prefix(self.0);
            let nested = tag.is_some_and(|tag| tag.starts_with('<') && !tag.starts_with("</"));
            let inside = if nested {
                Inside::Elements(self.elements(text, Some(name), depth + 1)?)
            } else {
                let (inside, rest) = text.split_once(&end)?;
                *text = rest;
                Inside::Text(inside)
            };
            all.push(Element { name, inside });
        }
    }
}

fn object(
    document: &Document<'_>,
    elements: &[Element<'_>],
    whole: Option<&Lookup>,
    out: &mut String,
) {
    out.push('{');
    for (at, element) in elements.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { ", " });
        out.push_str(&json!(element.name).to_string());
        out.push_str(": ");
        let part = whole.and_then(|whole| whole.property(document, element.name));
        value(document, &element.inside, part.as_ref(), out);
    }
    out.push('}');
}

fn value(document: &Document<'_>, inside: &Inside<'_>, part: Option<&Lookup>, out: &mut String) {
    let types = part.map(|part| part.types(document));
    match inside {
        // A list without items and an object without properties are empty.
        Inside::Text("") if types.is_some_and(|types| types.has(Types::ARRAY)) => {
            out.push_str("[]");
        }
        Inside::Text("") if types.is_some_and(|types| types.has(Types::OBJECT)) => {
            out.push_str("{}");
        }
        Inside::Text(text) if types == Some(Types::STRING) => {
            out.push_str(&json!(text).to_string());
        }
        Inside::Text(text) => out.push_str(&typed(text, types)),
        Inside::Elements(elements) => {
            let items = elements.iter().all(|element| element.name == ITEM);
            let list = types.is_none_or(|types| types.has(Types::ARRAY));
            let as_object = types.is_some_and(|types| types.has(Types::OBJECT));
            if !items || !list && as_object {
                object(document, elements, part, out);
                return;
            }
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                let item = part.and_then(|part| part.item(document, at));
                value(document, &element.inside, item.as_ref(), out);
            }
            out.push(']');
        }
    }
}
