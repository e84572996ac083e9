//! Turns schemas into the rules of a grammar.

mod arguments;
mod properties;

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use self::arguments::Level;
use super::branch::{Branch, Count};
use super::cases::Cases;
use super::document::{Document, NodeId};
use super::error::{SchemaError, error};
use super::keywords::ANNOTATIONS;
use super::lark::{Lark, RuleId, Symbol};
use super::lookup::Lookup;
use super::notation::Style;
use super::number::Written;
use super::object::{self, Goal};
use super::regex::{Codec, Regex};
use super::style::Unwritable;
use super::types::Types;
use super::{exact, string_formats};

/// A length that no generated text reaches.
const ENDLESS: u64 = 1 << 24;

/// Writes the rules for values that conform to a schema.
pub(crate) struct Writer<'w, 'd, 'a> {
    lark: &'w mut Lark,
    document: &'d Document<'a>,
    style: Style,
    /// Whether every number must be one that a [`Value`] keeps exactly.
    kept: bool,
    /// Texts that are control tokens of the model.
    control: &'w [(&'static str, u32)],
    /// The mark before each tag of an element.
    mark: Option<&'static str>,
    /// The look-up of the whole arguments if they are one of several cases.
    whole: Option<Lookup>,
    several: bool,
    rules: HashMap<Wanted, RuleId>,
    open: VecDeque<(RuleId, Wanted)>,
}

/// A rule still to be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    goal: Goal,
    form: Form,
}

/// The form of a rule's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    /// In the notation.
    Value,
    /// In the notation, but not a text.
    NoText,
    /// Between elements, up to the end of the one with this name.
    Element(String),
}

type Ways = Vec<Vec<Symbol>>;
type Found<T> = Result<T, SchemaError>;

impl<'w, 'd, 'a> Writer<'w, 'd, 'a> {
    /// Creates a writer for a schema in a notation. `kept` restricts numbers to those that a
    /// [`Value`] keeps exactly.
    pub fn new(lark: &'w mut Lark, document: &'d Document<'a>, style: Style, kept: bool) -> Self {
        Self {
            lark,
            document,
            style,
            kept,
            control: &[],
            mark: None,
            whole: None,
            several: false,
            rules: HashMap::new(),
            open: VecDeque::new(),
        }
    }

    /// Sets the texts that are control tokens of the model.
    #[must_use]
    pub fn with_control(mut self, control: &'w [(&'static str, u32)]) -> Self {
        self.control = control;
        self
    }

    /// A value to which all of these schemas apply. [`finish`](Self::finish) writes its rules.
    pub fn value(&mut self, goal: &[NodeId]) -> Symbol {
        self.wanted(goal, Form::Value)
    }

    fn wanted(&mut self, goal: &[NodeId], form: Form) -> Symbol {
        let says = |node: &&NodeId| match self.document.value(**node) {
            Value::Bool(true) => false,
            Value::Object(schema) => !schema.keys().all(|key| ANNOTATIONS.contains(&key.as_str())),
            _ => true,
        };
        let goal: Goal = goal.iter().filter(says).copied().collect();
        let wanted = Wanted { goal, form };
        if let Some(rule) = self.rules.get(&wanted) {
            return Symbol::Rule(*rule);
        }
        let rule = self.lark.rule();
        self.rules.insert(wanted.clone(), rule);
        self.open.push_back((rule, wanted));
        Symbol::Rule(rule)
    }

    /// Writes all rules that are still missing.
    ///
    /// # Errors
    /// [`SchemaError`] if a part cannot be enforced or is not a schema.
    pub fn finish(&mut self) -> Found<()> {
        while let Some((rule, Wanted { goal, form })) = self.open.pop_front() {
            let ways = match form {
                Form::Value => self.ways(&goal, true)?,
                Form::NoText => self.ways(&goal, false)?,
                Form::Element(name) => self.element(&goal, &name)?,
            };
            self.lark.define(rule, ways);
            if self.lark.is_too_large() || self.document.is_exhausted() {
                let node = goal.first().copied().unwrap_or(self.document.root());
                return Err(error(self.document, node, "", "is too large a grammar"));
            }
        }
        Ok(())
    }

    fn ways(&mut self, goal: &[NodeId], texts: bool) -> Found<Ways> {
        let mut ways = Ways::new();
        for mut case in Cases::of(self.document, goal)? {
            if !texts {
                case.types = case.types.without(Types::STRING);
                let values = case.values.iter_mut();
                values.for_each(|values| values.retain(|value| !value.is_string()));
            }
            self.case(&case, &mut ways)?;
        }
        Ok(ways)
    }

    fn case(&mut self, case: &Branch<'a>, ways: &mut Ways) -> Found<()> {
        if let Some(values) = &case.values {
            return self.values(case, values, ways);
        }
        let literal = |text: &str| vec![Symbol::Literal(text.to_owned())];
        if case.types.has(Types::NULL) && !case.excluded.contains(&&Value::Null) {
            ways.extend(self.style.literal(&Value::Null).unwrap_or_default());
        }
        if case.types.has(Types::BOOLEAN) {
            for is in [true, false] {
                if !case.excluded.contains(&&Value::Bool(is)) {
                    ways.extend(self.style.literal(&Value::Bool(is)).unwrap_or_default());
                }
            }
        }
        if case.types.has(Types::NUMBER) {
            ways.extend(self.number(case)?.map(|number| vec![number]));
        }
        if case.types.has(Types::STRING) {
            let texts = self.texts(case)?;
            let text = self.style.text(self.lark, &texts);
            ways.extend(text.or_else(|reason| self.string_error(case, reason))?);
        }
        if case.types.has(Types::ARRAY) {
            let items = self.items(case);
            ways.extend(items.map(|items| [literal("["), items, literal("]")].concat()));
        }
        if case.types.has(Types::OBJECT) {
            let properties = self.properties(case, Level::Value)?;
            ways.extend(properties.map(|inside| [literal("{"), inside, literal("}")].concat()));
        }
        let composed = |value: &&&Value| value.is_array() || value.is_object();
        if let Some(value) = case.excluded.iter().find(composed)
            && case.types.has(Types::of(value))
        {
            return self.error(case, "not", "cannot be enforced for lists and objects");
        }
        Ok(())
    }

    fn error<T>(&self, case: &Branch<'a>, key: &str, reason: impl Into<String>) -> Found<T> {
        let says = |node: &&NodeId| {
            let first = key.split('/').next().unwrap_or_default();
            self.document.value(**node).get(first).is_some()
        };
        let node = case.nodes.iter().find(says).or(case.nodes.first());
        let node = node.copied().unwrap_or(self.document.root());
        Err(error(self.document, node, key, reason))
    }

    fn string_error<T>(&self, case: &Branch<'a>, reason: String) -> Found<T> {
        match case.strings.patterns.first() {
            Some((node, _)) => Err(error(self.document, *node, "pattern", reason)),
            None => self.error(case, "format", reason),
        }
    }

    fn unwritable<T>(&self, case: &Branch<'a>, key: &str, unwritable: &Unwritable) -> Found<T> {
        let letter = u32::from(unwritable.0);
        let reason = format!("asks for the control character U+{letter:04X}, which is not written");
        self.error(case, key, reason)
    }

    fn values(&mut self, case: &Branch<'a>, values: &[&Value], ways: &mut Ways) -> Found<()> {
        // Values that are single literals are combined into one terminal.
        let mut literals = Vec::new();
        for value in values {
            if self.kept && exact::first_rounded(&value.to_string()).is_some() {
                return self.error(case, "const", exact::LIMIT);
            }
            let written = self.style.literal(value);
            let key = if case
                .nodes
                .iter()
                .any(|node| self.document.value(*node).get("enum").is_some())
            {
                "enum"
            } else {
                "const"
            };
            let written = written.or_else(|letter| self.unwritable(case, key, &letter))?;
            for way in written {
                match way.as_slice() {
                    [Symbol::Literal(text)] => literals.push(text.clone()),
                    _ => ways.push(way),
                }
            }
            if let Value::Number(number) = value
                && let Ok(exact) = exact::decimal(number)
                && let Some(digits) = exact.integer_text()
                && !literals.contains(&digits)
            {
                literals.push(digits);
            }
        }
        if let [one] = literals.as_slice() {
            ways.push(vec![Symbol::Literal(one.clone())]);
        } else {
            let all = Regex::alt(literals.iter().map(|text| Regex::literal(text)));
            let terminal = self.lark.terminal(&all.coded(&Codec::raw()));
            let terminal = terminal.or_else(|reason| self.error(case, "enum", reason))?;
            ways.extend(terminal.map(|terminal| vec![terminal]));
        }
        Ok(())
    }

    fn number(&mut self, case: &Branch<'a>) -> Found<Option<Symbol>> {
        let mut parts = match case.numbers.written(self.kept) {
            Ok(Written::All(parts)) => parts,
            Ok(Written::Multiples(schema)) if case.excluded.is_empty() => {
                return Ok(Some(Symbol::Json(schema)));
            }
            Ok(Written::Multiples(_)) => {
                return self.error(case, "not", "cannot be enforced beside multipleOf");
            }
            Err((key, reason)) => return self.error(case, key, reason),
        };
        for value in &case.excluded {
            let Value::Number(number) = value else {
                continue;
            };
            let digits = exact::decimal(number).ok();
            let digits = digits.filter(|_| case.numbers.integer);
            let Some(digits) = digits.and_then(|number| number.integer_text()) else {
                let reason = "cannot be enforced for numbers, which have many spellings";
                return self.error(case, "not", reason);
            };
            parts.push(Regex::literal(&digits).not());
        }
        let terminal = self.lark.terminal(&Regex::and(parts));
        terminal.or_else(|reason| self.error(case, "minimum", reason))
    }

    /// The strings that a case allows.
    fn texts(&self, case: &Branch<'a>) -> Found<Regex> {
        let strings = &case.strings;
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX - 1);
        let most = strings.most.filter(|most| *most < ENDLESS).map(count);
        if strings.most.is_some_and(|most| most < strings.least) {
            return Ok(Regex::Nothing);
        }
        let mut parts = Vec::new();
        for (node, pattern) in &strings.patterns {
            parts.push(self.document.pattern(*node, "pattern", pattern)?);
        }
        for format in &strings.formats {
            parts.extend(string_formats::parts(format));
        }
        if strings.least > 0 || most.is_some() {
            parts.push(Regex::of_length(count(strings.least), most));
        }
        for value in &case.excluded {
            parts.extend(value.as_str().map(|text| Regex::literal(text).not()));
        }
        Ok(Regex::and(parts))
    }

    /// Every string to which all of these schemas apply.
    pub fn strings(&self, goal: &[NodeId]) -> Found<Regex> {
        let mut ways = Vec::new();
        for case in Cases::of(self.document, goal)? {
            match &case.values {
                Some(values) => {
                    let texts = values.iter().filter_map(|value| value.as_str());
                    ways.extend(texts.map(Regex::literal));
                }
                None if case.types.has(Types::STRING) => ways.push(self.texts(&case)?),
                None => {}
            }
        }
        Ok(Regex::alt(ways))
    }

    /// The items of a list; `None` if no list is possible.
    fn items(&mut self, case: &Branch<'a>) -> Option<Vec<Symbol>> {
        let comma = self.style.comma();
        self.list(case, comma, |writer, goal| vec![writer.value(goal)])
    }

    /// The items of a list, each written by `item`; `None` if no list is possible.
    fn list(
        &mut self,
        case: &Branch<'a>,
        comma: &str,
        item: impl Fn(&mut Self, &[NodeId]) -> Vec<Symbol>,
    ) -> Option<Vec<Symbol>> {
        let Count { least, most } = case.items;
        if most.is_some_and(|most| most < least) {
            return None;
        }
        let most = most.filter(|most| *most < ENDLESS);
        let first = object::first_items(self.document, &case.nodes);
        let first = most.map_or(first, |most| {
            first.min(usize::try_from(most).unwrap_or(first))
        });
        let more = least.saturating_sub(first as u64);
        let room = most.map(|most| most - first as u64);
        // The rest after the first items, built backwards: at the beginning of the list and after
        // another item.
        let mut head: Option<Vec<Symbol>> = None;
        let comma = vec![Symbol::Literal(comma.to_owned())];
        let rest = object::item(self.document, &case.nodes, first);
        let rest = item(self, &rest);
        let following = [comma.clone(), rest.clone()].concat();
        let mut tail = vec![Symbol::Repeat(following.clone(), more, room)];
        if room == Some(0) {
            tail = Vec::new();
        } else {
            let room = room.map(|room| room - 1);
            let others = Symbol::Repeat(following, more.saturating_sub(1), room);
            let some = [rest, vec![others]].concat();
            head = Some(if more == 0 {
                vec![Symbol::Repeat(some, 0, Some(1))]
            } else {
                some
            });
        }
        let mut head = head.unwrap_or_default();
        for at in (0..first).rev() {
            let goal = object::item(self.document, &case.nodes, at);
            let item = item(self, &goal);
            let own = [item.clone(), tail.clone()].concat();
            let behind = [comma.clone(), item, tail].concat();
            if (at as u64) < least {
                head = own;
                tail = behind;
            } else {
                head = vec![Symbol::Repeat(own, 0, Some(1))];
                tail = vec![Symbol::Repeat(behind, 0, Some(1))];
            }
            // Each is used at most twice, and a rule keeps the grammar small.
            tail = vec![self.lark.choice(vec![tail])];
        }
        Some(head)
    }
}
