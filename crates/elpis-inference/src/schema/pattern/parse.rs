//! Parses regular expressions of ECMA-262, and some extensions of Python and Rust.

mod class;

use std::iter::Peekable;
use std::str::Chars;

use regex_syntax::hir::ClassUnicode;

use crate::schema::regex::every;
use class::{class, negated};

/// Maximum nesting depth of groups.
const MAX_DEPTH: usize = 64;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// One character.
    Class(ClassUnicode),
    /// One of several alternatives.
    Group(Vec<Vec<Node>>),
    Repeat(Box<Node>, u32, Option<u32>),
    Look(Look, Vec<Vec<Node>>),
    /// `^`.
    Start,
    /// `$`.
    End,
    /// `\b` or `\B`.
    Boundary(char),
}

/// A look-around, and whether it is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Ahead(bool),
    Behind(bool),
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    dot_all: bool,
}

struct Parser<'a> {
    letters: Peekable<Chars<'a>>,
    depth: usize,
    flags: Flags,
}

/// Parses a pattern into its alternatives.
///
/// # Errors
/// The reason why it is invalid or not supported.
pub(super) fn parse(source: &str) -> Result<Vec<Vec<Node>>, String> {
    let mut parser = Parser {
        letters: source.chars().peekable(),
        depth: 0,
        flags: Flags::default(),
    };
    let ways = parser.ways()?;
    match parser.letters.next() {
        None => Ok(ways),
        Some(_) => Err("unmatched )".to_owned()),
    }
}

impl Parser<'_> {
    fn eat(&mut self, letter: char) -> bool {
        self.letters.next_if_eq(&letter).is_some()
    }

    /// Skips this text if it comes next.
    fn eat_all(&mut self, text: &str) -> bool {
        let mut ahead = self.letters.clone();
        let fits = text.chars().all(|letter| ahead.next() == Some(letter));
        if fits {
            self.letters = ahead;
        }
        fits
    }

    fn ways(&mut self) -> Result<Vec<Vec<Node>>, String> {
        let mut ways = vec![Vec::new()];
        while let Some(&letter) = self.letters.peek() {
            match letter {
                ')' => break,
                '|' => {
                    self.letters.next();
                    ways.push(Vec::new());
                }
                _ => {
                    let nodes = self.part()?;
                    ways.last_mut()
                        .into_iter()
                        .for_each(|way| way.extend(nodes.clone()));
                }
            }
        }
        Ok(ways)
    }

    /// Parses the next part with its repetition. Returns `None` for flags.
    fn part(&mut self) -> Result<Option<Node>, String> {
        let Some(letter) = self.letters.next() else {
            return Ok(None);
        };
        let node = match letter {
            '^' => Node::Start,
            '$' => Node::End,
            '.' => Node::Class(if self.flags.dot_all {
                every()
            } else {
                let lines = ['\n', '\r', '\u{2028}', '\u{2029}'];
                negated(&class(lines.map(|line| (line, line))))
            }),
            '(' => match self.group()? {
                Some(group) => group,
                None => return Ok(None),
            },
            '[' => Node::Class(self.bracket()?),
            '\\' => self.escape()?,
            '*' | '+' | '?' => return Err(format!("there is nothing for {letter} to repeat")),
            letter => Node::Class(self.folded(class([(letter, letter)]))),
        };
        self.repetition(node).map(Some)
    }

    fn repetition(&mut self, node: Node) -> Result<Node, String> {
        let (least, most) = match self.letters.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts()? {
                Some(counts) => return self.repeated(node, counts),
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        self.letters.next();
        self.repeated(node, (least, most))
    }

    fn repeated(&mut self, node: Node, (least, most): (u32, Option<u32>)) -> Result<Node, String> {
        // A lazy repetition matches the same texts.
        self.eat('?');
        if let Some(letter @ ('*' | '+' | '?')) = self.letters.peek() {
            return Err(format!("there is nothing for {letter} to repeat"));
        }
        Ok(Node::Repeat(Box::new(node), least, most))
    }

    /// Parses `{n}`, `{n,}` or `{n,m}`. Anything else that begins with `{` is text.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let mut ahead = self.letters.clone();
        ahead.next();
        let mut inside = String::new();
        loop {
            match ahead.next() {
                Some('}') => break,
                Some(letter) if letter.is_ascii_digit() || letter == ',' => inside.push(letter),
                _ => return Ok(None),
            }
        }
        let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
        if least.is_empty() || most.contains(',') {
            return Ok(None);
        }
        let number = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|number| *number < u32::MAX);
            number.ok_or_else(|| format!("the repetition count {text} is too large"))
        };
        let least = number(least)?;
        let most = if most.is_empty() {
            None
        } else {
            Some(number(most)?)
        };
        if most.is_some_and(|most| most < least) {
            return Err(format!("the maximum of {{{inside}}} is below the minimum"));
        }
        self.letters = ahead;
        Ok(Some((least, most)))
    }

    /// Parses a group after its `(`. Returns `None` for flags that apply from here on.
    fn group(&mut self) -> Result<Option<Node>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("groups are nested deeper than {MAX_DEPTH} levels"));
        }
        let flags = self.flags;
        let look = if !self.eat('?') || self.eat(':') {
            None
        } else if self.eat('=') {
            Some(Look::Ahead(false))
        } else if self.eat('!') {
            Some(Look::Ahead(true))
        } else if self.eat_all("<=") {
            Some(Look::Behind(false))
        } else if self.eat_all("<!") {
            Some(Look::Behind(true))
        } else if self.eat('<') || self.eat_all("P<") {
            if !self.letters.by_ref().any(|letter| letter == '>') {
                return Err("the name of a group is not closed".to_owned());
            }
            None
        } else if self.eat_all("P=") {
            return Err("references to groups are not supported".to_owned());
        } else if self.flags()? {
            self.depth -= 1;
            return Ok(None);
        } else {
            None
        };
        let ways = self.ways()?;
        if !self.eat(')') {
            return Err("a group is not closed".to_owned());
        }
        self.depth -= 1;
        self.flags = flags;
        Ok(Some(match look {
            None => Node::Group(ways),
            Some(look) => Node::Look(look, ways),
        }))
    }

    /// Parses flags after `(?`. Returns whether they apply to everything that follows, rather than to
    /// a group.
    fn flags(&mut self) -> Result<bool, String> {
        let mut on = true;
        loop {
            match self.letters.next() {
                Some('i') => self.flags.ignore_case = on,
                Some('s') => self.flags.dot_all = on,
                // Characters are always those of Unicode.
                Some('u') => {}
                Some('-') => on = false,
                Some(')') => return Ok(true),
                Some(':') => return Ok(false),
                Some(letter) => {
                    return Err(format!("the flag or group (?{letter} is not supported"));
                }
                None => return Err("a group is not closed".to_owned()),
            }
        }
    }

    fn folded(&self, mut class: ClassUnicode) -> ClassUnicode {
        if self.flags.ignore_case {
            // This fails only without tables of case folding.
            let _ = class.try_case_fold_simple();
        }
        class
    }

    fn escape(&mut self) -> Result<Node, String> {
        let Some(&letter) = self.letters.peek() else {
            return Err("the pattern ends with a \\".to_owned());
        };
        let node = match letter {
            'b' | 'B' => Node::Boundary(letter),
            'A' => Node::Start,
            'z' | 'Z' => Node::End,
            '1'..='9' | 'k' => {
                return Err("references to groups are not supported".to_owned());
            }
            _ => {
                let class = self.escaped_class()?;
                return Ok(Node::Class(self.folded(class)));
            }
        };
        self.letters.next();
        Ok(node)
    }
}
