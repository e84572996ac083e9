//! Builds a grammar from the layouts of a family and the schemas of tools.

use std::collections::HashMap;

use crate::constraint::ConstraintError;
use crate::schema::{Arguments, Codec, Document, Lark, Regex, Style, Symbol, Writer, split};
use crate::tools::call::MAX_PARALLEL_CALLS;
use crate::tools::definition::ToolDefinition;
use crate::tools::family::{Around, Family, Layout, MAX_GAP, Part};
use crate::tools::name::{ControlToken, ToolFormat};

const FIELD: &str = "tools";

/// The characters of an id that a model invents.
const ID: &str = "[0-9A-Za-z]";

/// The number of a call, which continues from the previous ones.
const NUMBER: &str = "0|[1-9][0-9]{0,2}";

pub(super) fn written(
    format: ToolFormat,
    tools: &[ToolDefinition],
    parallel: bool,
    control: &[ControlToken],
) -> Result<String, ConstraintError> {
    let control: Vec<_> = control.iter().map(|token| (token.text, token.id)).collect();
    let mut calls = Calls {
        lark: Lark::default(),
        control: &control,
        tools,
        arguments: HashMap::new(),
        tails: HashMap::new(),
    };
    let mut ways = Vec::new();
    for layout in Family::of(format).layouts {
        if layout.read_only {
            continue;
        }
        calls.write_arguments(layout)?;
        for around in layout.around {
            ways.push(calls.reply(layout, around, parallel)?);
        }
    }
    let start = calls.lark.choice(ways);
    let nothing = || ConstraintError::refused(FIELD, "there is no tool to call");
    calls.lark.text(&[start]).ok_or_else(nothing)
}

type Notation = (Style, Arguments);

struct Calls<'a> {
    lark: Lark,
    control: &'a [(&'static str, u32)],
    tools: &'a [ToolDefinition],
    /// The arguments of each tool, by their notation.
    arguments: HashMap<Notation, Vec<Symbol>>,
    /// A call from its name on, by its parts.
    tails: HashMap<(&'static [Part], Notation, bool), Symbol>,
}

/// A piece of a sequence, before white space is joined to its neighbours.
enum Piece {
    Literal(String),
    Gap,
    Symbol(Symbol),
}

impl Calls<'_> {
    /// Writes the rules for the arguments of all tools in the notation of a layout.
    fn write_arguments(&mut self, layout: &Layout) -> Result<(), ConstraintError> {
        let notation = (layout.style, layout.arguments);
        if self.arguments.contains_key(&notation) {
            return Ok(());
        }
        let token = |mark: &str| self.control.iter().find(|(text, _)| *text == mark);
        let style = match layout.style {
            Style::Marked(mark, _) => Style::Marked(mark, token(mark).map(|(_, id)| *id)),
            style => style,
        };
        let mut all = Vec::with_capacity(self.tools.len());
        for tool in self.tools {
            let document = Document::new(&tool.parameters);
            let refused = |path: String, reason: String| {
                let refused = ConstraintError::refused(FIELD, reason);
                refused.at(path).of_tool(&tool.name)
            };
            let mut writer =
                Writer::new(&mut self.lark, &document, style, true).with_control(self.control);
            let arguments = writer.arguments(&[document.root()], layout.arguments);
            let arguments = arguments
                .and_then(|arguments| writer.finish().map(|()| arguments))
                .map_err(|error| refused(error.path, error.reason))?;
            let written = arguments.filter(|arguments| self.lark.writes(arguments));
            let nothing = || refused("#".to_owned(), "nothing fulfils it".to_owned());
            all.push(written.ok_or_else(nothing)?);
        }
        self.arguments.insert(notation, all);
        Ok(())
    }

    /// All calls of a reply with the surrounding text.
    fn reply(
        &mut self,
        layout: &'static Layout,
        around: &Around,
        parallel: bool,
    ) -> Result<Vec<Symbol>, ConstraintError> {
        let mut first = Vec::with_capacity(layout.calls.len());
        let mut further = Vec::with_capacity(layout.calls.len());
        for call in layout.calls {
            first.push(self.call(layout, around.before, call, true)?);
            if let Some(between) = around.between.filter(|_| parallel) {
                let between = [Part::Text(between)];
                further.push(self.call(layout, &between, call, false)?);
            }
        }
        let mut reply = vec![self.lark.choice(first)];
        if !further.is_empty() {
            let further = self.lark.choice(further);
            let most = MAX_PARALLEL_CALLS as u64 - 1;
            reply.push(Symbol::Repeat(vec![further], 0, Some(most)));
        }
        reply.extend(split(around.after, self.control));
        Ok(reply)
    }

    /// A call with the text before it. `loose` accepts any white space in gaps.
    fn call(
        &mut self,
        layout: &'static Layout,
        before: &[Part],
        call: &'static [Part],
        loose: bool,
    ) -> Result<Vec<Symbol>, ConstraintError> {
        let name = call.iter().position(|part| *part == Part::Name);
        let (head, tail) = call.split_at(name.unwrap_or(call.len()));
        let mut pieces = Vec::new();
        for parts in [before, head] {
            self.pieces(parts, None, loose, &mut pieces)?;
        }
        let mut call = self.sequence(pieces)?;
        call.push(self.tail(layout, tail, loose)?);
        Ok(call)
    }

    /// A call of any tool, from its name on.
    fn tail(
        &mut self,
        layout: &'static Layout,
        tail: &'static [Part],
        loose: bool,
    ) -> Result<Symbol, ConstraintError> {
        let notation = (layout.style, layout.arguments);
        let key = (tail, notation, loose);
        if let Some(known) = self.tails.get(&key) {
            return Ok(known.clone());
        }
        let arguments = self.arguments.get(&notation).cloned().unwrap_or_default();
        let mut ways = Vec::with_capacity(self.tools.len());
        for (tool, arguments) in self.tools.iter().zip(&arguments) {
            let mut pieces = Vec::new();
            self.pieces(tail, Some((&tool.name, arguments)), loose, &mut pieces)?;
            ways.push(self.sequence(pieces)?);
        }
        let tail = self.lark.choice(ways);
        self.tails.insert(key, tail.clone());
        Ok(tail)
    }

    fn pieces(
        &mut self,
        parts: &[Part],
        tool: Option<(&str, &Symbol)>,
        loose: bool,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), ConstraintError> {
        for part in parts {
            match part {
                Part::Gap(_) if loose => pieces.push(Piece::Gap),
                Part::Text(text) | Part::Gap(text) => {
                    for symbol in split(text, self.control) {
                        match symbol {
                            Symbol::Literal(text) => literal(pieces, &text),
                            other => pieces.push(Piece::Symbol(other)),
                        }
                    }
                }
                Part::Name => literal(pieces, tool.map_or("", |(name, _)| name)),
                Part::Arguments => {
                    let arguments = tool.map(|(_, arguments)| arguments.clone());
                    pieces.extend(arguments.map(Piece::Symbol));
                }
                Part::Index(_) => {
                    let number = self.terminal(&Regex::Raw(NUMBER.to_owned()))?;
                    pieces.extend(number.map(Piece::Symbol));
                }
                Part::Id(length) => {
                    let id = self.terminal(&Regex::Raw(format!("{ID}{{{length}}}")))?;
                    pieces.extend(id.map(Piece::Symbol));
                }
                Part::Maybe(inner) => {
                    let mut within = Vec::new();
                    self.pieces(inner, tool, loose, &mut within)?;
                    let within = self.sequence(within)?;
                    pieces.push(Piece::Symbol(Symbol::Repeat(within, 0, Some(1))));
                }
                Part::Here | Part::Ahead(_) => {}
            }
        }
        Ok(())
    }

    /// Joins white space with the text before or after it, so that it is not part of another
    /// terminal.
    fn sequence(&mut self, pieces: Vec<Piece>) -> Result<Vec<Symbol>, ConstraintError> {
        let mut symbols = Vec::new();
        let mut pieces = pieces.into_iter().peekable();
        let mut gap_before = false;
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Literal(text) => {
                    let gap_behind = pieces.next_if(|next| matches!(next, Piece::Gap)).is_some();
                    if !gap_before && !gap_behind {
                        symbols.push(Symbol::Literal(text));
                        continue;
                    }
                    let space = |is: bool| if is { gap(0) } else { Regex::Empty };
                    let literal = Regex::literal(&text).coded(&Codec::raw());
                    let whole = [space(gap_before), literal, space(gap_behind)];
                    symbols.extend(self.terminal(&Regex::concat(whole))?);
                    gap_before = false;
                }
                Piece::Gap => gap_before = true,
                Piece::Symbol(symbol) => {
                    if std::mem::take(&mut gap_before) {
                        let space = self.terminal(&gap(1))?;
                        let space = space.into_iter().collect();
                        symbols.push(Symbol::Repeat(space, 0, Some(1)));
                    }
                    symbols.push(symbol);
                }
            }
        }
        Ok(symbols)
    }

    fn terminal(&mut self, regex: &Regex) -> Result<Option<Symbol>, ConstraintError> {
        let terminal = self.lark.terminal(regex);
        terminal.map_err(|reason| ConstraintError::refused(FIELD, reason))
    }
}

/// Adds a text to the one before it.
fn literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Literal(before)) => before.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}

/// White space of any allowed length.
fn gap(least: usize) -> Regex {
    Regex::Raw(format!("[ \\t\\r\\n]{{{least},{MAX_GAP}}}"))
}
