//! Moves over the tokens of a tag.

use super::{Parser, Result};
use crate::chat_template::lexer::{LexError, Token};

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|spanned| &spanned.token)
    }

    pub(super) fn place(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.end, |spanned| spanned.span.start)
    }

    pub fn error(&self, message: impl Into<String>) -> LexError {
        LexError {
            at: self.place(),
            message: message.into(),
        }
    }

    pub fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(found)) if *found == operator)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    pub fn take_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    pub fn take_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub fn expect_op(&mut self, operator: &str) -> Result<()> {
        if self.take_op(operator) {
            Ok(())
        } else {
            Err(self.error(format!("expected {operator:?}")))
        }
    }

    /// Takes any name.
    pub fn name(&mut self) -> Result<&'a str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.error("expected a name")),
        }
    }

    pub fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub fn expect_end(&self) -> Result<()> {
        if self.done() {
            Ok(())
        } else {
            Err(self.error("unexpected code before the end of the tag"))
        }
    }

    /// Takes tokens up to the operator or the name at bracket depth 0 and returns their source
    /// text.
    pub fn verbatim(&mut self, stop: &str) -> Result<&'a str> {
        let from = self.place();
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Op("(" | "[") => open += 1,
                Token::Op(")" | "]") => open = open.saturating_sub(1),
                Token::Op(found) if open == 0 && *found == stop => break,
                Token::Name(found) if open == 0 && found == stop => break,
                Token::Name(_) | Token::Op("," | ".") => {}
                _ => return Err(self.error("cannot assign to this")),
            }
            self.at += 1;
        }
        if self.done() || self.place() == from {
            return Err(self.error(format!("expected {stop:?}")));
        }
        Ok(&self.source[from..self.place()])
    }
}
