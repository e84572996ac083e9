//! The model's tokenizer.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;

use super::super::{BackendError, ControlToken, Token, Tokenizer};
use super::model::Model;

/// Room for the longest piece; longer ones make the vector grow once.
const PIECE_CAPACITY: usize = 64;

/// Tokenises with the vocabulary of the GGUF file.
#[derive(Debug)]
pub(super) struct LlamaTokenizer {
    model: Arc<Model>,
    control_tokens: Vec<ControlToken>,
}

impl LlamaTokenizer {
    /// Makes a tokenizer that keeps the model loaded.
    pub(super) fn new(model: Arc<Model>) -> Self {
        let control_tokens = control_tokens(&model);
        Self {
            model,
            control_tokens,
        }
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

    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        _first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        // llama.cpp tokenises what stands between special tokens by itself anyway.
        let vocab = self.model.inner().vocab();
        let tokens = vocab.tokenize(text.as_bytes(), false, parse_special);
        let tokens = tokens.into_iter();
        Ok(tokens
            .filter_map(|token| Token::try_from(token.0).ok())
            .collect())
    }

    fn control_tokens(&self) -> &[ControlToken] {
        &self.control_tokens
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

/// The tokens that llama.cpp recognises only where special tokens are parsed.
fn control_tokens(model: &Model) -> Vec<ControlToken> {
    let vocab = model.inner().vocab();
    let control = |token: LlamaToken| {
        let attributes = vocab.attr(token);
        let special = LlamaTokenAttr::Control | LlamaTokenAttr::Unknown;
        if !attributes.intersects(special) {
            return None;
        }
        let text = vocab.text(token)?.to_str().ok()?;
        Some(ControlToken {
            token: Token::try_from(token.0).ok()?,
            text: (!text.is_empty()).then(|| text.to_owned())?,
            strips_left: attributes.contains(LlamaTokenAttr::LStrip),
            strips_right: attributes.contains(LlamaTokenAttr::RStrip),
        })
    };
    vocab.tokens().filter_map(control).collect()
}
