//! Character classes and escapes of single characters.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::Parser;

pub(super) fn class(ranges: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    let range = |(start, end)| ClassUnicodeRange::new(start, end);
    ClassUnicode::new(ranges.into_iter().map(range))
}

pub(super) fn negated(class: &ClassUnicode) -> ClassUnicode {
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

impl Parser<'_> {
    /// Parses an escape of a character or a class, after its `\`.
    pub(super) fn escaped_class(&mut self) -> Result<ClassUnicode, String> {
        let Some(letter) = self.letters.next() else {
            return Err("the pattern ends with a \\".to_owned());
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
                _ => return Err("\\c must be followed by a letter".to_owned()),
            },
            'x' => one(self.hexadecimal(2, 'x')?),
            'u' => one(self.hexadecimal(4, 'u')?),
            'U' => one(self.hexadecimal(8, 'U')?),
            'p' | 'P' => self.property(letter)?,
            letter if !letter.is_ascii_alphanumeric() => one(letter),
            letter => return Err(format!("unknown escape \\{letter}")),
        })
    }

    fn hexadecimal(&mut self, digits: usize, letter: char) -> Result<char, String> {
        let wrong = || format!("\\{letter} does not name a character");
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
        let first = self.hexadecimal_code(digits).ok_or_else(wrong)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(wrong);
        }
        // The first half of a surrogate pair.
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

    /// Parses `\p{…}`. The names are those of the crate `regex`.
    fn property(&mut self, letter: char) -> Result<ClassUnicode, String> {
        let mut name = String::new();
        if self.eat('{') {
            loop {
                match self.letters.next() {
                    Some('}') => break,
                    Some(letter) if name.len() < 64 => name.push(letter),
                    _ => return Err(format!("\\{letter}{{ is not closed")),
                }
            }
        } else {
            name.extend(self.letters.next());
        }
        let source = format!("\\{letter}{{{name}}}");
        let parsed = regex_syntax::Parser::new().parse(&source);
        match parsed.map(regex_syntax::hir::Hir::into_kind) {
            Ok(HirKind::Class(Class::Unicode(class))) => Ok(class),
            _ => Err(format!("unknown property \\{letter}{{{name}}}")),
        }
    }

    /// Parses a class after its `[`.
    pub(super) fn bracket(&mut self) -> Result<ClassUnicode, String> {
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
                    // This `-` is a character of the class.
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
