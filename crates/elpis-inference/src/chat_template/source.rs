//! Rewrites the source of a Jinja2 template for minijinja, tag by tag.
//!
//! Text, comments and white-space control are unchanged, and so are the lines on which tags begin.
//! See [`expression`](super::expression) for the translation of code.

use std::ops::Range;

use super::expression::{PREFIX, Parser};
use super::lexer::{self, LexError};

/// Maximum length of the code in one tag, in tokens.
const MAX_TAG_TOKENS: usize = 1024;
/// Maximum number of `elif` tags in a template. The engine recurses once for each.
const MAX_ELIFS: usize = 256;

/// Why a source was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceError {
    /// The line, from 1.
    pub line: usize,
    pub message: String,
}

/// Rewrites a template.
pub(super) fn rewrite(source: &str) -> Result<String, SourceError> {
    // As Jinja2 does before anything else.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let failed = |error: LexError| SourceError {
        line: source[..error.at.min(source.len())].matches('\n').count() + 1,
        message: error.message,
    };
    let mut writer = Writer {
        source: &source,
        out: String::with_capacity(source.len() * 2),
        elifs: 0,
    };
    writer.template().map_err(failed)?;
    Ok(writer.out)
}

struct Writer<'a> {
    source: &'a str,
    out: String,
    elifs: usize,
}

impl Writer<'_> {
    fn template(&mut self) -> Result<(), LexError> {
        let source = self.source;
        let mut at = 0;
        while let Some(found) = source[at..].find('{') {
            let open = at + found;
            self.out.push_str(&source[at..open]);
            at = match source.as_bytes().get(open + 1) {
                Some(b'#') => self.comment(open)?,
                Some(b'{') => self.print(open)?,
                Some(b'%') => self.block(open)?,
                _ => {
                    self.out.push('{');
                    open + 1
                }
            };
        }
        self.out.push_str(&source[at..]);
        Ok(())
    }

    fn comment(&mut self, open: usize) -> Result<usize, LexError> {
        let Some(length) = self.source[open..].find("#}") else {
            return Err(error(open, "the comment has no end"));
        };
        let end = open + length + 2;
        self.out.push_str(&self.source[open..end]);
        Ok(end)
    }

    fn print(&mut self, open: usize) -> Result<usize, LexError> {
        let start = self.open_tag(open);
        let (tokens, end) = self.tokens(start, "}}")?;
        let mut parser = Parser::new(self.source, &tokens, end.start);
        let code = parser.tuple()?;
        parser.expect_end()?;
        self.close_tag(open, &code.text, end.clone());
        Ok(end.end)
    }

    /// Copies an opening delimiter with its white-space control.
    fn open_tag(&mut self, open: usize) -> usize {
        let controlled = self.source[open + 2..].starts_with(['-', '+']);
        let start = open + 2 + usize::from(controlled);
        self.out.push_str(&self.source[open..start]);
        start
    }

    fn tokens(
        &self,
        start: usize,
        end: &str,
    ) -> Result<(Vec<lexer::Spanned>, Range<usize>), LexError> {
        let (tokens, end) = lexer::tag(self.source, start, end)?;
        if tokens.len() > MAX_TAG_TOKENS {
            let message = format!(
                "a tag of {} tokens, at most {MAX_TAG_TOKENS} are allowed",
                tokens.len()
            );
            return Err(error(start, message));
        }
        let reserved = |token: &lexer::Spanned| match &token.token {
            lexer::Token::Name(name) => name.starts_with(PREFIX),
            _ => false,
        };
        if let Some(token) = tokens.iter().find(|token| reserved(token)) {
            return Err(error(token.span.start, "the name is reserved"));
        }
        Ok((tokens, end))
    }

    fn close_tag(&mut self, open: usize, code: &str, end: Range<usize>) {
        self.out.push(' ');
        self.out.push_str(code);
        let lines = self.source[open..end.start].matches('\n').count();
        let written = code.matches('\n').count();
        for _ in written..lines {
            self.out.push('\n');
        }
        self.out.push(' ');
        self.out.push_str(&self.source[end]);
    }

    fn block(&mut self, open: usize) -> Result<usize, LexError> {
        if let Some(end) = self.raw(open) {
            return Ok(end);
        }
        let start = self.open_tag(open);
        let (tokens, end) = self.tokens(start, "%}")?;
        let mut parser = Parser::new(self.source, &tokens, end.start);
        let keyword = parser.name()?;
        let code = self.statement(keyword, &mut parser)?;
        parser.expect_end()?;
        self.close_tag(open, &code, end.clone());
        Ok(end.end)
    }

    /// Copies a raw block, up to its end tag.
    fn raw(&mut self, open: usize) -> Option<usize> {
        let rest = &self.source[open..];
        let inside = rest[2..].strip_prefix(['-', '+']).unwrap_or(&rest[2..]);
        let name = inside.trim_start().strip_prefix("raw")?;
        let name = name.trim_start();
        if !(name.starts_with("%}") || name.starts_with("-%}") || name.starts_with("+%}")) {
            return None;
        }
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%") {
            let tag = from + found;
            let inside = rest[tag + 2..].trim_start_matches(['-', '+']).trim_start();
            if let Some(after) = inside.strip_prefix("endraw")
                && let Some(length) = after.find("%}")
            {
                let end = rest.len() - after.len() + length + 2;
                self.out.push_str(&rest[..end]);
                return Some(open + end);
            }
            from = tag + 2;
        }
        None
    }

    fn statement(&mut self, keyword: &str, parser: &mut Parser<'_>) -> Result<String, LexError> {
        Ok(match keyword {
            "if" => format!("if {}", parser.tuple()?.text),
            "elif" => {
                self.elifs += 1;
                if self.elifs > MAX_ELIFS {
                    let message = format!("more than {MAX_ELIFS} elif tags");
                    return Err(parser.error(message));
                }
                format!("elif {}", parser.tuple()?.text)
            }
            "for" => looping(parser)?,
            "set" => assignment(parser)?,
            "with" => scope(parser)?,
            "macro" => {
                let name = parser.name()?;
                parser.expect_op("(")?;
                format!("macro {name}({})", parameters(parser)?)
            }
            "call" => {
                let own = if parser.take_op("(") {
                    format!("({})", parameters(parser)?)
                } else {
                    String::new()
                };
                format!("call{own} {}", parser.called()?)
            }
            "filter" => format!("filter {}", filters(parser)?),
            "autoescape" => format!("autoescape {}", parser.expression()?.text),
            // They mark the assistant's tokens for training. Rendering only needs a separate scope.
            "generation" => "with".to_owned(),
            "endgeneration" => "endwith".to_owned(),
            // Without inheritance a block is its contents.
            "block" => {
                parser.name()?;
                let _ = parser.take_name("scoped");
                let _ = parser.take_name("required");
                "with".to_owned()
            }
            "endblock" => {
                if !parser.done() {
                    parser.name()?;
                }
                "endwith".to_owned()
            }
            "endmacro" | "endcall" => {
                if !parser.done() {
                    parser.name()?;
                }
                keyword.to_owned()
            }
            "else" | "endif" | "endfor" | "endset" | "endwith" | "endfilter" | "endautoescape"
            | "break" | "continue" => keyword.to_owned(),
            _ => {
                return Err(parser.error(format!("unknown tag {keyword:?}")));
            }
        })
    }
}

fn error(at: usize, message: impl Into<String>) -> LexError {
    LexError {
        at,
        message: message.into(),
    }
}

fn looping(parser: &mut Parser<'_>) -> Result<String, LexError> {
    let target = parser.verbatim("in")?;
    parser.take_name("in");
    let mut text = format!("for {target} in {}", parser.iterable()?.text);
    if parser.take_name("if") {
        text = format!("{text} if {}", parser.expression()?.text);
    }
    if parser.take_name("recursive") {
        text.push_str(" recursive");
    }
    Ok(text)
}

fn assignment(parser: &mut Parser<'_>) -> Result<String, LexError> {
    let Ok(target) = parser.clone_at().verbatim("=") else {
        // A block whose text is stored.
        let name = parser.name()?;
        let mut text = format!("set {name}");
        if parser.take_op("|") {
            text = format!("{text} | {}", filters(parser)?);
        }
        return Ok(text);
    };
    parser.verbatim("=")?;
    parser.take_op("=");
    let value = parser.tuple()?;
    if value.literal {
        return Ok(format!("set {target} = {}", value.text));
    }
    // A namespace persists, and could come to contain itself.
    let function = if target.contains('.') {
        "stored"
    } else {
        "kept"
    };
    Ok(format!("set {target} = {PREFIX}{function}({})", value.text))
}

fn scope(parser: &mut Parser<'_>) -> Result<String, LexError> {
    let mut pairs = Vec::new();
    while !parser.done() {
        if !pairs.is_empty() {
            parser.expect_op(",")?;
        }
        let target = parser.verbatim("=")?;
        parser.take_op("=");
        let value = parser.expression()?;
        pairs.push(format!("{target} = {PREFIX}kept({})", value.text));
    }
    Ok(format!("with {}", pairs.join(", ")))
}

fn parameters(parser: &mut Parser<'_>) -> Result<String, LexError> {
    let mut all = Vec::new();
    while !parser.take_op(")") {
        if !all.is_empty() {
            parser.expect_op(",")?;
            if parser.take_op(")") {
                break;
            }
        }
        let name = parser.name()?;
        all.push(if parser.take_op("=") {
            format!("{name}={}", parser.expression()?.text)
        } else {
            name.to_owned()
        });
    }
    Ok(all.join(", "))
}

fn filters(parser: &mut Parser<'_>) -> Result<String, LexError> {
    let mut all = Vec::new();
    loop {
        let (name, arguments) = parser.filter()?;
        let arguments: Vec<_> = arguments.into_iter().map(|code| code.text).collect();
        all.push(if arguments.is_empty() {
            name.to_owned()
        } else {
            format!("{name}({})", arguments.join(", "))
        });
        if !parser.take_op("|") {
            return Ok(all.join(" | "));
        }
    }
}
