//! Makes text from outside safe to show on a terminal.
//!
//! File names, metadata of models, answers of a Hub and replies can contain escape sequences, which
//! a terminal obeys, and bidirectional controls, which make a text look different from what it is.
//! All output of the command goes through this module, which writes such characters as `\u001b`,
//! like JSON.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, StdoutLock, Write, stdout};

/// Whether a terminal does anything with a character other than show it.
fn acts(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        // Direction marks are invisible; the others reorder the following text. U+2028 and U+2029
        // break lines and paragraphs in some terminals.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        _ => letter.is_control(),
    }
}

/// Escapes every character that affects a terminal.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    written_out(text, acts)
}

/// The text of a reply for a terminal: as [`plain`], but it keeps direction marks, which replies in
/// Arabic and Hebrew need, and removes carriage returns.
fn reply(text: &str) -> Cow<'_, str> {
    let is_mark = |letter| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}');
    if text.contains('\r') {
        let kept = text.replace('\r', "");
        return Cow::Owned(written_out(&kept, |letter| acts(letter) && !is_mark(letter)).into());
    }
    written_out(text, |letter| acts(letter) && !is_mark(letter))
}

fn written_out(text: &str, acts: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&acts) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if acts(letter) {
            let _ = write!(plain, "\\u{:04x}", u32::from(letter));
        } else {
            plain.push(letter);
        }
    }
    Cow::Owned(plain)
}

/// Standard output for reports, tables and JSON.
pub(super) fn out() -> Plain<StdoutLock<'static>> {
    Plain::new(stdout().lock())
}

/// A piece of a reply for standard output: unchanged for a program, escaped on a terminal.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if stdout().is_terminal() {
        reply(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// Writes a piece of a reply at once.
pub(super) fn write_reply(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(shown(text).as_bytes())?;
    out.flush()
}

/// Standard error for logs. With `colours`, colour codes pass, because the writer escapes those
/// within values.
pub(super) fn logs(colours: bool) -> Plain<io::Stderr> {
    Plain {
        codes_pass: colours,
        ..Plain::new(io::stderr())
    }
}

/// Escapes characters that affect a terminal. Invalid UTF-8 becomes U+FFFD.
#[derive(Debug)]
pub(super) struct Plain<W> {
    inner: W,
    /// The start of an incomplete character.
    begun: Vec<u8>,
    codes_pass: bool,
}

impl<W> Plain<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            begun: Vec::new(),
            codes_pass: false,
        }
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.begun);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (text, wrong) = match str::from_utf8(rest) {
                Ok(text) => (text, 0),
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    let text = str::from_utf8(valid).unwrap_or_default();
                    if let Some(wrong) = error.error_len() {
                        (text, wrong)
                    } else {
                        after.clone_into(&mut self.begun);
                        (text, after.len())
                    }
                }
            };
            let passes = |letter| self.codes_pass && letter == '\u{1b}';
            let shown = written_out(text, |letter| acts(letter) && !passes(letter));
            self.inner.write_all(shown.as_bytes())?;
            if wrong > 0 && self.begun.is_empty() {
                self.inner.write_all("\u{fffd}".as_bytes())?;
            }
            rest = &rest[text.len() + wrong..];
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(pieces: &[&[u8]]) -> String {
        let mut out = Plain::new(Vec::new());
        for piece in pieces {
            out.write_all(piece).unwrap();
        }
        String::from_utf8(out.inner).unwrap()
    }

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, shown) in [
            ("calm\tja\nö 漢 🙂", "calm\tja\nö 漢 🙂"),
            ("\u{1b}[2J", "\\u001b[2J"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            ("\u{9b}31m", "\\u009b31m"),
            ("a\rb\u{8}\u{7f}\0", "a\\u000db\\u0008\\u007f\\u0000"),
            ("\u{202e}fugg.", "\\u202efugg."),
            ("\u{2066}\u{2069}\u{200f}", "\\u2066\\u2069\\u200f"),
            ("a\u{2028}b", "a\\u2028b"),
        ] {
            assert_eq!(plain(text), shown);
            assert_eq!(written(&[text.as_bytes()]), shown);
        }
        assert_eq!(
            reply("a\r\n\u{200f}א\u{202e}\u{1b}"),
            "a\n\u{200f}א\\u202e\\u001b"
        );
        assert_eq!(written(&[b"a\xffb", b"\xc3"]), "a\u{fffd}b");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"na\u{202e}me": "\u{1b}[2J\u{9b}x\r\n\u{200e}"});
        let shown = written(&[value.to_string().as_bytes()]);
        assert!(!shown.contains(acts), "{shown}");
        let again: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn logs_keep_their_own_codes_alone() {
        let mut out = Plain::new(Vec::new());
        out.codes_pass = true;
        out.write_all("\u{1b}[31mERROR\u{1b}[0m \u{9b}2J\u{202e}".as_bytes())
            .unwrap();
        let text = String::from_utf8(out.inner).unwrap();
        assert_eq!(text, "\u{1b}[31mERROR\u{1b}[0m \\u009b2J\\u202e");
    }

    /// All output goes through here: whatever else writes to standard output or error by itself is listed.
    #[test]
    fn there_is_no_other_way_to_the_terminal() {
        fn visit(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, found);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let ways = [
                    "stdout().lock()",
                    "println!(",
                    "print!(",
                    "(stdout(",
                    "(stderr(",
                ];
                let others = text.lines().filter(|line| {
                    let is_way = ways.iter().any(|way| line.contains(way));
                    is_way && !line.contains("is_terminal") && !line.contains("\"println!(\"")
                });
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                found.extend(others.map(|line| format!("{name}: {}", line.trim())));
            }
        }
        let mut found = Vec::new();
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        visit(&source, &mut found);
        let allowed = [
            // Its texts have been through `shown`, and its codes are its own.
            "reply: let mut live = Live::new(stdout());",
            // Manual pages and completions are made of nothing but the program itself.
            "pages: stdout().lock().write_all(&text)?;",
        ];
        found.retain(|line| !allowed.contains(&line.as_str()) && !line.starts_with("terminal: "));
        assert!(found.is_empty(), "use `terminal::out`: {found:#?}");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_nothing_acts_and_the_rest_stays(text in "\\PC{0,20}|[\0-\u{9f}é\u{202e}漢]{0,20}", cut in 0_usize..60) {
            let cut = cut.min(text.len());
            let (front, back) = text.as_bytes().split_at(cut);
            let shown = written(&[front, back]);
            prop_assert_eq!(&shown, &plain(&text));
            prop_assert!(!shown.contains(acts));
            if !text.contains(acts) {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
