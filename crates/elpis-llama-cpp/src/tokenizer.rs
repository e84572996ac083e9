//! The model's tokenizer.

use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_sys_2 as sys;

use super::guard::{Assertions, guarded, throwing};
use super::model::Model;
use elpis_backend::{BackendError, ControlToken, Token, Tokenizer};

/// Initial capacity for a piece. A longer one makes the vector grow once.
const PIECE_CAPACITY: usize = 64;

const CALL: &str = "llama_tokenize";

/// Tokenises with the vocabulary of the GGUF file.
#[derive(Debug)]
pub(super) struct LlamaTokenizer {
    model: Arc<Model>,
    control_tokens: Vec<ControlToken>,
}

impl LlamaTokenizer {
    /// Creates a tokenizer that keeps the model loaded.
    pub(super) fn new(model: Arc<Model>) -> Self {
        let control_tokens = control_tokens(&model);
        Self {
            model,
            control_tokens,
        }
    }

    /// Tokenises a text. llama.cpp throws an exception if the vocabulary has no token for a byte.
    fn tokenize(&self, text: &str, parse_special: bool) -> Result<Vec<i32>, BackendError> {
        let failed = |reason: String| BackendError::Native { call: CALL, reason };
        let length = i32::try_from(text.len())
            .map_err(|_| failed(format!("the text has {} bytes", text.len())))?;
        // SAFETY: a plain query of a live model.
        let vocab = unsafe { sys::llama_model_get_vocab(self.model.as_ptr()) };
        let mut tokens = vec![0_i32; text.len() / 2 + 8];
        loop {
            let room = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
            let (text, start) = (text.as_ptr().cast(), tokens.as_mut_ptr());
            // SAFETY: text and room have the lengths that are passed.
            let count = guarded(Assertions::All, || unsafe {
                throwing::llama_tokenize(vocab, text, length, start, room, false, parse_special)
            });
            match count.map_err(|thrown| thrown.of(self.model.path(), CALL))? {
                count if count >= 0 => {
                    tokens.truncate(count as usize);
                    return Ok(tokens);
                }
                // A negative count is the required number.
                needed => {
                    let needed = needed.unsigned_abs() as usize;
                    if needed <= tokens.len() {
                        return Err(failed(format!("{needed} tokens do not fit")));
                    }
                    tokens.resize(needed, 0);
                }
            }
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
        let tokens = self.tokenize(text, parse_special)?;
        let bos = vocab.bos();
        let missing_bos = vocab.should_add_bos() && bos.0 >= 0 && tokens.first() != Some(&bos.0);
        Ok(missing_bos
            .then_some(bos.0)
            .into_iter()
            .chain(tokens)
            .filter_map(|token| Token::try_from(token).ok())
            .collect())
    }

    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        _first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        // llama.cpp tokenises the text between special tokens separately anyway.
        let tokens = self.tokenize(text, parse_special)?.into_iter();
        Ok(tokens
            .filter_map(|token| Token::try_from(token).ok())
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

/// The tokens that llama.cpp only recognises if special tokens are parsed.
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
