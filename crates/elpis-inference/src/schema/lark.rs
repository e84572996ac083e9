//! Grammars in llguidance's dialect of Lark, built rule by rule.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::language::Language;
use super::regex::{Codec, Regex};

/// Maximum number of rules and terminals of a grammar.
const MAX_PARTS: usize = 100_000;

/// Maximum length of a grammar, in bytes.
const MAX_TEXT: usize = 16 << 20;

/// A part of a rule.
///
/// Literals and terminals match greedily without backtracking, so none may be a prefix of another
/// one at the same place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Symbol {
    Rule(RuleId),
    Terminal(TerminalId),
    Literal(String),
    /// A token of the model without text.
    Token(u32),
    /// A schema for llguidance's own JSON rules.
    Json(Value),
    /// A repetition with a minimum and an optional maximum.
    Repeat(Vec<Symbol>, u64, Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuleId(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TerminalId(usize);

/// One of several sequences; `None` until it is defined.
type Ways = Option<Vec<Vec<Symbol>>>;

/// A grammar that is being built.
#[derive(Debug, Default)]
pub(crate) struct Lark {
    rules: Vec<Ways>,
    /// The expressions of terminals, none of which matches nothing.
    terminals: Vec<String>,
    known: HashMap<String, Option<TerminalId>>,
    bytes: usize,
}

impl Lark {
    /// Declares a rule to be defined later.
    pub fn rule(&mut self) -> RuleId {
        self.rules.push(None);
        RuleId(self.rules.len() - 1)
    }

    pub fn define(&mut self, rule: RuleId, ways: Vec<Vec<Symbol>>) {
        self.bytes += ways.iter().flatten().map(size).sum::<usize>() + 16;
        self.rules[rule.0] = Some(ways);
    }

    /// A rule with these alternatives.
    pub fn choice(&mut self, ways: Vec<Vec<Symbol>>) -> Symbol {
        let rule = self.rule();
        self.define(rule, ways);
        Symbol::Rule(rule)
    }

    /// A terminal for an expression; `None` if it matches no text.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn terminal(&mut self, regex: &Regex) -> Result<Option<Symbol>, String> {
        Ok(self.named(regex, true)?.map(Symbol::Terminal))
    }

    /// A literal or terminal with its end, as one terminal; `None` for other symbols.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn ended(&mut self, symbol: &Symbol, end: &Regex) -> Result<Option<Symbol>, String> {
        let body = match symbol {
            Symbol::Literal(text) => {
                let text = Regex::literal(text).coded(&Codec::raw());
                return self.terminal(&Regex::concat([text, end.clone()]));
            }
            Symbol::Terminal(TerminalId(id)) if *end == Regex::Empty => format!("T{id}"),
            Symbol::Terminal(TerminalId(id)) => format!("T{id} {}", self.part(end)?),
            _ => return Ok(None),
        };
        let id = match self.known.get(&body) {
            Some(known) => *known,
            None => Some(self.add(body)),
        };
        Ok(id.map(Symbol::Terminal))
    }

    fn add(&mut self, body: String) -> TerminalId {
        self.bytes += body.len();
        let id = TerminalId(self.terminals.len());
        self.known.insert(body.clone(), Some(id));
        self.terminals.push(body);
        id
    }

    fn named(&mut self, regex: &Regex, checked: bool) -> Result<Option<TerminalId>, String> {
        if *regex == Regex::Nothing {
            return Ok(None);
        }
        let body = self.expression(regex)?;
        if let Some(known) = self.known.get(&body) {
            return Ok(*known);
        }
        let empty = checked && regex.plain().is_none() && Language::new(regex)?.is_empty();
        if !empty {
            return Ok(Some(self.add(body)));
        }
        self.known.insert(body, None);
        Ok(None)
    }

    /// The text of an expression. Parts that cannot be inlined get names.
    fn expression(&mut self, regex: &Regex) -> Result<String, String> {
        if let Some(plain) = regex.plain() {
            return Ok(format!("/{plain}/"));
        }
        Ok(match regex {
            Regex::Not(_) => self.all_of(std::slice::from_ref(regex))?,
            Regex::And(parts) => self.all_of(parts)?,
            Regex::Alt(ways) => {
                let ways: Result<Vec<_>, _> = ways.iter().map(|way| self.part(way)).collect();
                ways?.join(" | ")
            }
            Regex::Concat(parts) => {
                let mut all = Vec::new();
                let is_plain = |one: &Regex| one.plain().is_some();
                // Adjacent parts without a name are joined.
                for group in parts.chunk_by(|one, other| is_plain(one) && is_plain(other)) {
                    all.push(self.part(&Regex::concat(group.iter().cloned()))?);
                }
                all.join(" ")
            }
            Regex::Repeat(inner, least, most) => {
                let most = most.map(|most| most.to_string()).unwrap_or_default();
                format!("{}{{{least},{most}}}", self.part(inner)?)
            }
            other => self.part(other)?,
        })
    }

    fn part(&mut self, regex: &Regex) -> Result<String, String> {
        match regex.plain() {
            Some(plain) => Ok(format!("/{plain}/")),
            None => self.name(regex),
        }
    }

    /// The intersection of these. The complement of a text is any bytes, even invalid UTF-8.
    fn all_of(&mut self, parts: &[Regex]) -> Result<String, String> {
        let mut all = Vec::with_capacity(parts.len() + 1);
        if parts.iter().all(|part| matches!(part, Regex::Not(_))) {
            all.push(self.part(&Regex::any())?);
        }
        for part in parts {
            all.push(match part {
                Regex::Not(inner) => format!("~{}", self.part(inner)?),
                other => self.part(other)?,
            });
        }
        Ok(all.join(" & "))
    }

    /// The name of a part of an expression, even if it matches no text.
    fn name(&mut self, regex: &Regex) -> Result<String, String> {
        let id = self.named(regex, false)?;
        // Only an expression that matches nothing has no name, and that is not part of any other.
        Ok(id.map_or_else(|| "/[^\\s\\S]/".to_owned(), |id| format!("T{}", id.0)))
    }

    /// Whether it has become too large.
    pub fn is_too_large(&self) -> bool {
        self.rules.len() + self.terminals.len() > MAX_PARTS || self.bytes > MAX_TEXT
    }

    /// For each rule, whether it derives a finite text.
    fn productive(&self) -> Vec<bool> {
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.rules.len()];
        for (at, ways) in self.rules.iter().enumerate() {
            for symbol in ways.iter().flatten().flatten() {
                each_rule(symbol, &mut |used| users[used.0].push(at));
            }
        }
        let mut productive = vec![false; self.rules.len()];
        let mut open: Vec<usize> = (0..self.rules.len()).collect();
        while let Some(at) = open.pop() {
            let writes = |ways: &Vec<Vec<Symbol>>| {
                ways.iter()
                    .any(|way| way.iter().all(|symbol| is_productive(symbol, &productive)))
            };
            if !productive[at] && self.rules[at].as_ref().is_some_and(writes) {
                productive[at] = true;
                open.extend(&users[at]);
            }
        }
        productive
    }

    /// Whether a rule derives any text.
    pub fn writes(&self, symbol: &Symbol) -> bool {
        is_productive(symbol, &self.productive())
    }

    /// The text of the grammar; `None` if it derives nothing.
    pub fn text(&self, start: &[Symbol]) -> Option<String> {
        let productive = self.productive();
        if !start
            .iter()
            .all(|symbol| is_productive(symbol, &productive))
        {
            return None;
        }
        let mut printer = Printer {
            out: String::new(),
            open: Vec::new(),
            seen: vec![false; self.rules.len()],
            terminals: vec![false; self.terminals.len()],
            productive: &productive,
        };
        printer.out.push_str("start: ");
        printer.way(start);
        printer.out.push('\n');
        while let Some(rule) = printer.open.pop() {
            // Writing to a string does not fail.
            let _ = write!(printer.out, "r{rule}: ");
            let ways = self.rules[rule].iter().flatten();
            let whole =
                |way: &&Vec<Symbol>| way.iter().all(|symbol| is_productive(symbol, &productive));
            for (at, way) in ways.filter(whole).enumerate() {
                printer.out.push_str(if at == 0 { "" } else { " | " });
                printer.way(way);
            }
            printer.out.push('\n');
        }
        let Printer {
            mut out, terminals, ..
        } = printer;
        // Terminals refer to others; unused ones do no harm.
        if terminals.contains(&true) {
            for (at, body) in self.terminals.iter().enumerate() {
                let _ = writeln!(out, "T{at}: {body}");
            }
        }
        Some(out)
    }
}

struct Printer<'a> {
    out: String,
    open: Vec<usize>,
    seen: Vec<bool>,
    terminals: Vec<bool>,
    productive: &'a [bool],
}

impl Printer<'_> {
    fn way(&mut self, way: &[Symbol]) {
        let is_empty = |symbol: &Symbol| match symbol {
            Symbol::Literal(text) => text.is_empty(),
            Symbol::Repeat(way, _, most) => {
                *most == Some(0)
                    || !way
                        .iter()
                        .all(|symbol| is_productive(symbol, self.productive))
            }
            _ => false,
        };
        let way: Vec<&Symbol> = way.iter().filter(|symbol| !is_empty(symbol)).collect();
        if way.is_empty() {
            self.out.push_str("\"\"");
        }
        for (at, symbol) in way.into_iter().enumerate() {
            self.out.push_str(if at == 0 { "" } else { " " });
            self.symbol(symbol);
        }
    }

    fn symbol(&mut self, symbol: &Symbol) {
        // Writing to a string does not fail.
        let _ = match symbol {
            Symbol::Rule(RuleId(rule)) => {
                if !self.seen[*rule] {
                    self.seen[*rule] = true;
                    self.open.push(*rule);
                }
                write!(self.out, "r{rule}")
            }
            Symbol::Terminal(TerminalId(terminal)) => {
                self.terminals[*terminal] = true;
                write!(self.out, "T{terminal}")
            }
            Symbol::Literal(text) => write!(self.out, "{}", quote(text)),
            Symbol::Token(id) => write!(self.out, "<[{id}]>"),
            Symbol::Json(schema) => write!(self.out, "%json {schema}"),
            Symbol::Repeat(way, least, most) => {
                self.out.push('(');
                self.way(way);
                let most = most.map(|most| most.to_string()).unwrap_or_default();
                match (least, most.as_str()) {
                    (0, "") => write!(self.out, ")*"),
                    (0, "1") => write!(self.out, ")?"),
                    (1, "") => write!(self.out, ")+"),
                    (least, most) => write!(self.out, "){{{least},{most}}}"),
                }
            }
        };
    }
}

fn is_productive(symbol: &Symbol, productive: &[bool]) -> bool {
    match symbol {
        Symbol::Rule(rule) => productive[rule.0],
        Symbol::Repeat(way, least, _) => {
            *least == 0 || way.iter().all(|symbol| is_productive(symbol, productive))
        }
        _ => true,
    }
}

fn each_rule(symbol: &Symbol, then: &mut impl FnMut(RuleId)) {
    match symbol {
        Symbol::Rule(rule) => then(*rule),
        Symbol::Repeat(way, ..) => way.iter().for_each(|symbol| each_rule(symbol, then)),
        _ => {}
    }
}

/// Approximate size of its text, in bytes.
fn size(symbol: &Symbol) -> usize {
    match symbol {
        Symbol::Literal(text) => text.len() + 3,
        Symbol::Json(_) => 200,
        Symbol::Repeat(way, ..) => way.iter().map(size).sum::<usize>() + 8,
        _ => 8,
    }
}

/// Writes a Lark string, which has JSON syntax.
fn quote(text: &str) -> String {
    json!(text).to_string()
}
