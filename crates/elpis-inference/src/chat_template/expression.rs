//! Translates Jinja2's expressions for minijinja.
//!
//! Code with the same meaning in Python and minijinja is unchanged. Operators, methods and look-ups
//! that differ, or that could walk a large value, become calls of the functions in `operators`.

mod cursor;
mod names;
mod postfix;

pub(super) use names::{DICT_CHANGES, DICT_METHODS};

use super::lexer::{LexError, Spanned, Token};

/// Prefix of the functions that rewritten code calls. A template may not use it.
pub(super) const PREFIX: &str = "__py_";

/// Maximum nesting of expressions.
const MAX_DEPTH: usize = 48;

type Result<T> = std::result::Result<T, LexError>;

/// Rewritten code.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub text: String,
    /// Whether it is a number, a text, a boolean or none, which stay small in any combination.
    pub literal: bool,
}

impl Code {
    fn other(text: String) -> Self {
        Self {
            text,
            literal: false,
        }
    }

    fn literal(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            literal: true,
        }
    }
}

/// A parser over the tokens of one tag.
pub(super) struct Parser<'a> {
    source: &'a str,
    tokens: &'a [Spanned],
    at: usize,
    depth: usize,
    /// Byte offset at which the tag ends.
    end: usize,
}

impl<'a> Parser<'a> {
    pub fn new(source: &'a str, tokens: &'a [Spanned], end: usize) -> Self {
        Self {
            source,
            tokens,
            at: 0,
            depth: 0,
            end,
        }
    }

    /// Another parser at the same position.
    pub fn clone_at(&self) -> Self {
        Self {
            source: self.source,
            tokens: self.tokens,
            at: self.at,
            depth: self.depth,
            end: self.end,
        }
    }

    /// A call of a macro, as in a `call` tag.
    pub fn called(&mut self) -> Result<String> {
        let mut name = self.name()?.to_owned();
        while self.take_op(".") {
            name = format!("{name}.{}", self.name()?);
        }
        self.expect_op("(")?;
        Ok(format!("{name}({})", join(&self.arguments()?)))
    }

    /// A list of expressions that may be a tuple without parentheses.
    pub fn tuple(&mut self) -> Result<Code> {
        self.tuple_of(Self::expression)
    }

    /// As [`tuple`](Self::tuple), without `a if b else c`: the iterable of a loop.
    pub fn iterable(&mut self) -> Result<Code> {
        self.tuple_of(Self::or)
    }

    fn tuple_of(&mut self, item: fn(&mut Self) -> Result<Code>) -> Result<Code> {
        let first = item(self)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take_op(",") {
            if self.done() || self.ends_tuple() {
                break;
            }
            items.push(item(self)?);
        }
        Ok(Self::tuple_literal(&items))
    }

    fn ends_tuple(&self) -> bool {
        [")", "]", "}"].iter().any(|close| self.is_op(close)) || self.is_name("recursive")
    }

    fn tuple_literal(items: &[Code]) -> Code {
        let text = match items {
            [] => "()".to_owned(),
            [one] => format!("({},)", one.text),
            more => format!("({})", join(more)),
        };
        Self::container(text, items)
    }

    /// A container literal. If it contains more than literals, it is checked when it is created.
    fn container(text: String, items: &[Code]) -> Code {
        if items.iter().all(|item| item.literal) {
            return Code::other(text);
        }
        Code::other(format!("{PREFIX}new({text})"))
    }

    /// `a if b else c`.
    pub fn expression(&mut self) -> Result<Code> {
        self.nested(|parser| {
            let mut first = parser.or()?;
            while parser.take_name("if") {
                let test = parser.or()?;
                let otherwise = if parser.take_name("else") {
                    format!(" else {}", parser.expression()?.text)
                } else {
                    String::new()
                };
                first = Code::other(format!("({} if {}{otherwise})", first.text, test.text));
            }
            Ok(first)
        })
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("the expression is nested too deeply"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<Code> {
        self.logical("or", |parser| parser.logical("and", Self::not))
    }

    fn logical(&mut self, word: &str, operand: fn(&mut Self) -> Result<Code>) -> Result<Code> {
        let first = operand(self)?;
        if !self.is_name(word) {
            return Ok(first);
        }
        let mut text = format!("({}", first.text);
        while self.take_name(word) {
            text = format!("{text} {word} {}", operand(self)?.text);
        }
        Ok(Code::other(format!("{text})")))
    }

    fn not(&mut self) -> Result<Code> {
        if self.take_name("not") {
            let inner = self.nested(Self::not)?;
            return Ok(Code::other(format!("(not {})", inner.text)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Code> {
        let mut left = self.sum()?;
        let mut parts = Vec::new();
        while let Some((operator, function)) = self.comparator() {
            let right = self.sum()?;
            let native = left.literal || right.literal;
            let compared = if native {
                format!("({} {operator} {})", left.text, right.text)
            } else if operator == "not in" {
                format!("(not {PREFIX}in({}, {}))", left.text, right.text)
            } else {
                format!("{PREFIX}{function}({}, {})", left.text, right.text)
            };
            parts.push(compared);
            left = right;
        }
        Ok(match &parts[..] {
            [] => left,
            [one] => Code::other(one.clone()),
            more => Code::other(format!("({})", more.join(" and "))),
        })
    }

    fn comparator(&mut self) -> Option<(&'static str, &'static str)> {
        let signs = [
            ("==", "eq"),
            ("!=", "ne"),
            ("<", "lt"),
            ("<=", "le"),
            (">", "gt"),
            (">=", "ge"),
        ];
        if let Some(found) = signs.into_iter().find(|(sign, _)| self.is_op(sign)) {
            self.at += 1;
            return Some(found);
        }
        if self.take_name("in") {
            return Some(("in", "in"));
        }
        let next = self.tokens.get(self.at + 1).map(|next| &next.token);
        if self.is_name("not") && matches!(next, Some(Token::Name(name)) if name == "in") {
            self.at += 2;
            return Some(("not in", "in"));
        }
        None
    }

    fn sum(&mut self) -> Result<Code> {
        self.chain("sum", &["+", "-"], Self::concatenation)
    }

    fn concatenation(&mut self) -> Result<Code> {
        self.chain("concat", &["~"], Self::product)
    }

    fn product(&mut self) -> Result<Code> {
        self.chain("product", &["*", "//", "/", "%"], Self::power)
    }

    fn power(&mut self) -> Result<Code> {
        self.chain("power", &["**"], |parser| parser.unary(true))
    }

    /// Operators of one precedence, from left to right, as one call. Its first argument lists the
    /// operators between the others.
    fn chain(
        &mut self,
        function: &str,
        operators: &[&'static str],
        operand: fn(&mut Self) -> Result<Code>,
    ) -> Result<Code> {
        let first = operand(self)?;
        let mut signs = Vec::new();
        let mut operands = vec![first];
        while let Some(sign) = operators.iter().find(|sign| self.is_op(sign)) {
            self.at += 1;
            signs.push(*sign);
            operands.push(operand(self)?);
        }
        if signs.is_empty() {
            return Ok(operands.swap_remove(0));
        }
        Ok(Code::other(format!(
            "{PREFIX}{function}(\"{}\", {})",
            signs.join(" "),
            join(&operands)
        )))
    }

    fn unary(&mut self, with_filters: bool) -> Result<Code> {
        self.nested(|parser| {
            let code = if parser.take_op("-") {
                let inner = parser.unary(false)?;
                Code {
                    text: format!("(-{})", inner.text),
                    literal: inner.literal,
                }
            } else if parser.take_op("+") {
                Code::other(format!("{PREFIX}positive({})", parser.unary(false)?.text))
            } else {
                parser.primary()?
            };
            let code = parser.postfix(code)?;
            if with_filters {
                parser.filters_and_tests(code)
            } else {
                Ok(code)
            }
        })
    }

    fn primary(&mut self) -> Result<Code> {
        let Some(token) = self.peek() else {
            return Err(self.error("unexpected end of the tag"));
        };
        self.at += 1;
        match token {
            Token::Name(name) => Ok(match name.as_str() {
                "true" | "True" => Code::literal("true"),
                "false" | "False" => Code::literal("false"),
                "none" | "None" => Code::literal("none"),
                _ => Code::other(name.clone()),
            }),
            Token::Text(text) => {
                let mut text = text.clone();
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Code::literal(quoted(&text)))
            }
            Token::Int(digits) => Ok(Code::literal(digits.clone())),
            Token::Float(number) => Ok(Code::literal(format!("{number:?}"))),
            Token::Op("(") => self.parenthesised(),
            Token::Op("[") => {
                let items = self.items("]", Self::expression)?;
                Ok(Self::container(format!("[{}]", join(&items)), &items))
            }
            Token::Op("{") => self.mapping(),
            Token::Op(_) => {
                self.at -= 1;
                Err(self.error("expected an expression"))
            }
        }
    }

    fn parenthesised(&mut self) -> Result<Code> {
        if self.take_op(")") {
            return Ok(Code::other("()".to_owned()));
        }
        let inner = self.tuple()?;
        self.expect_op(")")?;
        Ok(Code {
            text: format!("({})", inner.text),
            literal: inner.literal,
        })
    }

    fn items(
        &mut self,
        close: &str,
        item: impl Fn(&mut Self) -> Result<Code>,
    ) -> Result<Vec<Code>> {
        let mut items = Vec::new();
        while !self.take_op(close) {
            items.push(item(self)?);
            if !self.take_op(",") {
                self.expect_op(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn mapping(&mut self) -> Result<Code> {
        let pairs = self.items("}", |parser| {
            let key = parser.expression()?;
            parser.expect_op(":")?;
            let value = parser.expression()?;
            let key_text = if key.literal {
                key.text
            } else {
                format!("{PREFIX}key({})", key.text)
            };
            Ok(Code {
                text: format!("{key_text}: {}", value.text),
                literal: key.literal && value.literal,
            })
        })?;
        Ok(Self::container(format!("{{{}}}", join(&pairs)), &pairs))
    }
}

fn join(codes: &[Code]) -> String {
    let texts: Vec<&str> = codes.iter().map(|code| code.text.as_str()).collect();
    texts.join(", ")
}

/// Writes a string literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // An additional source line would shift the line numbers of errors.
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
