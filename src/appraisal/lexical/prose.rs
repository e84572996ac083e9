//! Extracts the writer's own prose from a text, sentence by sentence.

/// Maximum number of characters that are read, from the beginning of a text.
const MAX_CHARS: usize = 8000;

/// Maximum number of sentences that are read, half of them from the beginning and half from the
/// end.
const MAX_SENTENCES: usize = 100;

/// The words of an empty sentence.
const NO_WORDS: &str = " < > ";

/// A sentence of prose.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentence {
    /// The sentence as it was written, on one line.
    pub raw: String,
    /// Its words in lower case between end marks, each with a space on either side: ` < it works
    /// now > `.
    pub words: String,
    /// Its index among the sentences, from 0.
    pub place: usize,
    pub question: bool,
    pub exclamation: bool,
}

impl Sentence {
    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.split_whitespace().count() - 2
    }
}

/// The sentences of a text. Code, quotations, list items, headings and tables are left out, because
/// they are the text's subject matter.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut fence = false;
    let mut paragraph = String::new();
    let bounded = match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    for line in bounded.lines() {
        let line = line.trim();
        if line.starts_with("```") || line.starts_with("~~~") {
            fence = !fence;
            split(&std::mem::take(&mut paragraph), &mut found);
        } else if fence || line.is_empty() || is_matter(line) {
            split(&std::mem::take(&mut paragraph), &mut found);
        } else {
            // A line without end punctuation may continue on the next line.
            paragraph.push_str(line);
            paragraph.push('\n');
        }
    }
    split(&paragraph, &mut found);
    if found.len() > MAX_SENTENCES {
        found.drain(MAX_SENTENCES / 2..found.len() - MAX_SENTENCES / 2);
    }
    for (place, sentence) in found.iter_mut().enumerate() {
        sentence.place = place;
    }
    found
}

/// Whether a line is not prose but a quotation, a heading, a list item or a table row.
fn is_matter(line: &str) -> bool {
    let item = |line: &str| {
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = digits.len() < line.len() && digits.starts_with(['.', ')']);
        numbered && digits[1..].starts_with(' ')
    };
    line.starts_with(['>', '#', '|', '•', '–'])
        || line.starts_with("- ")
        || line.starts_with("* ")
        || line.starts_with("+ ")
        || item(line)
}

fn split(paragraph: &str, found: &mut Vec<Sentence>) {
    let plain = without_quotations(&without_code(paragraph));
    let mut sentence = String::new();
    let mut characters = plain.chars().peekable();
    while let Some(character) = characters.next() {
        sentence.push(character);
        let ends = match character {
            '!' | '?' | '…' | '\n' | ';' => true,
            // A dot does not end a sentence in `3.5`, `e.g.` or `file.rs`.
            '.' => characters
                .peek()
                .is_none_or(|next| next.is_whitespace() || *next == '.'),
            _ => false,
        };
        let goes_on = |next: &char| matches!(next, '!' | '?' | '.' | '…');
        if ends && !characters.peek().is_some_and(goes_on) {
            push(&std::mem::take(&mut sentence), found);
        }
    }
    push(&sentence, found);
}

fn push(sentence: &str, found: &mut Vec<Sentence>) {
    let raw = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words(&raw);
    // Emoji are not words but may carry a feeling.
    if raw.is_empty() || (words == NO_WORDS && raw.is_ascii()) {
        return;
    }
    let end: String = raw
        .chars()
        .rev()
        .take_while(|c| !c.is_alphanumeric())
        .collect();
    found.push(Sentence {
        place: 0,
        question: end.contains('?'),
        exclamation: end.contains('!'),
        words,
        raw,
    });
}

/// The text without code in backquotes, addresses and markup.
fn without_code(text: &str) -> String {
    let mut parts = text.split('`');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    while let Some(code) = parts.next() {
        match parts.next() {
            Some(after) => {
                plain.push_str(" ~ ");
                plain.push_str(after);
            }
            // A single backquote does not mark code.
            None => plain.push_str(code),
        }
    }
    let kept = plain.split_inclusive(char::is_whitespace).map(|word| {
        let address = word.contains("://") || word.starts_with("www.");
        if address { "~ " } else { word }
    });
    kept.collect::<String>().replace(['*', '_'], " ")
}

/// The text without quotations.
fn without_quotations(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '“', '„', '«', '”']) {
        let mark = rest[at..].chars().next().unwrap_or('"');
        plain.push_str(&rest[..at]);
        let after = &rest[at + mark.len_utf8()..];
        let end = match mark {
            '"' => after.find('"'),
            '“' | '„' => after.find(['”', '“', '"']),
            '«' => after.find('»'),
            _ => None,
        };
        let Some(end) = end else {
            rest = after;
            continue;
        };
        plain.push_str(" ~ ");
        let close = after[end..].chars().next().map_or(1, char::len_utf8);
        rest = &after[end + close..];
    }
    plain.push_str(rest);
    plain
}

/// The words of a sentence, in lower case, as the tables spell them.
fn words(raw: &str) -> String {
    let plain = raw.replace(['’', '‘', '`', '´'], "'").to_lowercase();
    let mut words = String::from(" < ");
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '~');
    let between = plain.split(|c: char| !is_word(c));
    for word in between
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
    {
        words.push_str(&spelling(word));
        words.push(' ');
    }
    words.push_str("> ");
    words
}

/// The usual spelling of a word: `sooo` is `so`, `im` is `i'm`.
fn spelling(word: &str) -> String {
    let short = squeezed(word);
    let known = match short.as_str() {
        "im" => "i'm",
        "ive" => "i've",
        "dont" => "don't",
        "cant" => "can't",
        "wont" => "won't",
        "didnt" => "didn't",
        "doesnt" => "doesn't",
        "isnt" => "isn't",
        "wasnt" => "wasn't",
        "couldnt" => "couldn't",
        "youre" | "ur" => "you're",
        "thats" => "that's",
        "its" => "it's",
        "u" => "you",
        "thx" | "thanx" | "tysm" | "ty" | "tnx" => "thanks",
        "omfg" => "omg",
        _ => return short,
    };
    known.to_owned()
}

/// A word without drawn-out letters: three or more in a row become one, or two in words that have
/// two (`coool`, `freee`).
fn squeezed(word: &str) -> String {
    let mut squeezed = String::new();
    let mut run = 0;
    let mut last = None;
    for character in word.chars() {
        run = if last == Some(character) { run + 1 } else { 1 };
        last = Some(character);
        let long = run >= 3 && character.is_alphabetic();
        if long && run == 3 && !matches!(character, 'o' | 'e' | 'l') {
            squeezed.pop();
        }
        if !long {
            squeezed.push(character);
        }
    }
    match squeezed.as_str() {
        "soo" => "so".to_owned(),
        "noo" => "no".to_owned(),
        "loove" => "love".to_owned(),
        _ => squeezed,
    }
}
