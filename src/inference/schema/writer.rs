//! From schemas to the rules of a grammar.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::branch::{Branch, Cases, Count, SchemaError, Types, error};
use super::document::{Document, NodeId};
use super::keywords::ANNOTATIONS;
use super::lark::{Lark, RuleId, Symbol};
use super::number::Written;
use super::object::{self, Goal};
use super::regex::{Codec, Regex};
use super::style::{Style, Unwritable};
use super::{exact, formats};

/// Most rules for counting the properties of one object.
const MAX_COUNTED: u64 = 20_000;

/// A length that no text of a model reaches.
const ENDLESS: u64 = 1 << 24;

/// Writes the rules for values that are valid under a schema.
pub(crate) struct Writer<'w, 'd, 'a> {
    lark: &'w mut Lark,
    document: &'d Document<'a>,
    style: Style,
    /// Whether every number has to be one that a [`Value`] keeps.
    kept: bool,
    rules: HashMap<Goal, RuleId>,
    open: VecDeque<(RuleId, Goal)>,
}

type Ways = Vec<Vec<Symbol>>;
type Found<T> = Result<T, SchemaError>;

impl<'w, 'd, 'a> Writer<'w, 'd, 'a> {
    /// Begins with a schema, in a notation. `kept` keeps numbers to those that a [`Value`] holds
    /// to the digit.
    pub fn new(lark: &'w mut Lark, document: &'d Document<'a>, style: Style, kept: bool) -> Self {
        Self {
            lark,
            document,
            style,
            kept,
            rules: HashMap::new(),
            open: VecDeque::new(),
        }
    }

    /// The grammar that the rules go to.
    pub fn lark(&mut self) -> &mut Lark {
        self.lark
    }

    /// A value that all of these schemas hold for. Its rules are written by
    /// [`finish`](Self::finish).
    pub fn value(&mut self, goal: &[NodeId]) -> Symbol {
        let says = |node: &&NodeId| match self.document.value(**node) {
            Value::Bool(true) => false,
            Value::Object(schema) => !schema.keys().all(|key| ANNOTATIONS.contains(&key.as_str())),
            _ => true,
        };
        let goal: Goal = goal.iter().filter(says).copied().collect();
        if let Some(rule) = self.rules.get(&goal) {
            return Symbol::Rule(*rule);
        }
        let rule = self.lark.rule();
        self.rules.insert(goal.clone(), rule);
        self.open.push_back((rule, goal));
        Symbol::Rule(rule)
    }

    /// Writes all rules that are still missing.
    ///
    /// # Errors
    /// What cannot be enforced, or is no schema.
    pub fn finish(&mut self) -> Found<()> {
        while let Some((rule, goal)) = self.open.pop_front() {
            let ways = self.ways(&goal)?;
            self.lark.define(rule, ways);
            if self.lark.is_too_large() || self.document.is_exhausted() {
                let node = goal.first().copied().unwrap_or(self.document.root());
                return Err(error(self.document, node, "", "is too large a grammar"));
            }
        }
        Ok(())
    }

    fn ways(&mut self, goal: &[NodeId]) -> Found<Ways> {
        let mut ways = Ways::new();
        for case in Cases::of(self.document, goal)? {
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
            let items = self.items(case)?;
            ways.extend(items.map(|items| [literal("["), items, literal("]")].concat()));
        }
        if case.types.has(Types::OBJECT) {
            let properties = self.properties(case)?;
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
        // Those that are one literal are one terminal together.
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
            match digits.and_then(|number| number.integer_text()) {
                Some(digits) => parts.push(Regex::literal(&digits).not()),
                None => {
                    let reason = "cannot be enforced for numbers, which have many spellings";
                    return self.error(case, "not", reason);
                }
            }
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
            parts.extend(formats::parts(format));
        }
        if strings.least > 0 || most.is_some() {
            parts.push(Regex::of_length(count(strings.least), most));
        }
        for value in &case.excluded {
            parts.extend(value.as_str().map(|text| Regex::literal(text).not()));
        }
        Ok(Regex::and(parts))
    }

    /// Every string that all of these schemas hold for. Nothing if there is none.
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

    /// The items of a list. `None` if there can be no list.
    fn items(&mut self, case: &Branch<'a>) -> Found<Option<Vec<Symbol>>> {
        let Count { least, most } = case.items;
        if most.is_some_and(|most| most < least) {
            return Ok(None);
        }
        let most = most.filter(|most| *most < ENDLESS);
        let first = object::first_items(self.document, &case.nodes);
        let comma = || Symbol::Literal(self.style.comma().to_owned());
        let first = most.map_or(first, |most| {
            first.min(usize::try_from(most).unwrap_or(first))
        });
        let more = least.saturating_sub(first as u64);
        let room = most.map(|most| most - first as u64);
        // What follows the first items, from the last one on backwards: at the beginning of the
        // list and behind another item.
        let mut head: Option<Vec<Symbol>> = None;
        let (comma_text, rest) = (comma(), object::item(self.document, &case.nodes, first));
        let rest = self.value(&rest);
        let following = vec![comma_text.clone(), rest.clone()];
        let mut tail = vec![Symbol::Repeat(following.clone(), more, room)];
        if room == Some(0) {
            tail = Vec::new();
        } else {
            let room = room.map(|room| room - 1);
            let some = vec![
                rest,
                Symbol::Repeat(following, more.saturating_sub(1), room),
            ];
            head = Some(if more == 0 {
                vec![Symbol::Repeat(some, 0, Some(1))]
            } else {
                some
            });
        }
        let mut head = head.unwrap_or_default();
        for at in (0..first).rev() {
            let goal = object::item(self.document, &case.nodes, at);
            let item = self.value(&goal);
            let own = [vec![item.clone()], tail.clone()].concat();
            let behind = [vec![comma_text.clone(), item], tail].concat();
            if (at as u64) < least {
                head = own;
                tail = behind;
            } else {
                head = vec![Symbol::Repeat(own, 0, Some(1))];
                tail = vec![Symbol::Repeat(behind, 0, Some(1))];
            }
            // Each is used twice at the most, and a rule keeps it small.
            tail = vec![self.lark.choice(vec![tail])];
        }
        Ok(Some(head))
    }

    /// The properties of an object, between its braces. `None` if there can be no object.
    fn properties(&mut self, case: &Branch<'a>) -> Found<Option<Vec<Symbol>>> {
        let fields = self.fields(case)?;
        let Some(fields) = fields else {
            return Ok(None);
        };
        let free = self.free(case)?;
        let required = fields.iter().filter(|field| field.required).count() as u64;
        let Count { least, most } = case.properties;
        if most.is_some_and(|most| most < least.max(required)) {
            return Ok(None);
        }
        let optional = fields.len() as u64 - required;
        let least = least.saturating_sub(required);
        let most = most.map(|most| most - required);
        // What the declared properties cannot bring, free ones have to.
        let missing = least.saturating_sub(optional);
        if free.is_none() && missing > 0 {
            return Ok(None);
        }
        if free.is_some() && least > 1 {
            let reason = format!(
                "is {} and {required} are required: of the others only one can be asked for, \
                 since names may repeat",
                case.properties.least
            );
            return self.error(case, "minProperties", reason);
        }
        let counted = least > 0 || most.is_some_and(|most| most < optional || free.is_some());
        if counted {
            return self.counted(case, &fields, free, least, most).map(Some);
        }
        let comma = || Symbol::Literal(self.style.comma().to_owned());
        let (mut head, mut tail) = match free {
            None => (Vec::new(), Vec::new()),
            Some(free) => {
                let more = Symbol::Repeat(vec![comma(), free.clone()], 0, None);
                let head = Symbol::Repeat(vec![free, more.clone()], 0, Some(1));
                (vec![head], vec![more])
            }
        };
        for field in fields.into_iter().rev() {
            let own = [field.symbols.clone(), tail.clone()].concat();
            let behind = [
                vec![Symbol::Literal(self.style.comma().to_owned())],
                own.clone(),
            ]
            .concat();
            if field.required {
                head = own;
                tail = behind;
            } else {
                head = vec![self.lark.choice(vec![own, head])];
                tail = vec![self.lark.choice(vec![behind, tail])];
                continue;
            }
            tail = vec![self.lark.choice(vec![tail])];
        }
        Ok(Some(head))
    }

    /// The properties that are declared and can be there, in their order. `None` if one that has
    /// to be there cannot.
    fn fields(&mut self, case: &Branch<'a>) -> Found<Option<Vec<Field>>> {
        let names_goal = object::name_goal(self.document, &case.nodes);
        let mut fields = Vec::new();
        for name in object::names(self.document, case) {
            let required = case.required.contains(&name);
            let mut possible = !case.absent.contains(&name);
            for node in &names_goal {
                possible = possible && self.document.allows(*node, &Value::from(name))?;
            }
            if !possible {
                if required {
                    return Ok(None);
                }
                continue;
            }
            let goal = object::property(self.document, &case.nodes, name)?;
            if self.is_never(&goal) {
                if required {
                    return Ok(None);
                }
                continue;
            }
            let value = self.value(&goal);
            let key = self.style.key(name);
            let mut symbols = key.or_else(|letter| self.unwritable(case, "properties", &letter))?;
            symbols.push(value);
            fields.push(Field { symbols, required });
        }
        Ok(Some(fields))
    }

    fn is_never(&self, goal: &[NodeId]) -> bool {
        let never = |node: &NodeId| *self.document.value(*node) == Value::Bool(false);
        goal.iter().any(never)
    }

    /// A property that is not declared. `None` if there is none.
    fn free(&mut self, case: &Branch<'a>) -> Found<Option<Symbol>> {
        let declared = object::names(self.document, case);
        let names_goal = object::name_goal(self.document, &case.nodes);
        let allowed = if names_goal.is_empty() {
            Regex::any()
        } else {
            self.strings(&names_goal)?
        };
        let mut ways = Ways::new();
        for (names, goal) in object::free_names(self.document, case, &declared)? {
            if self.is_never(&goal) {
                continue;
            }
            let names = Regex::and([names, allowed.clone()]);
            let key = self.style.free_key(self.lark, &names);
            let key = key.or_else(|reason| self.error(case, "patternProperties", reason))?;
            if let Some(mut way) = key {
                let value = self.value(&goal);
                way.push(value);
                ways.push(way);
            }
        }
        Ok((!ways.is_empty()).then(|| self.lark.choice(ways)))
    }

    /// Properties of which a number of optional ones has to be there.
    fn counted(
        &mut self,
        case: &Branch<'a>,
        fields: &[Field],
        free: Option<Symbol>,
        least: u64,
        most: Option<u64>,
    ) -> Found<Vec<Symbol>> {
        let cap = most
            .unwrap_or(least)
            .max(least)
            .min(fields.len() as u64 + 1);
        if (fields.len() as u64 + 1) * (cap + 1) * 2 > MAX_COUNTED {
            let reason = format!("cannot be counted over {} properties", fields.len());
            return self.error(case, "maxProperties", reason);
        }
        let comma = Symbol::Literal(self.style.comma().to_owned());
        // The end: free properties for what is missing and what is left.
        let end = |count: u64, first: bool| -> Option<Vec<Symbol>> {
            let missing = least.saturating_sub(count);
            let room = most.map(|most| most.saturating_sub(count));
            match &free {
                None if missing > 0 => None,
                _ if room == Some(0) => Some(Vec::new()),
                None => Some(Vec::new()),
                Some(free) => {
                    let following = vec![comma.clone(), free.clone()];
                    if !first {
                        return Some(vec![Symbol::Repeat(following, missing, room)]);
                    }
                    let rest = Symbol::Repeat(
                        following,
                        missing.saturating_sub(1),
                        room.map(|room| room - 1),
                    );
                    let some = vec![free.clone(), rest];
                    Some(if missing > 0 {
                        some
                    } else {
                        vec![Symbol::Repeat(some, 0, Some(1))]
                    })
                }
            }
        };
        // By how many optional properties there are so far, and whether any is.
        let states: Vec<(u64, bool)> = (0..=cap)
            .flat_map(|count| [(count, true), (count, false)])
            .collect();
        let mut next: HashMap<(u64, bool), Option<Vec<Symbol>>> = states
            .iter()
            .map(|&(count, first)| ((count, first), end(count, first)))
            .collect();
        for field in fields.iter().rev() {
            let mut now = HashMap::new();
            for &(count, first) in &states {
                let counted = if field.required { count } else { count + 1 };
                let full = most.is_some_and(|most| counted > most);
                let behind = next.get(&(counted.min(cap), false)).cloned().flatten();
                let with = behind.filter(|_| !full).map(|behind| {
                    let comma = (!first).then(|| comma.clone());
                    let own = comma.into_iter().chain(field.symbols.iter().cloned());
                    own.chain(behind).collect::<Vec<_>>()
                });
                let without = next.get(&(count, first)).cloned().flatten();
                let without = without.filter(|_| !field.required);
                let ways: Ways = [with, without].into_iter().flatten().collect();
                let symbols = (!ways.is_empty()).then(|| vec![self.lark.choice(ways)]);
                now.insert((count, first), symbols);
            }
            next = now;
        }
        let start = next.remove(&(0, true)).flatten();
        // Nothing at all is a rule without a way.
        Ok(start.unwrap_or_else(|| vec![self.lark.choice(Vec::new())]))
    }
}

/// A property that is declared: its key and its value.
#[derive(Debug, Clone)]
struct Field {
    symbols: Vec<Symbol>,
    required: bool,
}
