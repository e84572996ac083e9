//! The model's tokenizer.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;

use super::super::{BackendError, Token, Tokenizer};
use super::model::Model;

/// Room for the longest piece; longer ones make the vector grow once.
const PIECE_CAPACITY: usize = 64;

/// Tokenises with the vocabulary of the GGUF file.
#[derive(Debug)]
pub(super) struct LlamaTokenizer {
    model: Arc<Model>,
}

impl LlamaTokenizer {
    /// Makes a tokenizer that keeps the model loaded.
    pub(super) fn new(model: Arc<Model>) -> Self {
        Self { model }
    }

    fn known(&self, token: Token) -> Option<LlamaToken> {
        let id = i32::try_from(token).ok()?;
        (id < self.model.inner().n_vocab()).then_some(LlamaToken(id))
    }
}

impl Tokenizer for LlamaTokenizer {
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError> {
        let vocab = self.model.inner().vocab();
        let tokens = vocab.tokenize(text.as_bytes(), false, parse_special);
        let bos = vocab.bos();
        let missing_bos = vocab.should_add_bos() && bos.0 >= 0 && tokens.first() != Some(&bos);
        Ok(missing_bos
            .then_some(bos)
            .into_iter()
            .chain(tokens)
            .filter_map(|token| Token::try_from(token.0).ok())
            .collect())
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        let Some(token) = self.known(token) else {
            return;
        };
        out.reserve(PIECE_CAPACITY);
        self.model
            .inner()
            .vocab()
            .token_to_piece_into(token, out, false, None);
    }

    fn is_end(&self, token: Token) -> bool {
        self.known(token)
            .is_some_and(|token| self.model.inner().vocab().is_eog(token))
    }
}
