//! A random model on a small vocabulary: every token as likely as any other, but for the mask.
#![allow(dead_code, reason = "not every test file asks for everything")]

use std::sync::Arc;

use elpis::inference::{
    ConstraintError, ControlToken, Guide, RequestError, Sampler, SamplingParams, Vocabulary,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;

pub const CONTROL: [&str; 9] = [
    "[TOOL_CALLS]",
    "<tool_call>",
    "</tool_call>",
    "[CALL_ID]",
    "[ARGS]",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "<|python_tag|>",
];
pub const PIECES: [&str; 22] = [
    "{\"",
    "\": \"",
    "\"}",
    "}}",
    "\", \"",
    "name",
    " the",
    "[{",
    "}]",
    "é",
    "tool",
    "\n{\"",
    "<tool_call>\n{",
    "{\"name\": \"",
    "<tool_call>{no",
    "null",
    "<escape>",
    "<escape>}",
    "</parameter>",
    "\n</parameter>\n",
    "</parameter>\n<parameter=",
    ":<escape>",
];

/// All bytes, some longer pieces, control tokens and two ends.
pub fn tokens() -> Vec<Vec<u8>> {
    let bytes = (0..=255).map(|byte| vec![byte]);
    let pieces = PIECES.iter().map(|piece| piece.as_bytes().to_vec());
    let rest = std::iter::repeat_n(Vec::new(), CONTROL.len() + 2);
    bytes.chain(pieces).chain(rest).collect()
}

pub fn is_end(token: u32) -> bool {
    token as usize >= 256 + PIECES.len() + CONTROL.len()
}

pub fn control() -> Vec<ControlToken> {
    let first = (256 + PIECES.len()) as u32;
    (first..)
        .zip(CONTROL)
        .map(|(id, text)| ControlToken { text, id })
        .collect()
}

pub fn vocabulary() -> Arc<Vocabulary> {
    let tokens = tokens();
    let piece = |token: u32, out: &mut Vec<u8>| out.extend(&tokens[token as usize]);
    Arc::new(Vocabulary::new(tokens.len(), piece, is_end).unwrap())
}

pub struct Model {
    random: ChaCha8Rng,
    pub sampler: Sampler,
    pub logits: Vec<f32>,
    tokens: Vec<Vec<u8>>,
    /// Whether the last reply came to its end.
    pub whole: bool,
}

impl Model {
    pub fn new(seed: u64, params: SamplingParams) -> Self {
        let tokens = tokens();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            sampler: Sampler::new(params, tokens.len()).unwrap(),
            logits: vec![0.0; tokens.len()],
            tokens,
            whole: false,
        }
    }

    pub fn hot(seed: u64) -> Self {
        Self::new(
            seed,
            SamplingParams {
                temperature: 1.5,
                top_p: 1.0,
                top_k: 0,
                seed,
                ..SamplingParams::default()
            },
        )
    }

    /// Writes until nothing can follow, an end was chosen or the tokens are used up.
    pub fn write(&mut self, guide: &mut Guide, most: usize) -> Result<String, ConstraintError> {
        let mut text = Vec::new();
        self.whole = true;
        for _ in 0..most {
            for logit in &mut self.logits {
                *logit = (self.random.next_u32() % 1000) as f32 / 100.0;
            }
            let token = guide.choose(&mut self.sampler, &self.logits)?;
            self.sampler.accept(token).unwrap();
            if is_end(token) {
                assert!(guide.is_accepting());
                return Ok(String::from_utf8(text).unwrap());
            }
            let mut piece = self.tokens[token as usize].clone();
            let progress = guide.accept(token, &mut piece)?;
            text.extend(piece);
            if progress.complete {
                assert!(guide.is_accepting());
                return Ok(String::from_utf8(text).unwrap());
            }
        }
        self.whole = false;
        if guide.is_active() {
            assert!(!guide.is_accepting() || serde_json::from_slice::<Value>(&text).is_ok());
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Whether a grammar takes a reply, token by token, and would let it end there.
pub fn takes(guide: &mut Guide, control: &[ControlToken], reply: &str) -> bool {
    let mut rest = reply;
    while let Some(byte) = rest.bytes().next() {
        let own = control.iter().find(|token| rest.starts_with(token.text));
        let (token, length) = own.map_or((u32::from(byte), 1), |own| (own.id, own.text.len()));
        if guide.accept(token, &mut Vec::new()).is_err() {
            return false;
        }
        let mut at = length;
        while !rest.is_char_boundary(at) {
            if guide
                .accept(u32::from(rest.as_bytes()[at]), &mut Vec::new())
                .is_err()
            {
                return false;
            }
            at += 1;
        }
        rest = &rest[at..];
    }
    guide.is_accepting()
}

/// Whether a request is refused because its schemas cannot be enforced.
pub fn is_refused(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Constraint(ConstraintError::Refused { .. })
    )
}
