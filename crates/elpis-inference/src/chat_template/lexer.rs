//! Splits the inside of a Jinja tag into tokens, by the rules of Jinja2's lexer.

use std::ops::Range;

/// One token of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A string literal, decoded.
    Text(String),
    /// An integer literal as decimal digits.
    Int(String),
    /// A floating-point literal.
    Float(f64),
    /// An operator or a delimiter.
    Op(&'static str),
}

/// A token with its position in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned {
    pub token: Token,
    /// Byte range in the source.
    pub span: Range<usize>,
}

/// Why a tag cannot be tokenised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LexError {
    /// Byte offset in the source.
    pub at: usize,
    pub message: String,
}

/// The operators, longest first, in the order in which Jinja2 tries them.
const OPERATORS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";", "@",
];

/// Splits a tag from the byte `start` on, up to its end delimiter (`%}` or `}}`), and returns the
/// tokens with the range of the delimiter, whitespace control included.
pub(super) fn tag(
    source: &str,
    start: usize,
    end: &str,
) -> Result<(Vec<Spanned>, Range<usize>), LexError> {
    let mut tokens = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut at = start;
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            return Err(error(start, "the tag has no end"));
        };
        if open.is_empty()
            && let Some(length) = end_delimiter(rest, end)
        {
            return Ok((tokens, at..at + length));
        }
        if is_space(first) {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = match first {
            '"' | '\'' => text(source, at, first)?,
            '0'..='9' => number(source, at),
            _ if is_name_start(first) => {
                let length = rest
                    .find(|letter: char| !is_name_part(letter))
                    .unwrap_or(rest.len());
                (Token::Name(rest[..length].to_owned()), length)
            }
            _ => {
                let Some(operator) = OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
                    return Err(error(at, format!("unexpected character {first:?}")));
                };
                balance(&mut open, operator, at)?;
                (Token::Op(operator), operator.len())
            }
        };
        tokens.push(Spanned {
            token,
            span: at..at + length,
        });
        at += length;
    }
}

fn error(at: usize, message: impl Into<String>) -> LexError {
    LexError {
        at,
        message: message.into(),
    }
}

/// Returns the length of an end delimiter with its whitespace control at the start of `rest`.
fn end_delimiter(rest: &str, end: &str) -> Option<usize> {
    let controlled = rest.strip_prefix(['-', '+']);
    match controlled {
        Some(after) if after.starts_with(end) => Some(1 + end.len()),
        _ if rest.starts_with(end) => Some(end.len()),
        _ => None,
    }
}

fn balance<'a>(open: &mut Vec<&'a str>, operator: &'a str, at: usize) -> Result<(), LexError> {
    let opening = match operator {
        "(" | "[" | "{" => {
            open.push(operator);
            return Ok(());
        }
        ")" => "(",
        "]" => "[",
        "}" => "{",
        _ => return Ok(()),
    };
    if open.pop() == Some(opening) {
        Ok(())
    } else {
        Err(error(at, format!("unexpected {operator:?}")))
    }
}

/// White space as defined by Python's `str.isspace`.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter)
}

fn is_name_start(letter: char) -> bool {
    letter == '_' || letter.is_alphabetic()
}

fn is_name_part(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn number(source: &str, at: usize) -> (Token, usize) {
    let rest = &source[at..];
    let bytes = rest.as_bytes();
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        let digits = rest.get(2..).unwrap_or_default();
        let length = digits
            .find(|letter: char| !letter.is_digit(radix) && letter != '_')
            .unwrap_or(digits.len());
        let written = rest.get(..2).unwrap_or_default().to_ascii_lowercase();
        if written == prefix && length > 0 {
            let digits = digits[..length].replace('_', "");
            if let Ok(value) = i128::from_str_radix(&digits, radix) {
                return (Token::Int(value.to_string()), 2 + length);
            }
        }
    }
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'_')
            .count()
    };
    let whole = digits(0);
    let mut end = whole;
    let mut float = false;
    // `1.foo` and `1..2` are not floats.
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        float = true;
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            float = true;
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    let written = rest[..end].replace('_', "");
    let token = if float {
        Token::Float(written.parse().unwrap_or(f64::NAN))
    } else {
        let digits = written.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        Token::Int(digits.to_owned())
    };
    (token, end)
}

/// Reads a string literal with Python's escapes.
fn text(source: &str, at: usize, quote: char) -> Result<(Token, usize), LexError> {
    let mut out = String::new();
    let body = &source[at + 1..];
    let mut letters = body.char_indices();
    while let Some((offset, letter)) = letters.next() {
        if letter == quote {
            return Ok((Token::Text(out), offset + 2));
        }
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let Some((_, escaped)) = letters.next() else {
            break;
        };
        let mut digits = |most: usize, radix: u32, first: u32| {
            let mut value = first;
            for _ in 0..most {
                let next = letters.clone().next().and_then(|(_, c)| c.to_digit(radix));
                let Some(digit) = next else { break };
                letters.next();
                value = value * radix + digit;
            }
            value
        };
        let code = match escaped {
            '\n' => continue,
            '\\' | '\'' | '"' => {
                out.push(escaped);
                continue;
            }
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            '0'..='7' => digits(2, 8, escaped.to_digit(8).unwrap_or_default()),
            'x' => digits(2, 16, 0),
            'u' => {
                let high = digits(4, 16, 0);
                // A pair of surrogates is one character.
                if (0xD800..0xDC00).contains(&high)
                    && letters.as_str().starts_with("\\u")
                    && let Some(low) = letters.as_str().get(2..6)
                    && let Ok(low @ 0xDC00..=0xDFFF) = u32::from_str_radix(low, 16)
                {
                    letters.nth(5);
                    0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                } else {
                    high
                }
            }
            'U' => digits(8, 16, 0),
            _ => {
                out.push('\\');
                out.push(escaped);
                continue;
            }
        };
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Err(error(at, "a string literal has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(code: &str) -> Vec<Token> {
        let source = format!("{code}}}}}");
        let (tokens, end) = tag(&source, 0, "}}").expect(code);
        assert_eq!(end.end, source.len(), "{code}");
        tokens.into_iter().map(|spanned| spanned.token).collect()
    }

    #[test]
    fn literals_are_read_as_python_reads_them() {
        let text = |code: &str| match &tokens(code)[..] {
            [Token::Text(text)] => text.clone(),
            other => panic!("{code}: {other:?}"),
        };
        assert_eq!(text(r"'a\n\t\'b\\'"), "a\n\t'b\\");
        assert_eq!(text(r#""\x41\u00e9\101\q""#), "Aé\u{41}\\q");
        assert_eq!(text(r"'\ud83e\udd80'"), "🦀");
        assert_eq!(text("'two\nlines'"), "two\nlines");
        assert_eq!(tokens("1_000"), [Token::Int("1000".into())]);
        assert_eq!(tokens("0x1F"), [Token::Int("31".into())]);
        assert_eq!(tokens("007"), [Token::Int("7".into())]);
        assert_eq!(tokens("1.5e-05"), [Token::Float(1.5e-5)]);
        assert_eq!(tokens("1e3"), [Token::Float(1000.0)]);
        let attribute = [
            Token::Int("1".into()),
            Token::Op("."),
            Token::Name("x".into()),
        ];
        assert_eq!(tokens("1.x"), attribute);
    }

    #[test]
    fn a_delimiter_inside_braces_or_a_literal_ends_nothing() {
        assert_eq!(tokens("{'a': {'b': '}}'}}").len(), 9);
        let (found, end) = tag("x -}} y", 0, "}}").expect("ends");
        assert_eq!((found.len(), end), (1, 2..5));
        for broken in ["'open }}", "(x }}", "x", ") }}", "[x) }}", "§ }}"] {
            assert!(tag(broken, 0, "}}").is_err(), "{broken}");
        }
    }
}
