//! The bytes of each token of a vocabulary.

use elpis_backend::Token;
use tokenizers::Tokenizer as HfTokenizer;

/// Largest number of a token: some room for each is taken. The largest vocabularies have about a million tokens.
const MAX_TOKEN: Token = (1 << 22) - 1;

/// The encoding of bytes in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Writing {
    /// Each byte is a printable character (GPT-2).
    ByteLevel,
    /// A space is `▁`, and other bytes may be written as `<0xNN>` (`SentencePiece`).
    Metaspace,
    /// The text itself.
    Plain,
}

/// The bytes of each token.
///
/// # Errors
/// A reason if the vocabulary contains a token above [`MAX_TOKEN`].
pub(super) fn pieces(tokenizer: &HfTokenizer) -> Result<Vec<Box<[u8]>>, String> {
    let writing = writing(tokenizer);
    let added = tokenizer.get_added_tokens_decoder();
    let vocabulary = tokenizer.get_vocab(true).into_values();
    let last = vocabulary.chain(added.keys().copied()).max();
    if let Some(last) = last.filter(|last| *last > MAX_TOKEN) {
        return Err(format!(
            "names token {last}, but the largest allowed is {MAX_TOKEN}"
        ));
    }
    let letters = byte_letters();
    let piece_of = (0..last.map_or(0, |last| last + 1)).map(|id| match added.get(&id) {
        Some(token) if token.special => Box::default(),
        Some(token) => token.content.as_bytes().into(),
        None => tokenizer
            .id_to_token(id)
            .map(|text| bytes_of(&text, writing, &letters))
            .unwrap_or_default(),
    });
    Ok(piece_of.collect())
}

pub(super) fn writing(tokenizer: &HfTokenizer) -> Writing {
    let decoder = tokenizer
        .get_decoder()
        .and_then(|decoder| serde_json::to_string(decoder).ok())
        .unwrap_or_default();
    if decoder.contains("\"ByteLevel\"") {
        Writing::ByteLevel
    } else if decoder.contains("\"Metaspace\"")
        || decoder.contains('▁')
        || decoder.contains("\"ByteFallback\"")
    {
        Writing::Metaspace
    } else {
        Writing::Plain
    }
}

pub(super) fn bytes_of(text: &str, writing: Writing, letters: &[char; 256]) -> Box<[u8]> {
    match writing {
        Writing::ByteLevel => {
            let byte = |letter: char| letters.iter().position(|&l| l == letter);
            let bytes: Option<Vec<u8>> = text.chars().map(|c| Some(byte(c)? as u8)).collect();
            // A token with other characters was added without this encoding.
            bytes.unwrap_or_else(|| text.as_bytes().to_vec()).into()
        }
        Writing::Metaspace => {
            let hex = text
                .strip_prefix("<0x")
                .and_then(|rest| rest.strip_suffix('>'));
            match hex
                .filter(|hex| hex.len() == 2)
                .map(|hex| u8::from_str_radix(hex, 16))
            {
                Some(Ok(byte)) => [byte].into(),
                _ => text.replace('▁', " ").into_bytes().into(),
            }
        }
        Writing::Plain => text.as_bytes().into(),
    }
}

/// GPT-2's alphabet. Printable bytes are written as themselves, the others as the characters from
/// U+0100 on, in ascending order.
pub(super) fn byte_letters() -> [char; 256] {
    let mut letters = ['\0'; 256];
    let mut next = 0x100;
    for (byte, letter) in (0_u8..=255).zip(&mut letters) {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        *letter = if printable {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap_or_default()
        };
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_writing_bytes_is_undone() {
        let letters = byte_letters();
        let bytes = |text: &str, writing| bytes_of(text, writing, &letters).into_vec();
        assert_eq!(bytes("Ġtrain", Writing::ByteLevel), b" train");
        assert_eq!(bytes("Ã¼Ċ", Writing::ByteLevel), "ü\n".as_bytes());
        assert_eq!(bytes("東", Writing::ByteLevel), "東".as_bytes());
        assert_eq!(bytes("▁train▁", Writing::Metaspace), b" train ");
        assert_eq!(bytes("<0xE6>", Writing::Metaspace), [0xE6]);
        assert_eq!(bytes("<0xE6", Writing::Metaspace), b"<0xE6");
        assert_eq!(bytes("▁", Writing::Plain), "▁".as_bytes());
    }

    #[test]
    fn each_byte_has_a_letter_of_its_own() {
        let mut letters = byte_letters().to_vec();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), 256);
        assert!(letters.iter().all(|letter| !letter.is_control()));
    }
}
