//! What may happen to a GGUF file, by chance or by design.

mod values;

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::file::{GgufFile, Tensor, Value};
use values::{WHOLE, altered, any, others};

/// Keys that llama.cpp asks for; `%s` stands for the architecture.
const KEYS: &str = include_str!("keys.txt");

const ARCHITECTURES: [&str; 20] = [
    "llama",
    "qwen2",
    "qwen3",
    "gemma3",
    "phi3",
    "mamba",
    "mamba2",
    "rwkv7",
    "falcon-h1",
    "lfm2",
    "deepseek2",
    "gpt-oss",
    "bert",
    "t5",
    "clip",
    "gpt2",
    "bloom",
    "llama4",
    "jamba",
    "plamo2",
];
const TOKENIZERS: [&str; 14] = [
    "",
    "none",
    "no_vocab",
    "llama",
    "gpt2",
    "bert",
    "t5",
    "rwkv",
    "test",
    "plamo2",
    "hybriddna",
    "whitespace",
    "gemma4",
    "x",
];
const TEXTS: [&str; 12] = [
    "",
    "x",
    "yarn",
    "linear",
    "longrope",
    "none",
    "default",
    "llama-bpe",
    "superbpe",
    "tekken",
    "adapter",
    "<|im_start|>",
];
const TOKENS: [&[u8]; 8] = [
    b"",
    b"\xff\xfe",
    b" ",
    b"a",
    b"\0",
    b"a\0b",
    b"<|im_start|>",
    b"[EMPTY_3]",
];
const EXTRA: [&str; 13] = [
    "rope_freqs.weight",
    "output.weight",
    "token_embd.weight",
    "output_norm.bias",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "blk.0.attn_q.bias",
    "blk.0.attn_norm.bias",
    "blk.1.attn_q_norm.weight",
    "blk.0.attn_sinks.weight",
    "output.bias",
    "position_embd.weight",
    "token_types.weight",
];

/// A change of a file.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// Bits of the header.
    Flip(Vec<usize>),
    /// The file ends after so many bytes.
    Cut(usize),
    Remove(String),
    Twice(String),
    Set(String, Value),
    /// Another architecture, with the keys that go with it or without.
    Architecture(&'static str, bool),
    Kind(usize, u32),
    Shape(usize, Vec<u64>),
    Offset(usize, u64),
    RemoveTensor(usize),
    TensorTwice(usize),
    Rename(usize, Vec<u8>),
    /// A tensor with the values of another.
    Extra(&'static str, usize),
    Shorten(usize),
}

impl Mutation {
    /// The mutated file. Data is made to fit what is said of it, so that more than its size is
    /// looked at.
    pub fn of(&self, file: &GgufFile, bytes: &[u8]) -> Vec<u8> {
        let mut file = file.clone();
        match self {
            Self::Flip(bits) => {
                let mut bytes = bytes.to_vec();
                for bit in bits {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                return bytes;
            }
            Self::Cut(length) => return bytes[..*length].to_vec(),
            Self::Remove(key) => file.remove(key),
            Self::Twice(key) => {
                let value = file.get(key).unwrap().clone();
                file.metadata.push((key.clone().into_bytes(), value));
            }
            Self::Set(key, value) => file.set(key, value.clone()),
            Self::Architecture(name, with_keys) => {
                let old = format!("{}.", file.architecture());
                file.set("general.architecture", Value::text(name));
                for (key, _) in file.metadata.iter_mut().filter(|_| *with_keys) {
                    if let Some(rest) = key.strip_prefix(old.as_bytes()) {
                        *key = [name.as_bytes(), b".", rest].concat();
                    }
                }
            }
            Self::Kind(index, kind) => {
                let tensor = &mut file.tensors[*index];
                tensor.kind = *kind;
                tensor.fill();
            }
            Self::Shape(index, shape) => {
                let tensor = &mut file.tensors[*index];
                tensor.shape.clone_from(shape);
                tensor.fill();
            }
            Self::Offset(index, offset) => file.tensors[*index].offset = Some(*offset),
            Self::RemoveTensor(index) => drop(file.tensors.remove(*index)),
            Self::TensorTwice(index) => file.tensors.push(file.tensors[*index].clone()),
            Self::Rename(index, name) => file.tensors[*index].name.clone_from(name),
            Self::Extra(name, like) => {
                let tensor = Tensor {
                    name: name.as_bytes().to_vec(),
                    ..file.tensors[*like].clone()
                };
                file.tensors.retain(|old| old.name != tensor.name);
                file.tensors.push(tensor);
            }
            Self::Shorten(index) => {
                let data = &mut file.tensors[*index].data;
                data.truncate(data.len() / 2);
            }
        }
        file.write()
    }

    /// Every key and tensor wrong in each of several ways.
    pub fn every(file: &GgufFile) -> Vec<Self> {
        let mut all = Vec::new();
        for (key, value) in &file.metadata {
            let key = String::from_utf8(key.clone()).unwrap();
            all.push(Self::Remove(key.clone()));
            all.push(Self::Twice(key.clone()));
            for other in others(value) {
                all.push(Self::Set(key.clone(), other));
            }
        }
        for (index, tensor) in file.tensors.iter().enumerate() {
            all.push(Self::RemoveTensor(index));
            all.push(Self::TensorTwice(index));
            all.push(Self::Shorten(index));
            for kind in [0, 1, 2, 4, 8, 9, 15, 24, 26, 28, 30, 40, 99] {
                all.push(Self::Kind(index, kind));
            }
            for place in 0..tensor.shape.len() {
                for size in sizes(tensor.shape[place]) {
                    let mut shape = tensor.shape.clone();
                    shape[place] = size;
                    all.push(Self::Shape(index, shape));
                }
            }
            for offset in [0, 1, 32, 1 << 40, 1 << 63, u64::MAX - 31] {
                all.push(Self::Offset(index, offset));
            }
        }
        all
    }

    /// One by chance.
    pub fn random(file: &GgufFile, bytes: &[u8], random: &mut ChaCha8Rng) -> Self {
        let mut below = |n: usize| (random.next_u32() as usize) % n.max(1);
        match below(100) {
            0..20 => {
                let bits = below(4);
                Self::Flip((0..=bits).map(|_| below(file.header * 8)).collect())
            }
            20..25 => Self::Cut(below(bytes.len())),
            25..30 => Self::Architecture(ARCHITECTURES[below(ARCHITECTURES.len())], below(4) > 0),
            30..52 => {
                let (key, value) = &file.metadata[below(file.metadata.len())];
                let key = String::from_utf8(key.clone()).unwrap();
                let value = match value {
                    Value::Array(kind, values) => altered(*kind, values, &mut below),
                    Value::Text(_) if key.ends_with("tokenizer.ggml.model") => {
                        Value::text(TOKENIZERS[below(TOKENIZERS.len())])
                    }
                    other => {
                        let others = others(other);
                        others[below(others.len())].clone()
                    }
                };
                Self::Set(key, value)
            }
            52..72 => {
                let keys: Vec<_> = KEYS.lines().collect();
                let key = keys[below(keys.len())].replace("%s", &file.architecture());
                Self::Set(key, any(file, &mut below))
            }
            72..96 => {
                let index = below(file.tensors.len());
                let tensor = &file.tensors[index];
                match below(8) {
                    0 | 1 => Self::Kind(index, below(45) as u32),
                    2 | 3 => Self::Shape(index, reshaped(&tensor.shape, &mut below)),
                    4 => Self::Rename(index, renamed(file, &tensor.name, &mut below)),
                    5 => Self::RemoveTensor(index),
                    6 => Self::Offset(index, WHOLE[below(WHOLE.len())]),
                    _ => Self::Shorten(index),
                }
            }
            _ => Self::Extra(EXTRA[below(EXTRA.len())], below(file.tensors.len())),
        }
    }
}

fn sizes(old: u64) -> [u64; 9] {
    let near = [old.saturating_sub(1), old + 1, old * 2, old / 2];
    let [a, b, c, d] = near;
    [0, 1, 32, 1 << 40, 1 << 63, a, b, c, d]
}

fn reshaped(shape: &[u64], below: &mut impl FnMut(usize) -> usize) -> Vec<u64> {
    let mut shape = shape.to_vec();
    match below(8) {
        0 => shape.push([1, 2, 0][below(3)]),
        1 => shape.reverse(),
        2 => drop(shape.pop()),
        3 if shape.len() > 1 => {
            shape[0] *= shape[1];
            shape[1] = 1;
        }
        _ if shape.is_empty() => shape.push(32),
        _ => {
            let place = below(shape.len());
            shape[place] = sizes(shape[place])[below(9)];
        }
    }
    shape
}

fn renamed(file: &GgufFile, name: &[u8], below: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(name);
    match below(6) {
        0 => Vec::new(),
        1 => vec![b'a'; 70],
        2 => file.tensors[below(file.tensors.len())].name.clone(),
        3 => text.replace(".0.", ".9.").into_bytes(),
        4 => text.replace("weight", "bias").into_bytes(),
        _ => b"x".to_vec(),
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Set(key, Value::Array(kind, values)) => {
                format!("{key} = {} values of type {kind}", values.len())
            }
            other => format!("{other:?}"),
        };
        f.write_str(text.get(..160).unwrap_or(&text))
    }
}
