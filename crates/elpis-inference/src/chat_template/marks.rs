//! Distinguishes the template's own text from its input in the text of a prompt.
//!
//! A control token such as `<|im_end|>` is only valid where the template wrote it. Therefore a
//! conversation is rendered twice: unchanged, and with the punctuation of its contents replaced by
//! private characters that nobody can guess. If replacing the characters back gives the first text
//! again, every character's origin is known: all control tokens in the second text are the
//! template's.
//!
//! Few templates inspect punctuation, and then only that of their own markers. If that changes the
//! text, only the control tokens in the contents are marked; if even those do not survive, they are
//! split by a space.

mod contents;
mod controls;

use contents::{Contents, rewritten, visit};
use controls::Alphabet;
pub use controls::ControlTexts;

use super::adapt::Adapted;
use super::error::TemplateError;

/// A prompt's text and the origin of its control tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptText {
    /// The text.
    pub text: String,
    /// The same text, character by character, with marked control tokens in contents; `None` if all
    /// control tokens are the template's.
    pub marked: Option<MarkedText>,
}

/// A text whose contents hold no control token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkedText {
    /// The marked text.
    pub text: String,
    alphabet: Alphabet,
}

impl MarkedText {
    /// Restores the original characters of a part of the marked text.
    pub fn unmarked(&self, part: &str) -> String {
        self.alphabet.undo(part)
    }
}

/// Finds the first control token in the contents of a conversation, and a description of its place.
pub(super) fn find(adapted: &Adapted, controls: &ControlTexts) -> Option<(String, String)> {
    let messages = adapted.messages.iter().enumerate();
    let places = messages
        .map(|(index, message)| (format!("message {index}"), message))
        .chain(
            adapted
                .tools
                .iter()
                .map(|tools| ("the list of tools".to_owned(), tools)),
        );
    for (place, value) in places {
        let mut found = None;
        visit(value, None, &mut |text| {
            found = found
                .take()
                .or_else(|| controls.find(text).map(str::to_owned));
        });
        if let Some(token) = found {
            return Some((place, token));
        }
    }
    None
}

/// Distinguishes the control tokens of a rendered text from those of its contents. Uses `render` as
/// long as it does not fail, and `last` once at the end.
///
/// # Errors
/// Those of `last` on a conversation whose control tokens were split.
pub(super) fn prompt(
    adapted: &Adapted,
    text: String,
    controls: &ControlTexts,
    render: impl Fn(&Adapted) -> Result<String, TemplateError>,
    last: impl Fn(&Adapted) -> Result<String, TemplateError>,
) -> Result<PromptText, TemplateError> {
    let contents = Contents::of(adapted);
    if !contents.texts.iter().any(|text| controls.is_risky(text)) {
        return Ok(PromptText { text, marked: None });
    }
    let Some(alphabet) = Alphabet::draw(&controls.letters, &contents) else {
        return taken_apart(adapted, controls, last);
    };
    let marker = Marker {
        controls,
        alphabet,
        render: &render,
    };
    if let Some(marked) = marker.marked(adapted, &text) {
        let marked = Some(marked);
        return Ok(PromptText { text, marked });
    }
    // Only the contents that the template inspects are changed.
    let split = rewritten(adapted, &mut |content| {
        if controls.find(content).is_none() || marker.survives(content, adapted, &text) {
            content.to_owned()
        } else {
            apart(content, controls)
        }
    });
    let Ok(text) = render(&split) else {
        return taken_apart(adapted, controls, last);
    };
    match marker.marked(&split, &text) {
        Some(marked) => {
            let marked = Some(marked);
            Ok(PromptText { text, marked })
        }
        None => taken_apart(adapted, controls, last),
    }
}

/// Marks contents and checks whether the marks survive the template.
struct Marker<'a, F> {
    controls: &'a ControlTexts,
    alphabet: Alphabet,
    render: &'a F,
}

impl<F: Fn(&Adapted) -> Result<String, TemplateError>> Marker<'_, F> {
    /// Marks as much as survives: all punctuation, or only that of control tokens.
    fn marked(&self, adapted: &Adapted, text: &str) -> Option<MarkedText> {
        let all = |content: &str| self.mark_all(content);
        let tokens = |content: &str| mark_tokens(content, self.controls, &self.alphabet);
        let marked = self.attempt(adapted, text, all);
        Some(MarkedText {
            text: marked.or_else(|| self.attempt(adapted, text, tokens))?,
            alphabet: self.alphabet.clone(),
        })
    }

    /// Whether the marks of one content survive.
    fn survives(&self, content: &str, adapted: &Adapted, text: &str) -> bool {
        let alone = |other: &str| {
            if other == content {
                mark_tokens(other, self.controls, &self.alphabet)
            } else {
                other.to_owned()
            }
        };
        self.attempt(adapted, text, alone).is_some()
    }

    /// Renders with marks; `None` unless the text is the same without them.
    fn attempt(
        &self,
        adapted: &Adapted,
        text: &str,
        mut mark: impl FnMut(&str) -> String,
    ) -> Option<String> {
        let marked = (self.render)(&rewritten(adapted, &mut mark)).ok()?;
        (self.alphabet.undo(&marked) == text).then_some(marked)
    }

    fn mark_all(&self, content: &str) -> String {
        let inside = self.controls.insides.contains(content);
        let mark = |letter: char| {
            if letter.is_ascii_alphanumeric() && !inside {
                letter
            } else {
                self.alphabet.mark(letter)
            }
        };
        content.chars().map(mark).collect()
    }
}

/// The last resort: splits every control token of the contents.
fn taken_apart(
    adapted: &Adapted,
    controls: &ControlTexts,
    render: impl Fn(&Adapted) -> Result<String, TemplateError>,
) -> Result<PromptText, TemplateError> {
    let split = rewritten(adapted, &mut |content| apart(content, controls));
    let text = render(&split)?;
    Ok(PromptText { text, marked: None })
}

/// Marks the first punctuation of each control token, and the punctuation at both ends, which a
/// neighbour could complete.
fn mark_tokens(content: &str, controls: &ControlTexts, alphabet: &Alphabet) -> String {
    let mut marked: Vec<char> = content.chars().collect();
    let is_letter = |letter: &char| controls.letters.binary_search(letter).is_ok();
    let leading = marked.iter().take_while(|letter| is_letter(letter)).count();
    let trailing = marked
        .iter()
        .rev()
        .take_while(|letter| is_letter(letter))
        .count();
    let count = marked.len();
    for (index, letter) in marked.iter_mut().enumerate() {
        if index < leading || index >= count - trailing {
            *letter = alphabet.mark(*letter);
        }
    }
    for found in controls.find_all(content) {
        let start = content[..found.start].chars().count();
        let length = content[found].chars().count();
        let inside = &mut marked[start..start + length];
        let first = inside.iter().position(is_letter).unwrap_or(0);
        if let Some(letter) = inside.get_mut(first) {
            *letter = alphabet.mark(*letter);
        }
    }
    marked.into_iter().collect()
}

/// Inserts a space after the first character of each control token until none is left.
fn apart(content: &str, controls: &ControlTexts) -> String {
    let mut text = content.to_owned();
    while controls.find(&text).is_some() {
        let mut out = String::with_capacity(text.len() + 8);
        let mut at = 0;
        for found in controls.find_all(&text) {
            let first = text[found.start..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&text[at..found.start + first]);
            out.push(' ');
            at = found.start + first;
        }
        out.push_str(&text[at..]);
        // A control token of a single character cannot be split.
        if out.len() > 4 * content.len() + 64 {
            return text
                .chars()
                .filter(|letter| letter.is_alphanumeric())
                .collect();
        }
        text = out;
    }
    text
}
