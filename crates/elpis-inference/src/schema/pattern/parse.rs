//! Reads regular expressions of ECMA-262, and what Python and Rust write beyond it.

use std::iter::Peekable;
use std::str::Chars;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use crate::schema::regex::every;

/// Most groups within each other.
const MAX_DEPTH: usize = 64;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// One character.
    Class(ClassUnicode),
    /// One of several sequences.
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

/// A look-around, and whether it forbids what it looks for.
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

/// Reads a pattern: one of several sequences.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(source: &str) -> Result<Vec<Vec<Node>>, String> {
    let mut parser = Parser {
        letters: source.chars().peekable(),
        depth: 0,
        flags: Flags::default(),
    };
    let ways = parser.ways()?;
    match parser.letters.next() {
        None => Ok(ways),
        Some(_) => Err("a ) closes no group".to_owned()),
    }
}

impl Parser<'_> {
    fn eat(&mut self, letter: char) -> bool {
        self.letters.next_if_eq(&letter).is_some()
    }

    /// Reads this text if it comes next.
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

    /// The next part with its repetition; flags are none.
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
        // Lazy or not, the texts are the same.
        self.eat('?');
        if let Some(letter @ ('*' | '+' | '?')) = self.letters.peek() {
            return Err(format!("there is nothing for {letter} to repeat"));
        }
        Ok(Node::Repeat(Box::new(node), least, most))
    }

    /// `{n}`, `{n,}` or `{n,m}`; what else begins so is text.
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
            number.ok_or_else(|| format!("the count {text} is too large"))
        };
        let least = number(least)?;
        let most = if most.is_empty() {
            None
        } else {
            Some(number(most)?)
        };
        if most.is_some_and(|most| most < least) {
            return Err(format!("the counts of {{{inside}}} are in the wrong order"));
        }
        self.letters = ahead;
        Ok(Some((least, most)))
    }

    /// A group behind its `(`; `None` for a comment or flags that hold from here on.
    fn group(&mut self) -> Result<Option<Node>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!(
                "more than {MAX_DEPTH} groups stand within each other"
            ));
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
                return Err("the name of a group does not end".to_owned());
            }
            None
        } else if self.eat_all("P=") {
            return Err("a reference to a group is not supported".to_owned());
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

    /// Flags behind `(?`; tells whether they hold for all that follows, and not for a group.
    fn flags(&mut self) -> Result<bool, String> {
        let mut on = true;
        loop {
            match self.letters.next() {
                Some('i') => self.flags.ignore_case = on,
                Some('s') => self.flags.dot_all = on,
                // Characters are Unicode's already.
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
            // Fails only where no case is known, and then there is none to ignore.
            let _ = class.try_case_fold_simple();
        }
        class
    }

    fn escape(&mut self) -> Result<Node, String> {
        let Some(&letter) = self.letters.peek() else {
            return Err("a \\ stands at the end".to_owned());
        };
        let node = match letter {
            'b' | 'B' => Node::Boundary(letter),
            'A' => Node::Start,
            'z' | 'Z' => Node::End,
            '1'..='9' | 'k' => {
                return Err("a reference to a group is not supported".to_owned());
            }
            _ => {
                let class = self.escaped_class()?;
                return Ok(Node::Class(self.folded(class)));
            }
        };
        self.letters.next();
        Ok(node)
    }

    /// What a `\` spells that is one character.
    fn escaped_class(&mut self) -> Result<ClassUnicode, String> {
        let Some(letter) = self.letters.next() else {
            return Err("a \\ stands at the end".to_owned());
        };
        let one = |letter: char| class([(letter, letter)]);
        Ok(match letter {
            'd' => digits(),
            'D' => negated(&digits()),
            'w' => words(),
            'W' => negated(&words()),
            's' => spaces(),
            'S' => negated(&spaces()),
            't' => one('\t'),
            'n' => one('\n'),
            'r' => one('\r'),
            'v' => one('\u{b}'),
            'f' => one('\u{c}'),
            'a' => one('\u{7}'),
            '0' => one('\0'),
            'c' => match self.letters.next() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    one(char::from(letter.to_ascii_uppercase() as u8 - b'@'))
                }
                _ => return Err("a \\c names no control character".to_owned()),
            },
            'x' => one(self.hexadecimal(2, 'x')?),
            'u' => one(self.hexadecimal(4, 'u')?),
            'U' => one(self.hexadecimal(8, 'U')?),
            'p' | 'P' => self.property(letter)?,
            letter if !letter.is_ascii_alphanumeric() => one(letter),
            letter => return Err(format!("\\{letter} is not known")),
        })
    }

    fn hexadecimal(&mut self, digits: usize, letter: char) -> Result<char, String> {
        let wrong = || format!("\\{letter} spells no character");
        if self.eat('{') {
            let mut code = String::new();
            loop {
                match self.letters.next() {
                    Some('}') => break,
                    Some(digit) if digit.is_ascii_hexdigit() && code.len() < 8 => code.push(digit),
                    _ => return Err(wrong()),
                }
            }
            let code = u32::from_str_radix(&code, 16).map_err(|_| wrong())?;
            return char::from_u32(code).ok_or_else(wrong);
        }
        let mut code = || {
            let mut code = 0;
            for _ in 0..digits {
                let digit = self.letters.next().and_then(|digit| digit.to_digit(16));
                code = code << 4 | digit?;
            }
            Some(code)
        };
        let first = code().ok_or_else(wrong)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(wrong);
        }
        // Half of a pair as UTF-16 has it.
        if !self.eat_all("\\u") {
            return Err(wrong());
        }
        let second = self.hexadecimal_code(4).ok_or_else(wrong)?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(wrong());
        }
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        char::from_u32(code).ok_or_else(wrong)
    }

    fn hexadecimal_code(&mut self, digits: usize) -> Option<u32> {
        let mut code = 0;
        for _ in 0..digits {
            code = code << 4 | self.letters.next()?.to_digit(16)?;
        }
        Some(code)
    }

    /// `\p{…}`, as the crate `regex` knows it.
    fn property(&mut self, letter: char) -> Result<ClassUnicode, String> {
        let mut name = String::new();
        if self.eat('{') {
            loop {
                match self.letters.next() {
                    Some('}') => break,
                    Some(letter) if name.len() < 64 => name.push(letter),
                    _ => return Err(format!("\\{letter} does not end")),
                }
            }
        } else {
            name.extend(self.letters.next());
        }
        let source = format!("\\{letter}{{{name}}}");
        let parsed = regex_syntax::Parser::new().parse(&source);
        match parsed.map(regex_syntax::hir::Hir::into_kind) {
            Ok(HirKind::Class(Class::Unicode(class))) => Ok(class),
            _ => Err(format!("\\{letter}{{{name}}} is not known")),
        }
    }

    /// A class behind its `[`.
    fn bracket(&mut self) -> Result<ClassUnicode, String> {
        let negative = self.eat('^');
        let mut all = class([]);
        let open = || "a class is not closed".to_owned();
        loop {
            let Some(letter) = self.letters.next() else {
                return Err(open());
            };
            if letter == ']' {
                break;
            }
            let first = self.class_part(letter)?;
            let mut ahead = self.letters.clone();
            let ranged = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
            if let Some(low) = single(&first)
                && ranged
            {
                self.letters.next();
                let next = self.letters.next().ok_or_else(open)?;
                let second = self.class_part(next)?;
                match single(&second) {
                    Some(high) if low > high => {
                        return Err(format!("the range {low}-{high} is in the wrong order"));
                    }
                    Some(high) => all.union(&class([(low, high)])),
                    // The - is one itself.
                    None => {
                        all.union(&first);
                        all.union(&class([('-', '-')]));
                        all.union(&second);
                    }
                }
            } else {
                all.union(&first);
            }
        }
        let all = self.folded(all);
        Ok(if negative { negated(&all) } else { all })
    }

    fn class_part(&mut self, letter: char) -> Result<ClassUnicode, String> {
        match letter {
            '\\' if self.eat('b') => Ok(class([('\u{8}', '\u{8}')])),
            '\\' => self.escaped_class(),
            letter => Ok(class([(letter, letter)])),
        }
    }
}

fn class(ranges: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    let range = |(start, end)| ClassUnicodeRange::new(start, end);
    ClassUnicode::new(ranges.into_iter().map(range))
}

fn negated(class: &ClassUnicode) -> ClassUnicode {
    let mut class = class.clone();
    class.negate();
    class
}

fn single(class: &ClassUnicode) -> Option<char> {
    match class.ranges() {
        [range] if range.start() == range.end() => Some(range.start()),
        _ => None,
    }
}

fn digits() -> ClassUnicode {
    class([('0', '9')])
}

fn words() -> ClassUnicode {
    class([('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')])
}

/// `WhiteSpace` and `LineTerminator` of ECMA-262.
fn spaces() -> ClassUnicode {
    class([
        ('\t', '\r'),
        (' ', ' '),
        ('\u{a0}', '\u{a0}'),
        ('\u{1680}', '\u{1680}'),
        ('\u{2000}', '\u{200a}'),
        ('\u{2028}', '\u{2029}'),
        ('\u{202f}', '\u{202f}'),
        ('\u{205f}', '\u{205f}'),
        ('\u{3000}', '\u{3000}'),
        ('\u{feff}', '\u{feff}'),
    ])
}
