//! Tokenises prompts so that control tokens only come from the template.

use super::{BackendError, ControlToken, Token, Tokenizer};
use elpis_inference::{MarkedText, PromptText};

/// Tokenises a prompt.
///
/// A prompt whose contents include no control token is tokenised as a whole. Otherwise, the text
/// between the template's control tokens is tokenised as plain text.
///
/// # Errors
/// Those of [`Tokenizer::encode`], and [`BackendError::ForeignControlToken`] if the tokenizer finds
/// a control token that the text does not contain, which a tokenizer that normalises texts may.
pub fn prompt_tokens(
    tokenizer: &dyn Tokenizer,
    prompt: &PromptText,
) -> Result<Vec<Token>, BackendError> {
    let whole = tokenizer.encode(&prompt.text, true)?;
    let Some(marked) = &prompt.marked else {
        return Ok(whole);
    };
    let written = tokenizer.encode_part(&marked.text, true, true)?;
    let written: Vec<_> = controls(tokenizer, &written).collect();
    // The tokenizer may add a beginning-of-sequence token.
    let begun = tokenizer.encode("", true)?;
    let begin = begun.first().copied().filter(|begin| {
        whole.first() == Some(begin) && written.first().map(|token| token.token) != Some(*begin)
    });
    let found = controls(tokenizer, &whole).map(|token| token.token);
    let expected = written.iter().map(|token| token.token);
    if found.eq(begin.into_iter().chain(expected)) {
        return Ok(whole);
    }
    by_parts(tokenizer, marked, begin, &written)
}

/// Tokenises the text between control tokens as plain text; a step of [`prompt_tokens`].
#[doc(hidden)]
pub fn by_parts(
    tokenizer: &dyn Tokenizer,
    marked: &MarkedText,
    begin: Option<Token>,
    written: &[&ControlToken],
) -> Result<Vec<Token>, BackendError> {
    let mut tokens: Vec<Token> = begin.into_iter().collect();
    let mut parts = Parts {
        tokenizer,
        marked,
        rest: &marked.text,
        strips: false,
        first: true,
    };
    for token in written {
        parts.up_to(token, &mut tokens)?;
        tokens.push(token.token);
    }
    parts.text(parts.rest, false, &mut tokens)?;
    Ok(tokens)
}

/// The control tokens among these.
/// The control tokens among tokens.
#[doc(hidden)]
pub fn controls<'a>(
    tokenizer: &'a dyn Tokenizer,
    tokens: &'a [Token],
) -> impl Iterator<Item = &'a ControlToken> {
    let known = tokenizer.control_tokens();
    tokens.iter().filter_map(|token| {
        let index = known.binary_search_by_key(token, |control| control.token);
        index.ok().map(|index| &known[index])
    })
}

/// A marked text, split at its control tokens.
struct Parts<'a> {
    tokenizer: &'a dyn Tokenizer,
    marked: &'a MarkedText,
    rest: &'a str,
    /// Whether the previous control token strips the white space after it.
    strips: bool,
    first: bool,
}

impl<'a> Parts<'a> {
    /// Tokenises the text before the next occurrence of a control token.
    fn up_to(&mut self, token: &ControlToken, out: &mut Vec<Token>) -> Result<(), BackendError> {
        let rest: &'a str = self.rest;
        let Some((before, after)) = rest.split_once(token.text.as_str()) else {
            // The tokenizer found it in a text that it had normalised.
            return Err(BackendError::ForeignControlToken {
                token: token.text.clone(),
            });
        };
        self.text(before, token.strips_left, out)?;
        self.rest = after;
        self.strips = token.strips_right;
        self.first = false;
        Ok(())
    }

    fn text(&self, part: &str, strips: bool, out: &mut Vec<Token>) -> Result<(), BackendError> {
        let mut part = self.marked.unmarked(part);
        if strips {
            part.truncate(part.trim_end().len());
        }
        let part = if self.strips {
            part.trim_start()
        } else {
            &part
        };
        if !part.is_empty() {
            out.extend(self.tokenizer.encode_part(part, false, self.first)?);
        }
        Ok(())
    }
}
