//! Compiled regular expressions, to test whether a text matches and whether any does.

use std::fmt;

use llguidance::derivre::{self, RegexAst, RegexBuilder};

use super::regex::{Codec, Regex};

/// Work budget of an expression.
const FUEL: u64 = 20_000;

/// A compiled expression.
pub(super) struct Language(derivre::Regex);

impl Language {
    /// Compiles an expression.
    ///
    /// # Errors
    /// An error message if it takes too much work.
    pub fn new(regex: &Regex) -> Result<Self, String> {
        let mut builder = RegexBuilder::new();
        let expression = builder.mk(&ast(&regex.coded(&Codec::raw())));
        let expression = expression.map_err(|error| too_much(&error))?;
        let compiled = builder.to_regex_limited(expression, FUEL);
        compiled.map(Self).map_err(|error| too_much(&error))
    }

    /// Whether a text matches.
    pub fn has(&mut self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Whether no text matches.
    pub fn is_empty(&mut self) -> bool {
        self.0.always_empty()
    }
}

fn too_much(error: &impl fmt::Display) -> String {
    format!("it takes too much work: {error}")
}

fn ast(regex: &Regex) -> RegexAst {
    let all = |parts: &[Regex]| parts.iter().map(ast).collect();
    if let Some(plain) = regex.plain() {
        return RegexAst::Regex(plain);
    }
    match regex {
        Regex::Nothing => RegexAst::NoMatch,
        Regex::Concat(parts) => RegexAst::Concat(all(parts)),
        Regex::Alt(ways) => RegexAst::Or(all(ways)),
        Regex::And(parts) => RegexAst::And(all(parts)),
        Regex::Not(inner) => RegexAst::Not(Box::new(ast(inner))),
        Regex::Repeat(inner, least, most) => {
            RegexAst::Repeat(Box::new(ast(inner)), *least, most.unwrap_or(u32::MAX))
        }
        // These have a plain form and never get here.
        Regex::Empty | Regex::Class(_) | Regex::Raw(_) => RegexAst::EmptyString,
    }
}
