//! Compares texts that are tokenised differently.
//!
//! A model does not always write a text in the tokens that its tokenizer would choose. When a reply
//! comes back as part of the next prompt, it is tokenised anew, possibly differently, although the
//! evaluated tokens have the same text.

use super::cached_sequence::common_prefix;
use crate::backend::{Token, Tokenizer};

/// Length of the common text prefix, as the number of tokens on each side.
///
/// Tokens without text, such as control tokens, only match themselves.
pub(super) fn same_text(
    cached: &[Token],
    prompt: &[Token],
    tokenizer: &dyn Tokenizer,
) -> (usize, usize) {
    let start = common_prefix(cached, prompt);
    let mut sides = [Side::new(cached, start), Side::new(prompt, start)];
    let mut same = (start, start);
    // The bytes by which one side is ahead.
    let mut ahead = Vec::new();
    let mut leader = 0;
    let mut piece = Vec::new();
    loop {
        let [cached, prompt] = &mut sides;
        if ahead.is_empty() {
            same = (cached.read, prompt.read);
            if cached.next().is_some() && cached.next() == prompt.next() {
                cached.read += 1;
                prompt.read += 1;
                continue;
            }
        }
        let follower = &mut sides[1 - leader];
        piece.clear();
        let Some(token) = follower.next() else {
            return same;
        };
        tokenizer.append_piece(token, &mut piece);
        follower.read += 1;
        let shared = piece.len().min(ahead.len());
        if piece.is_empty() || piece[..shared] != ahead[..shared] {
            return same;
        }
        if piece.len() > ahead.len() {
            std::mem::swap(&mut ahead, &mut piece);
            leader = 1 - leader;
        }
        ahead.drain(..shared);
    }
}

struct Side<'a> {
    tokens: &'a [Token],
    read: usize,
}

impl<'a> Side<'a> {
    fn new(tokens: &'a [Token], read: usize) -> Self {
        Self { tokens, read }
    }

    fn next(&self) -> Option<Token> {
        self.tokens.get(self.read).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::BackendError;

    const PIECES: [&str; 9] = ["", "", "a", "b", "c", "ab", "bc", "abc", "ca"];

    #[derive(Debug)]
    struct Pieces;

    impl Tokenizer for Pieces {
        fn encode(&self, _: &str, _: bool) -> Result<Vec<Token>, BackendError> {
            Ok(Vec::new())
        }

        fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
            out.extend_from_slice(PIECES[token as usize].as_bytes());
        }

        fn is_end(&self, _: Token) -> bool {
            false
        }
    }

    /// Returns the text, with control tokens written out.
    fn text(tokens: &[Token]) -> String {
        let piece = |&token: &Token| match PIECES[token as usize] {
            "" => format!("<{token}>"),
            piece => piece.to_owned(),
        };
        tokens.iter().map(piece).collect()
    }

    type Case = (&'static [Token], &'static [Token], (usize, usize));

    #[test]
    fn other_tokens_may_say_the_same() {
        let cases: [Case; 8] = [
            (&[2, 3, 4], &[7], (3, 1)),
            (&[0, 2, 3, 1, 4], &[0, 5, 1, 4, 2], (5, 4)),
            (&[0, 2, 3, 1], &[0, 5, 0], (3, 2)),
            // One side ends in the middle of the other's token.
            (&[7, 2], &[5], (0, 0)),
            (&[5], &[7], (0, 0)),
            (&[2, 7, 1], &[2, 5, 1], (1, 1)),
            // A control token does not match the end of a text.
            (&[0], &[1], (0, 0)),
            (&[], &[2], (0, 0)),
        ];
        for (cached, prompt, expected) in cases {
            assert_eq!(
                same_text(cached, prompt, &Pieces),
                expected,
                "{cached:?} {prompt:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_the_same_is_the_longest_common_text_at_tokens_ends(
            cached in prop::collection::vec(0_u32..9, 0..12),
            prompt in prop::collection::vec(0_u32..9, 0..12),
        ) {
            let found = same_text(&cached, &prompt, &Pieces);
            let mut best = (0, 0);
            for a in 0..=cached.len() {
                for b in 0..=prompt.len() {
                    if text(&cached[..a]) == text(&prompt[..b]) {
                        best = best.max((a, b));
                    }
                }
            }
            prop_assert_eq!(found, best);
        }
    }
}
