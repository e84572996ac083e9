//! A vocabulary in which every word of one or two letters is one token.

use std::collections::HashSet;

/// The control tokens at the front: unknown, beginning, end, and those of the chat template.
pub const MARKS: [(&str, i32); 5] = [
    ("<unk>", UNKNOWN),
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    ("<|im_start|>", CONTROL),
    ("<|im_end|>", CONTROL),
];

/// Number of tokens at the front that are not ordinary text: the control tokens and every byte.
pub const SPECIAL: usize = MARKS.len() + 256;

/// The letters by their frequency in English, so that a smaller vocabulary keeps the likelier pairs.
const LETTERS: &str = "etaoinshrdlucmfwypvbgkjqxz";

/// GGUF's numbers of token types.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// The first `size` tokens and their kinds.
pub fn words(size: usize) -> (Vec<String>, Vec<i32>) {
    let mut words: Vec<String> = MARKS.map(|(mark, _)| mark.to_owned()).into();
    words.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    let mut kinds: Vec<i32> = MARKS.map(|(_, kind)| kind).into();
    kinds.resize(SPECIAL, BYTE);

    let mut seen: HashSet<String> = words.iter().cloned().collect();
    words.extend(texts().filter(|text| seen.insert(text.clone())));
    words.truncate(size);
    kinds.resize(words.len(), NORMAL);
    (words, kinds)
}

/// The texts, shorter ones first, because merges build longer tokens from shorter ones.
fn texts() -> impl Iterator<Item = String> {
    let spaced = |text: String| format!("\u{2581}{text}");
    let signs = ('!'..='~').map(String::from);
    let letters = || LETTERS.chars().map(String::from);
    let longer = move |texts: Vec<String>| {
        texts
            .into_iter()
            .flat_map(move |text| letters().map(move |letter| format!("{text}{letter}")))
    };
    let pairs = move || longer(letters().collect());
    std::iter::once(spaced(String::new()))
        .chain(signs)
        .chain(letters().map(spaced))
        .chain(pairs())
        .chain(pairs().map(spaced))
        .chain(longer(pairs().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_short_words_are_among_them() {
        let (words, kinds) = words(4096);
        assert_eq!((words.len(), kinds.len()), (4096, 4096));
        let distinct: HashSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
        assert_eq!(
            (words[SPECIAL - 1].as_str(), kinds[SPECIAL]),
            ("<0xFF>", NORMAL)
        );
        for word in ["\u{2581}", "\u{2581}z", "\u{2581}zz", "eta", "<", "_"] {
            assert!(distinct.contains(&word.to_owned()), "{word}");
        }
    }
}
