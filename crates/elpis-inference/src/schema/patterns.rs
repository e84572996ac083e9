//! The patterns of a schema, each compiled once.

use std::cell::RefCell;
use std::collections::HashMap;

use super::document::{Document, NodeId};
use super::error::{SchemaError, error};
use super::language::Language;
use super::pattern::pattern;
use super::regex::Regex;

/// Compiled patterns, by their source.
#[derive(Debug, Default)]
pub(super) struct Patterns(RefCell<HashMap<String, Result<Regex, String>>>);

impl Document<'_> {
    /// The strings in which a pattern is found. The pattern is at this key of a schema.
    pub(super) fn pattern(
        &self,
        node: NodeId,
        key: &str,
        source: &str,
    ) -> Result<Regex, SchemaError> {
        let mut known = self.patterns.0.borrow_mut();
        let compiled = known
            .entry(source.to_owned())
            .or_insert_with(|| pattern(source));
        compiled.clone().map_err(|reason| {
            let reason = format!("{source:?} cannot be enforced: {reason}");
            error(self, node, key, reason)
        })
    }

    /// Whether a pattern is found in a text.
    pub(super) fn finds(
        &self,
        node: NodeId,
        key: &str,
        source: &str,
        text: &str,
    ) -> Result<bool, SchemaError> {
        let regex = self.pattern(node, key, source)?;
        self.has(node, key, &regex, text)
    }

    /// Whether a text matches.
    pub(super) fn has(
        &self,
        node: NodeId,
        key: &str,
        regex: &Regex,
        text: &str,
    ) -> Result<bool, SchemaError> {
        let language = Language::new(regex);
        let mut language = language.map_err(|reason| error(self, node, key, reason))?;
        Ok(language.has(text))
    }
}
