//! The tokenizer of a model in another process.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::child::Life;
use super::frame::{Channel, invalid};
use super::protocol::{Encode, Loaded, Reply};
use elpis_backend::{BackendError, ControlToken, Token, Tokenizer};

/// Knows the pieces of all tokens; asks the worker to tokenise.
pub(super) struct RemoteTokenizer {
    life: Arc<Life>,
    bound: Option<Duration>,
    /// One text at a time.
    texts: Mutex<Channel<UnixStream>>,
    pieces: Box<[u8]>,
    piece_ends: Box<[u32]>,
    end_tokens: Box<[Token]>,
    control_tokens: Vec<ControlToken>,
}

impl RemoteTokenizer {
    /// Creates the tokenizer from the worker's vocabulary.
    pub(super) fn new(
        life: Arc<Life>,
        texts: UnixStream,
        bound: Option<Duration>,
        loaded: Loaded,
        pieces: Vec<u8>,
    ) -> std::io::Result<Self> {
        let ends = &loaded.piece_ends;
        let whole = ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == pieces.len();
        if !whole || ends.len() != loaded.facts.n_vocab {
            return Err(invalid("the pieces do not fit the vocabulary"));
        }
        Ok(Self {
            life,
            bound,
            texts: Mutex::new(Channel::new(texts)),
            pieces: pieces.into(),
            piece_ends: loaded.piece_ends.into(),
            end_tokens: loaded.end_tokens.into(),
            control_tokens: loaded.control_tokens,
        })
    }

    fn encode_remotely(&self, text: &str, question: &Encode) -> Result<Vec<Token>, BackendError> {
        self.life.check()?;
        self.ask(text, question)
            .unwrap_or_else(|error| Err(self.life.failed(&error, self.bound)))
    }

    fn ask(
        &self,
        text: &str,
        question: &Encode,
    ) -> std::io::Result<Result<Vec<Token>, BackendError>> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.send(question, text.as_bytes())?;
        match texts.receive()? {
            Reply::Failed(error) => Ok(Err(error)),
            Reply::Done => {
                let (words, rest) = texts.blob().as_chunks();
                if rest.is_empty() {
                    Ok(Ok(words
                        .iter()
                        .map(|word| Token::from_le_bytes(*word))
                        .collect()))
                } else {
                    Err(invalid("half a token"))
                }
            }
            Reply::Loaded(_) | Reply::Loading => Err(invalid("a reply to another request")),
        }
    }
}

impl Tokenizer for RemoteTokenizer {
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError> {
        self.encode_remotely(
            text,
            &Encode {
                parse_special,
                part: None,
            },
        )
    }

    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        self.encode_remotely(
            text,
            &Encode {
                parse_special,
                part: Some(first),
            },
        )
    }

    fn control_tokens(&self) -> &[ControlToken] {
        &self.control_tokens
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        let token = token as usize;
        let Some(&end) = self.piece_ends.get(token) else {
            return;
        };
        let before = token
            .checked_sub(1)
            .and_then(|token| self.piece_ends.get(token));
        let start = before.copied().unwrap_or_default();
        // The ends are ascending, which was checked when they were received.
        out.extend_from_slice(&self.pieces[start as usize..end as usize]);
    }

    fn is_end(&self, token: Token) -> bool {
        self.end_tokens.binary_search(&token).is_ok()
    }
}

impl std::fmt::Debug for RemoteTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTokenizer").finish_non_exhaustive()
    }
}
