//! Wraps a text between words, incrementally.

use console::measure_text_width;

/// Begins and ends a code block, whose lines are not wrapped.
const FENCE: &str = "```";

/// Wraps a text incrementally. The current word is held back until it is complete.
#[derive(Debug, Default)]
pub(super) struct Wrap {
    /// Cells of the line so far.
    column: usize,
    /// Spaces still to be written.
    spaces: String,
    word: String,
    /// The line so far, as long as it may begin a code block.
    begins: String,
    code: bool,
    /// Whether the current word is longer than a line.
    long: bool,
}

impl Wrap {
    /// Adds more text. Returns the text that can be written on a screen with `width` columns.
    /// Without a width, nothing is held back.
    pub fn push(&mut self, text: &str, width: Option<usize>) -> String {
        let mut out = String::new();
        for character in text.chars() {
            match (character, width) {
                ('\n', _) => {
                    self.place(&mut out, width);
                    if self.begins.trim_start().starts_with(FENCE) {
                        self.code = !self.code;
                    }
                    *self = Self {
                        code: self.code,
                        ..Self::default()
                    };
                    out.push('\n');
                    continue;
                }
                (' ', Some(_)) => {
                    self.place_word(&mut out, width);
                    self.spaces.push(' ');
                }
                (other, Some(_)) if is_wide(other) => {
                    // Scripts without spaces break between characters.
                    self.place_word(&mut out, width);
                    self.word.push(other);
                    self.place(&mut out, width);
                }
                (other, Some(width)) => {
                    self.word.push(other);
                    // A word as long as the screen is written immediately and not broken.
                    if self.long || cells(&self.word) + 1 >= width {
                        self.place(&mut out, Some(width));
                        self.long = true;
                    }
                }
                (other, None) => {
                    self.place(&mut out, width);
                    out.push(other);
                }
            }
            if self.begins.trim_start().len() <= FENCE.len() {
                self.begins.push(character);
            }
        }
        out
    }

    /// Returns the remaining text at the end.
    pub fn end(&mut self, width: Option<usize>) -> String {
        let mut out = String::new();
        self.place(&mut out, width);
        *self = Self::default();
        out
    }

    /// Writes the word held back, if there is one. The spaces after it are still to come.
    fn place_word(&mut self, out: &mut String, width: Option<usize>) {
        if !self.word.is_empty() {
            self.place(out, width);
        }
        self.long = false;
    }

    /// Writes the word held back, on the next line if it does not fit on this one.
    fn place(&mut self, out: &mut String, width: Option<usize>) {
        let (spaces, word) = (cells(&self.spaces), cells(&self.word));
        // The last column stays free, because the cursor would wait there to wrap.
        let over = width.is_some_and(|width| self.column + spaces + word + 1 > width);
        let breaks = over && self.column > 0 && !self.code && !self.long;
        if breaks {
            // Spaces at the edge would begin a new line.
            if word > 0 {
                out.push('\n');
                self.column = word;
            }
        } else {
            out.push_str(&self.spaces);
            self.column += spaces + word;
        }
        out.push_str(&self.word);
        self.spaces.clear();
        self.word.clear();
    }
}

fn cells(text: &str) -> usize {
    measure_text_width(text)
}

fn is_wide(character: char) -> bool {
    !character.is_ascii() && cells(character.encode_utf8(&mut [0; 4])) == 2
}

/// A whole text, wrapped.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> String {
    let mut wrap = Wrap::default();
    let mut out = wrap.push(text, width);
    out.push_str(&wrap.end(width));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_whole() {
        for (text, width, expected) in [
            ("the heritage of it", 10, "the\nheritage\nof it"),
            ("a b", 20, "a b"),
            ("one  two   three", 9, "one  two\nthree"),
            ("  indented text", 11, "  indented\ntext"),
            (
                "averyveryverylongword end",
                10,
                "averyveryverylongword\nend",
            ),
            ("漢字漢字漢字", 7, "漢字漢\n字漢字"),
            ("line\nnext line", 10, "line\nnext line"),
            (
                "```\nlet a = some_long_call(b);\n```\nback to prose",
                10,
                "```\nlet a = some_long_call(b);\n```\nback to\nprose",
            ),
        ] {
            assert_eq!(wrapped(text, Some(width)), expected, "{text}");
        }
        assert_eq!(wrapped("as it is  ", None), "as it is  ");
    }

    proptest! {
        /// In pieces it is what it is at once, nothing is lost, and no line is too long.
        #[test]
        fn pieces_make_the_same_lines(
            pieces in prop::collection::vec("[a-z ,.\n]{0,20}|[漢字é🙂a-z ]{0,8}", 0..30),
            width in 8_usize..40,
        ) {
            let whole = pieces.concat();
            let mut wrap = Wrap::default();
            let mut out: String = pieces.iter().map(|piece| wrap.push(piece, Some(width))).collect();
            out.push_str(&wrap.end(Some(width)));
            prop_assert_eq!(&out, &wrapped(&whole, Some(width)));
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&out), letters(&whole));
            for line in out.lines() {
                let long = cells(line.trim_end()) >= width;
                let one_word = line.trim().split(' ').filter(|word| !word.is_empty()).count() <= 1;
                prop_assert!(!long || one_word, "{line:?} in {width}");
            }
        }
    }
}
