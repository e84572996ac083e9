//! Text to tokens and back.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::BackendError;

/// Identifies a token of the model's vocabulary.
pub type Token = u32;

/// A control token, as written in chat templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlToken {
    /// The token.
    pub token: Token,
    /// Its text.
    pub text: String,
    /// Whether it strips the white space before it.
    pub strips_left: bool,
    /// Whether it strips the white space after it.
    pub strips_right: bool,
}

/// Text to tokens and back, safe to use from any thread.
pub trait Tokenizer: Send + Sync + Debug {
    /// Tokenises text. With `parse_special`, control tokens such as `<|im_end|>` are recognised;
    /// otherwise they are plain text. The beginning-of-sequence token is prepended if the model
    /// requires one and the text does not begin with it.
    ///
    /// # Errors
    /// [`BackendError::WorkerDied`] if the tokenizer was in another process, which is gone.
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError>;

    /// Tokenises a part of a text. Nothing is prepended, and unless it is the `first` part, leading
    /// white space is not treated as the beginning of a text.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        let _ = first;
        self.encode(text, parse_special)
    }

    /// The control tokens that [`encode`](Self::encode) only recognises with `parse_special`, in
    /// ascending order. Users' texts never become one of these.
    fn control_tokens(&self) -> &[ControlToken] {
        &[]
    }

    /// Appends the bytes of a token to `out`; control tokens have none.
    fn append_piece(&self, token: Token, out: &mut Vec<u8>);

    /// Whether the token ends a generation.
    fn is_end(&self, token: Token) -> bool;
}
