//! Postfix expressions: attributes, items, calls, filters and tests.

use super::names::{DICT_METHODS, names_method};
use super::{Code, PREFIX, Parser, Result, join};
use crate::chat_template::lexer::Token;

/// Filters that do not look into the items of their input.
const SHALLOW_FILTERS: [&str; 10] = [
    "count", "d", "default", "first", "items", "last", "length", "list", "string", "tojson",
];
/// Filters that only look into items to compare them with further arguments.
const COMPARING_FILTERS: [&str; 4] = ["reject", "rejectattr", "select", "selectattr"];

/// Tests that are operators.
const OPERATOR_TESTS: [(&str, &str); 17] = [
    ("eq", "eq"),
    ("equalto", "eq"),
    ("==", "eq"),
    ("ne", "ne"),
    ("!=", "ne"),
    ("lt", "lt"),
    ("lessthan", "lt"),
    ("<", "lt"),
    ("le", "le"),
    ("<=", "le"),
    ("gt", "gt"),
    ("greaterthan", "gt"),
    (">", "gt"),
    ("ge", "ge"),
    (">=", "ge"),
    ("in", "in"),
    ("sameas", "sameas"),
];

impl<'a> Parser<'a> {
    pub(super) fn postfix(&mut self, mut code: Code) -> Result<Code> {
        loop {
            if self.take_op(".") {
                code = self.attribute(&code)?;
            } else if self.take_op("[") {
                code = self.subscript(&code)?;
            } else if self.take_op("(") {
                let arguments = self.arguments()?;
                code = Code::other(format!("{}({})", code.text, join(&arguments)));
            } else {
                return Ok(code);
            }
        }
    }

    fn attribute(&mut self, of: &Code) -> Result<Code> {
        let of = &of.text;
        if let Some(Token::Int(digits)) = self.peek() {
            self.at += 1;
            return Ok(Code::other(format!("{PREFIX}item({of}, {digits})")));
        }
        let name = self.name()?;
        if self.take_op("(") {
            let arguments = self.arguments()?;
            let comma = if arguments.is_empty() { "" } else { ", " };
            return Ok(Code::other(format!(
                "{PREFIX}call({of}, \"{name}\"{comma}{})",
                join(&arguments)
            )));
        }
        Ok(Code::other(if names_method(name) {
            format!("{PREFIX}attribute({of}, \"{name}\")")
        } else {
            format!("{of}.{name}")
        }))
    }

    fn subscript(&mut self, of: &Code) -> Result<Code> {
        let of = &of.text;
        // The part before the first colon is missing in `[:2]`.
        let mut parts: Vec<Option<Code>> = Vec::new();
        let mut colons = 0;
        loop {
            if self.take_op(":") {
                colons += 1;
                if parts.len() < colons {
                    parts.push(None);
                }
            } else if self.take_op("]") {
                break;
            } else if parts.len() <= colons {
                let part = if colons == 0 {
                    self.tuple()?
                } else {
                    self.expression()?
                };
                parts.push(Some(part));
            } else {
                return Err(self.error("expected \"]\""));
            }
        }
        if colons > 2 {
            return Err(self.error("a slice has at most three parts"));
        }
        if colons > 0 {
            let part = |index: usize| {
                parts
                    .get(index)
                    .and_then(|part| part.as_ref())
                    .map_or("", |code| code.text.as_str())
            };
            let slice = if colons == 1 {
                format!("{of}[{}:{}]", part(0), part(1))
            } else {
                format!("{of}[{}:{}:{}]", part(0), part(1), part(2))
            };
            return Ok(Code::other(slice));
        }
        let Some(Some(index)) = parts.into_iter().next() else {
            return Err(self.error("expected an expression"));
        };
        let text = unquoted(&index.text);
        Ok(Code::other(match text {
            Some(key) if index.literal && !DICT_METHODS.contains(&key) => {
                format!("{of}[{}]", index.text)
            }
            _ => format!("{PREFIX}item({of}, {})", index.text),
        }))
    }

    /// The arguments of a call, after its opening parenthesis.
    pub(super) fn arguments(&mut self) -> Result<Vec<Code>> {
        self.items(")", |parser| {
            for star in ["**", "*"] {
                if parser.take_op(star) {
                    let rest = parser.expression()?;
                    return Ok(Code::other(format!("{star}{}", rest.text)));
                }
            }
            let next = parser.tokens.get(parser.at + 1).map(|next| &next.token);
            if let (Some(Token::Name(name)), Some(Token::Op("="))) = (parser.peek(), next) {
                parser.at += 2;
                let value = parser.expression()?;
                return Ok(Code {
                    text: format!("{name}={}", value.text),
                    literal: value.literal,
                });
            }
            parser.expression()
        })
    }

    pub(super) fn filters_and_tests(&mut self, mut code: Code) -> Result<Code> {
        loop {
            if self.take_op("|") {
                let (name, arguments) = self.filter()?;
                code = Self::filtered(&code, name, &arguments);
            } else if self.take_name("is") {
                code = self.test(&code)?;
            } else if self.take_op("(") {
                let arguments = self.arguments()?;
                code = Code::other(format!("({})({})", code.text, join(&arguments)));
            } else {
                return Ok(code);
            }
        }
    }

    /// A filter's name and arguments, after the bar.
    pub fn filter(&mut self) -> Result<(&'a str, Vec<Code>)> {
        let name = self.name()?;
        let arguments = if self.take_op("(") {
            self.arguments()?
        } else {
            Vec::new()
        };
        Ok((name, arguments))
    }

    fn filtered(code: &Code, name: &str, arguments: &[Code]) -> Code {
        let literal = arguments.iter().all(|argument| argument.literal);
        let shallow = SHALLOW_FILTERS.contains(&name)
            || COMPARING_FILTERS.contains(&name) && literal
            || code.literal;
        let receiver = if shallow {
            code.text.clone()
        } else {
            format!("{PREFIX}weighed({})", code.text)
        };
        Code::other(format!("({receiver}|{})", call(name, arguments)))
    }

    fn test(&mut self, code: &Code) -> Result<Code> {
        let negated = self.take_name("not");
        let name = self.name()?;
        let arguments = if self.take_op("(") {
            self.arguments()?
        } else if self.starts_test_argument() {
            let argument = self.primary()?;
            vec![self.postfix(argument)?]
        } else {
            Vec::new()
        };
        let operator = OPERATOR_TESTS.iter().find(|(test, _)| *test == name);
        let tested = match (operator, &arguments[..]) {
            (Some((_, function)), [other]) => {
                format!("{PREFIX}{function}({}, {})", code.text, other.text)
            }
            _ => format!("({} is {})", code.text, call(name, &arguments)),
        };
        Ok(Code::other(if negated {
            format!("(not {tested})")
        } else {
            tested
        }))
    }

    fn starts_test_argument(&self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => !["else", "or", "and", "is", "if", "in", "not", "recursive"]
                .contains(&name.as_str()),
            Some(Token::Text(_) | Token::Int(_) | Token::Float(_)) => true,
            Some(Token::Op(operator)) => ["[", "{"].contains(operator),
            None => false,
        }
    }
}

fn call(name: &str, arguments: &[Code]) -> String {
    if arguments.is_empty() {
        name.to_owned()
    } else {
        format!("{name}({})", join(arguments))
    }
}

/// Returns the text of a literal that needs no escapes.
fn unquoted(literal: &str) -> Option<&str> {
    literal
        .strip_prefix('"')?
        .strip_suffix('"')
        .filter(|text| !text.contains('\\'))
}
