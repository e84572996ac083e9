//! Makes text from outside safe to show on a terminal or in a log.
//!
//! File names, metadata of model and vector files and output of other programs may contain escape
//! sequences, line feeds that forge further lines, and marks that change the direction of writing.
//! All of these are shown as escapes in Rust syntax.

use std::borrow::Cow;
use std::path::Path;

/// Returns text as one line, with every control character, line separator and direction mark
/// escaped.
///
/// ```text
/// "a\u{1b}[31mb\n" becomes `a\u{1b}[31mb\n`, written with backslashes
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// Returns a path as one line, with invalid Unicode replaced.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns text as one line of at most `longest` characters.
pub fn printable_start(text: &str, longest: usize) -> String {
    let end = text.char_indices().nth(longest).map(|(at, _)| at);
    let mut start = printable(&text[..end.unwrap_or(text.len())]).into_owned();
    if end.is_some() {
        start.push('…');
    }
    start
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Controls (C0, DEL, C1), line and paragraph separators, marks that set or embed a direction
/// (Unicode 16, bidirectional classes LRM to PDI), annotation marks, and tags, which are invisible.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_as_an_escape() {
        for (text, shown) in [
            ("plain, ünïcode 語 🙂", "plain, ünïcode 語 🙂"),
            (
                "\u{1b}[2J\u{1b}]0;title\u{7}",
                "\\u{1b}[2J\\u{1b}]0;title\\u{7}",
            ),
            ("one\nhint: two\r", "one\\nhint: two\\r"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("gpj.\u{202e}fdp", "gpj.\\u{202e}fdp"),
            (
                "\u{2066}a\u{2069}\u{200f}\u{61c}",
                "\\u{2066}a\\u{2069}\\u{200f}\\u{61c}",
            ),
            ("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}"),
            // Joiners belong to words and emoji.
            (
                "👩\u{200d}🚀 می\u{200c}خواهم",
                "👩\u{200d}🚀 می\u{200c}خواهم",
            ),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_path(Path::new("a\u{1b}c/b")), "a\\u{1b}c/b");
        assert_eq!(printable_start("a\nbcd", 3), "a\\nb…");
        assert_eq!(printable_start("abc", 3), "abc");
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes under the interpreter")]
    fn nothing_that_is_escaped_is_left_in_any_text() {
        let all: String = ('\0'..=char::MAX).collect();
        assert!(!printable(&all).chars().any(is_unsafe));
    }
}
