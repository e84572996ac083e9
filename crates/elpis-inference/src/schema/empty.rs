//! Detects cases that no value matches.

use super::branch::{Branch, Count};
use super::cases::Cases;
use super::document::Document;
use super::error::Found;
use super::language::Language;
use super::regex::Regex;
use super::types::Types;
use super::{object, string_formats};

impl<'a> Branch<'a> {
    /// Whether certainly no value matches, checked to a depth.
    pub(super) fn is_certainly_empty(&self, document: &Document<'a>, depth: usize) -> Found<bool> {
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

    /// Whether no string matches the patterns and formats.
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
                .flat_map(|format| string_formats::parts(format)),
        );
        // If it takes too much work, a string may match.
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
