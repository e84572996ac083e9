//! Arguments of calls in the notations that families of models have for them.

mod element;

use super::{Form, Found, Ways, Writer};
use crate::schema::branch::Branch;
use crate::schema::cases::Cases;
use crate::schema::document::NodeId;
use crate::schema::error::error;
use crate::schema::lark::Symbol;
use crate::schema::lookup::Lookup;
use crate::schema::notation::{Arguments, Kind, Middle, Params, is_bare};
use crate::schema::regex::{Codec, Regex};
use crate::schema::style::{quoted, split};
use crate::schema::types::Types;

const PATTERNS: &str = "patternProperties";

/// Where a property stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// In an object of the notation.
    Value,
    Keywords,
    Params(&'static Params),
    Elements(&'static str),
}

/// How a text is taken for something else where texts have no quotes.
fn mistaken(types: Types) -> Regex {
    let mut ways = Vec::new();
    for (kind, text) in [
        (Types::NULL, "(?i:null|none)"),
        (Types::BOOLEAN, "(?i:true|false)"),
        (
            Types::NUMBER,
            "-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?",
        ),
        (Types::ARRAY, "\\[[\\s\\S]*"),
        (Types::OBJECT, "\\{[\\s\\S]*"),
    ] {
        if types.has(kind) {
            ways.push(Regex::Raw(format!("\\s*{text}\\s*")));
        }
    }
    Regex::alt(ways)
}

/// What of the end of a text tells that it is one.
fn end_mark(close: &str) -> &str {
    let mark = close.trim();
    mark.split_inclusive('>').next().unwrap_or(mark)
}

/// What ends a value, up to the first token without text, and the rest.
fn ending(close: &[Symbol]) -> (Regex, &[Symbol]) {
    let token = close
        .iter()
        .position(|symbol| matches!(symbol, Symbol::Token(_)));
    let (texts, rest) = close.split_at(token.unwrap_or(close.len()));
    let texts = texts.iter().map(|symbol| match symbol {
        Symbol::Literal(text) => Regex::literal(text),
        _ => Regex::Empty,
    });
    (Regex::concat(texts).coded(&Codec::raw()), rest)
}

impl<'a> Writer<'_, '_, 'a> {
    /// The arguments of a call under a schema. `None` if there are none that fulfil it.
    ///
    /// # Errors
    /// What cannot be enforced.
    pub fn arguments(&mut self, goal: &[NodeId], form: Arguments) -> Found<Option<Symbol>> {
        let level = match form {
            Arguments::Object => return Ok(Some(self.value(goal))),
            Arguments::Keywords => Level::Keywords,
            Arguments::Params(params) => Level::Params(params),
            Arguments::Elements(mark) => {
                self.mark = Some(mark);
                Level::Elements(mark)
            }
        };
        let mut ways = Ways::new();
        let cases = Cases::of(self.document, goal)?;
        self.whole = Some(Lookup::of(goal));
        self.several = cases.len() > 1;
        for case in cases {
            if case.values.is_some() {
                return self.error(
                    &case,
                    "enum",
                    "cannot be enforced for all arguments at once",
                );
            }
            if case.types.has(Types::OBJECT) {
                ways.extend(self.properties(&case, level)?);
            }
        }
        Ok((!ways.is_empty()).then(|| self.lark.choice(ways)))
    }

    /// What stands between two properties.
    pub(super) fn comma(&self, level: Level) -> &'static str {
        match level {
            Level::Value => self.style.comma(),
            Level::Keywords => ", ",
            Level::Params(_) | Level::Elements(_) => "",
        }
    }

    /// A property with its key.
    pub(super) fn field(
        &mut self,
        case: &Branch<'a>,
        level: Level,
        name: &str,
        goal: &[NodeId],
    ) -> Found<Vec<Symbol>> {
        let unfit = |signs: &str| {
            name.is_empty()
                || name.contains(|letter: char| letter.is_control() || signs.contains(letter))
        };
        let refused = |writer: &Self| {
            let reason = format!("has the name {name:?}, which this model's notation cannot write");
            writer.error(case, "properties", reason)
        };
        let key = match level {
            Level::Value => {
                let key = self.style.key(name);
                key.or_else(|letter| self.unwritable(case, "properties", &letter))?
            }
            Level::Keywords if is_bare(name) && !unfit("=() '") => {
                vec![Symbol::Literal(format!("{name}="))]
            }
            Level::Keywords => {
                let quoted = quoted(name);
                let quoted =
                    quoted.or_else(|letter| self.unwritable(case, "properties", &letter))?;
                vec![Symbol::Literal(format!("{quoted}="))]
            }
            Level::Params(_) if unfit("<>\"") || name.trim() != name => return refused(self),
            Level::Params(params) => {
                let key = [
                    split(params.open, self.control),
                    vec![Symbol::Literal(name.to_owned())],
                ];
                return self.parameter(case, params, (Some(name), &key.concat()), goal);
            }
            Level::Elements(_) if unfit("<>\"/ &=[]{}") => return refused(self),
            Level::Elements(mark) => {
                let mut tag = split(&format!("{mark}<{name}>"), self.control);
                tag.push(self.wanted(goal, Form::Element(name.to_owned())));
                return Ok(tag);
            }
        };
        let value = self.value(goal);
        Ok([key, vec![value]].concat())
    }

    /// A property that is not declared, with its key out of these.
    pub(super) fn free_field(
        &mut self,
        case: &Branch<'a>,
        level: Level,
        names: &Regex,
        goal: &[NodeId],
    ) -> Found<Option<Vec<Symbol>>> {
        match level {
            Level::Value => {
                let key = self.style.free_key(self.lark, names);
                let Some(key) = key.or_else(|reason| self.error(case, PATTERNS, reason))? else {
                    return Ok(None);
                };
                let value = self.value(goal);
                Ok(Some([key, vec![value]].concat()))
            }
            Level::Keywords | Level::Params(_) => {
                let bare = Regex::Raw("[A-Za-z_][A-Za-z0-9_.-]*".to_owned());
                let names = Regex::and([names.coded(&Codec::raw()), bare]);
                let key = self
                    .lark
                    .terminal(&names)
                    .or_else(|reason| self.error(case, PATTERNS, reason))?;
                let Some(key) = key else { return Ok(None) };
                if let Level::Params(params) = level {
                    let key = [split(params.open, self.control), vec![key]].concat();
                    return self.parameter(case, params, (None, &key), goal).map(Some);
                }
                let value = self.value(goal);
                Ok(Some(vec![key, Symbol::Literal("=".to_owned()), value]))
            }
            // The end of an element would have to repeat its name.
            Level::Elements(_) => Ok(None),
        }
    }

    /// A parameter with its key, by what kind of value it has.
    fn parameter(
        &mut self,
        case: &Branch<'a>,
        params: &'static Params,
        (name, key): (Option<&str>, &[Symbol]),
        goal: &[NodeId],
    ) -> Found<Vec<Symbol>> {
        let mut types = Types::NONE;
        for case in Cases::of(self.document, goal)? {
            types = types.or(case.kinds());
        }
        // What reads the reply does not know the case.
        let all = match name {
            Some(name) => {
                let of_name = |arguments: &Lookup| arguments.property(self.document, name);
                let known = self.whole.as_ref().and_then(of_name);
                known.map_or(Types::ALL, |known| known.types(self.document))
            }
            None if self.several => Types::ALL,
            None => types,
        };
        let close = split(params.close, self.control);
        let mut ways = Ways::new();
        if types.has(Types::STRING) {
            let others = all.without(Types::STRING);
            let mut texts = self.strings(goal)?;
            // What is written between key and value tells them apart, or the text itself has to.
            if matches!(params.middle, Middle::Same(_)) && !others.is_empty() {
                texts = Regex::and([texts, mistaken(others).not()]);
            }
            let middle = split(&params.middle.text(Kind::String), self.control);
            let listed = self.listed(goal, params)?;
            for value in self.raw(case, &texts, params.close, listed)? {
                ways.push([key, &middle, &value].concat());
            }
        }
        if types.without(Types::STRING).is_empty() {
            // Texts alone.
        } else if let Middle::ByType(..) = params.middle {
            for (kind, own) in Kind::ALL {
                if own != Types::STRING && types.has(own) {
                    let value = self.of_kind(goal, own)?;
                    let value = self.lark.choice(value);
                    let middle = split(&params.middle.text(kind), self.control);
                    ways.push([key, &middle, &[value], &close].concat());
                }
            }
        } else {
            let middle = split(&params.middle.text(Kind::Null), self.control);
            let beside_text = matches!(params.middle, Middle::Same(_)) && types.has(Types::STRING);
            let values = if beside_text {
                let values = self.ways(goal, false)?;
                self.beside_text(goal, values, &close)?
            } else {
                vec![[vec![self.wanted(goal, Form::NoText)], close].concat()]
            };
            ways.extend(values.iter().map(|value| [key, &middle, value].concat()));
        }
        Ok(vec![self.lark.choice(ways)])
    }

    /// Every value that is no text with what ends it, where a text may stand in its place. What
    /// is one terminal has its end in it, as a text has, for both are read to their longest.
    fn beside_text(&mut self, goal: &[NodeId], ways: Ways, close: &[Symbol]) -> Found<Ways> {
        let (end, rest) = ending(close);
        let mut values = Ways::new();
        for way in ways {
            let whole = match way.as_slice() {
                [one] => self.lark.ended(one, &end),
                _ => Ok(None),
            };
            let whole = whole.map_err(|reason| {
                let node = goal.first().copied().unwrap_or(self.document.root());
                error(self.document, node, "", reason)
            })?;
            values.push(match whole {
                Some(whole) => [vec![whole], rest.to_vec()].concat(),
                None => [way, close.to_vec()].concat(),
            });
        }
        Ok(values)
    }

    /// A value of one type.
    fn of_kind(&mut self, goal: &[NodeId], kind: Types) -> Found<Ways> {
        let mut ways = Ways::new();
        for mut case in Cases::of(self.document, goal)? {
            case.types = case.types.and(kind);
            let values = case.values.iter_mut();
            values.for_each(|values| values.retain(|value| Types::of(value) == kind));
            self.case(&case, &mut ways)?;
        }
        Ok(ways)
    }

    /// The texts of a choice that have in them what ends a text, and yet are read as they are.
    fn listed(&self, goal: &[NodeId], params: &Params) -> Found<Regex> {
        let mark = end_mark(params.close);
        let mut listed = Vec::new();
        for case in Cases::of(self.document, goal)? {
            let texts = case.values.iter().flatten();
            for text in texts.filter_map(|value| value.as_str()) {
                let ended = format!("{text}{}", params.close);
                let mut behind = ended.split(mark).skip(1).map(str::trim_start);
                if behind.clone().count() < 2 {
                    continue;
                }
                // A tag behind it would make it the end; nothing is what stands before another.
                if behind.any(|rest| rest.starts_with('<')) {
                    let reason =
                        format!("has the text {text:?}, which this model's notation cannot write");
                    return self.error(&case, "enum", reason);
                }
                listed.push(Regex::literal(text));
            }
        }
        Ok(Regex::alt(listed))
    }

    /// A text as it is, with what ends it. Such as have that in them are only those `listed`.
    fn raw(&mut self, case: &Branch<'a>, texts: &Regex, close: &str, listed: Regex) -> Found<Ways> {
        let mark = end_mark(close);
        let outside = Regex::literal(mark).containing().not();
        let mut parts = vec![texts.clone(), Regex::alt([outside, listed])];
        // Line breaks at both ends are taken for the notation's, see the reading of parameters.
        if !close.starts_with('\n') {
            parts.push(Regex::Raw("\n[\\s\\S]*\n|\n".to_owned()).not());
        }
        let texts = Regex::and(parts);
        let close = split(close, self.control);
        // Only the end says how long a text is, so that they are one terminal.
        let (end, rest) = ending(&close);
        let whole = Regex::concat([texts.coded(&Codec::raw()), end]);
        let nullable = whole.is_nullable();
        let some = if nullable {
            Regex::and([whole, Regex::of_length(1, None)])
        } else {
            whole
        };
        let terminal = self.lark.terminal(&some);
        let terminal = terminal.or_else(|reason| self.string_error(case, reason))?;
        let mut ways: Ways = terminal
            .map(|terminal| vec![terminal])
            .into_iter()
            .collect();
        ways.extend(nullable.then(Vec::new));
        Ok(ways
            .into_iter()
            .map(|way| [way, rest.to_vec()].concat())
            .collect())
    }
}
