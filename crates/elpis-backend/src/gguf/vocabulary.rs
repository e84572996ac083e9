//! The vocabulary (`llama_vocab::impl::load` in `llama-vocab.cpp`).

use std::borrow::Cow;
use std::collections::HashSet;

use super::defect::{Defect, shown};
use super::names::PRE_TOKENIZERS;
use crate::GgufKind;
use elpis_files::gguf::{Array, Header, Kind, Value};

const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";

/// Maximum number of tokens, many times that of any model.
const MAX_TOKENS: u64 = 1 << 24;

/// Kinds of tokenizers that llama.cpp supports.
const MODELS: [&str; 9] = [
    "llama",
    "bert",
    "gpt2",
    "hybriddna",
    "whitespace",
    "t5",
    "rwkv",
    "plamo2",
    "gemma4",
];
/// Byte-pair tokenizers.
const PAIRS: [&str; 4] = ["gpt2", "hybriddna", "whitespace", "gemma4"];

/// Tokens that begin and end texts. Without them no generation would end.
const ENDS: [&str; 2] = ["tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"];

/// Checks the vocabulary and returns the number of tokens.
pub(super) fn check(header: &Header<'_>) -> Result<u64, Defect> {
    let model = match header.get(MODEL) {
        None => return Err(Defect::missing(MODEL)),
        Some(Value::Text(text)) => *text,
        Some(other) => return Err(Defect::invalid(MODEL, other.kind_name(), "text")),
    };
    if matches!(model, b"none" | b"no_vocab" | b"test") {
        return Err(Defect::Kind(GgufKind::NoVocabulary));
    }
    let Some(model) = MODELS.into_iter().find(|known| known.as_bytes() == model) else {
        let limit = format!("one of {}", MODELS.join(", "));
        return Err(Defect::invalid(MODEL, shown(&Value::Text(model)), limit));
    };
    if PAIRS.contains(&model) {
        pairs(header, model)?;
    }
    let tokens = array(header, TOKENS, &[Kind::Text])?.ok_or_else(|| Defect::missing(TOKENS))?;
    if tokens.count == 0 || tokens.count > MAX_TOKENS {
        let limit = format!("from 1 to {MAX_TOKENS} texts");
        return Err(Defect::invalid(TOKENS, tokens.count, limit));
    }
    unique(&tokens)?;
    if model == "rwkv" {
        first_bytes(&tokens)?;
    }
    let long_enough = |name: &str, array: &Array<'_>| {
        if array.count >= tokens.count {
            return Ok(());
        }
        let limit = format!("as many as the {} tokens", tokens.count);
        Err(Defect::invalid(name, array.count, limit))
    };
    if let Some(scores) = array(header, SCORES, &[Kind::F32, Kind::I32])? {
        long_enough(SCORES, &scores)?;
        // Pieces of text are sorted by their scores.
        let is_nan = |score: &Value<'_>| matches!(score, Value::F32(score) if score.is_nan());
        if let Some(index) = scores.values().position(|score| is_nan(&score)) {
            let item = format!("{SCORES}[{index}]");
            return Err(Defect::invalid(&item, "not a number", "a number"));
        }
    }
    if let Some(types) = array(header, TYPES, &[Kind::I32])? {
        long_enough(TYPES, &types)?;
    }
    for key in ENDS {
        match header.get(key) {
            // Some converters write −1 for none.
            None | Some(Value::U32(u32::MAX)) => {}
            Some(&Value::U32(id)) if u64::from(id) < tokens.count => {}
            Some(value) => {
                let limit = format!("a token below {} (u32)", tokens.count);
                return Err(Defect::invalid(key, shown(value), limit));
            }
        }
    }
    Ok(tokens.count)
}

/// Checks the merges of byte pairs.
fn pairs(header: &Header<'_>, model: &str) -> Result<(), Defect> {
    let pre = match header.get(PRE) {
        None => None,
        Some(Value::Text(text)) => Some(*text),
        Some(other) => return Err(Defect::invalid(PRE, other.kind_name(), "text")),
    };
    let known = |name: &[u8]| {
        name.is_empty() || PRE_TOKENIZERS.iter().any(|known| known.as_bytes() == name)
    };
    if let Some(name) = pre.filter(|name| model != "gemma4" && !known(name)) {
        return Err(Defect::invalid(
            PRE,
            shown(&Value::Text(name)),
            "a way of cutting texts that this llama.cpp knows",
        ));
    }
    let merges = array(header, MERGES, &[Kind::Text])?;
    if merges.is_none() && pre != Some(b"kimi-k2") {
        return Err(Defect::missing(MERGES));
    }
    Ok(())
}

/// Reads an array of one of the given types.
fn array<'a>(header: &Header<'a>, key: &str, kinds: &[Kind]) -> Result<Option<Array<'a>>, Defect> {
    match header.get(key) {
        None => Ok(None),
        Some(Value::Array(array)) if kinds.contains(&array.kind) => Ok(Some(*array)),
        Some(other) => {
            let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            let limit = format!("an array of {}", names.join(" or "));
            Err(Defect::invalid(key, shown(other), limit))
        }
    }
}

/// A token as llama.cpp reads it: up to the first zero byte. Empty tokens get a unique text.
fn as_read(index: usize, token: &[u8]) -> Cow<'_, [u8]> {
    let end = token.iter().position(|&byte| byte == 0);
    match token.get(..end.unwrap_or(token.len())) {
        None | Some([]) => Cow::Owned(format!("[EMPTY_{index}]").into_bytes()),
        Some(text) => Cow::Borrowed(text),
    }
}

/// Checks that every byte that begins a token is also a token. If llama.cpp finds no token at a
/// position of a text, it loops forever.
fn first_bytes(tokens: &Array<'_>) -> Result<(), Defect> {
    let mut alone = [false; 256];
    let mut longer = [None; 256];
    for (index, token) in tokens.texts().enumerate() {
        match unescaped(&as_read(index, token))[..] {
            [] => {}
            [byte] => alone[usize::from(byte)] = true,
            [byte, ..] => {
                longer[usize::from(byte)].get_or_insert(index);
            }
        }
    }
    for (byte, (alone, longer)) in alone.iter().zip(longer).enumerate() {
        if let Some(index) = longer.filter(|_| !alone) {
            let item = format!("{TOKENS}[{index}]");
            let value = format!("a token that begins with byte {byte}");
            return Err(Defect::invalid(
                &item,
                value,
                "beside a token of that byte alone",
            ));
        }
    }
    Ok(())
}

/// The bytes of an `rwkv` token (`llama_unescape_rwkv_token`).
fn unescaped(token: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.iter().copied();
    let digit = |byte: u8| byte.wrapping_sub(if byte >= b'a' { b'a' - 10 } else { b'0' });
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            None => break,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'x') => match (rest.next(), rest.next()) {
                (Some(high), Some(low)) => (digit(high) << 4).wrapping_add(digit(low)),
                _ => break,
            },
            Some(other) => other,
        });
    }
    bytes
}

/// Checks that no two tokens are equal.
fn unique(tokens: &Array<'_>) -> Result<(), Defect> {
    let mut seen: HashSet<Cow<'_, [u8]>> = HashSet::with_capacity(tokens.count as usize);
    for (index, token) in tokens.texts().enumerate() {
        let text = as_read(index, token);
        if seen.contains(&text) {
            let item = format!("{TOKENS}[{index}]");
            let value = String::from_utf8_lossy(&text).into_owned();
            return Err(Defect::invalid(
                &item,
                value,
                "a text that no other token has",
            ));
        }
        seen.insert(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_rwkv_are_unescaped_as_llama_cpp_does() {
        for (token, bytes) in [
            (&b"a"[..], &b"a"[..]),
            (b"\\x00\\xff", b"\x00\xff"),
            (b"\\t\\n\\r\\\\\\'", b"\t\n\r\\'"),
            (b"a\\", b"a"),
            (b"a\\x4", b"a"),
        ] {
            assert_eq!(unescaped(token), bytes, "{token:?}");
        }
    }
}
