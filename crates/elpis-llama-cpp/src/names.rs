//! The names that are checked before llama.cpp sees a file are those that it knows.

use std::io::Write as _;

use elpis_backend::gguf_names::{
    DECODERS, DIFFUSERS, DRAFT_PROBED, DRAFTERS, EMBEDDERS, PRE_TOKENIZERS, RECURRENT, WITHOUT_ROPE,
};
use elpis_backend::{BackendError, LoadOptions, ModelOptions, ModelSource, ModelTrust};

use super::LlamaCpp;

const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    let mut bytes = [
        TEXT.to_le_bytes().to_vec(),
        (texts.len() as u64).to_le_bytes().to_vec(),
    ]
    .concat();
    bytes.extend(texts.iter().flat_map(|&one| text(one)));
    bytes
}

/// What llama.cpp says of a file that has no tensors.
fn refusal(pairs: &[(&str, u32, Vec<u8>)]) -> String {
    let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((pairs.len() as u64).to_le_bytes());
    for (key, kind, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let loaded = LlamaCpp::load(&LoadOptions::new(
        ModelOptions {
            trust: ModelTrust::Trust,
            ..ModelOptions::default()
        },
        ModelSource::File(file.path().to_owned()),
    ));
    match loaded {
        Err(BackendError::Load { reason, .. } | BackendError::Assertion { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was loaded"),
    }
}

#[test]
fn llama_cpp_knows_every_architecture() {
    let unknown = "unknown model architecture";
    let of = |name: &str| refusal(&[("general.architecture", TEXT, text(name))]);
    assert!(of("no-such").contains(unknown));
    let all = DECODERS
        .iter()
        .chain(&EMBEDDERS)
        .chain(&DIFFUSERS)
        .chain(&DRAFTERS);
    for name in all {
        let reason = of(name);
        assert!(!reason.contains(unknown), "{name}: {reason}");
    }
    for name in WITHOUT_ROPE.iter().chain(&RECURRENT).chain(&DRAFT_PROBED) {
        assert!(DECODERS.contains(name), "{name}");
    }
}

#[test]
fn llama_cpp_knows_every_way_of_cutting_texts() {
    let number = |number: u32| number.to_le_bytes().to_vec();
    let unknown = "unknown pre-tokenizer type";
    let of = |name: &str| {
        refusal(&[
            ("general.architecture", TEXT, text("llama")),
            ("llama.context_length", U32, number(64)),
            ("llama.embedding_length", U32, number(64)),
            ("llama.block_count", U32, number(1)),
            ("llama.feed_forward_length", U32, number(64)),
            ("llama.attention.head_count", U32, number(2)),
            (
                "llama.attention.layer_norm_rms_epsilon",
                F32,
                1e-5_f32.to_le_bytes().to_vec(),
            ),
            ("tokenizer.ggml.model", TEXT, text("gpt2")),
            ("tokenizer.ggml.pre", TEXT, text(name)),
            ("tokenizer.ggml.tokens", ARRAY, texts(&["a", "b", "ab"])),
            ("tokenizer.ggml.merges", ARRAY, texts(&["a b"])),
        ])
    };
    assert!(of("no-such").contains(unknown), "{}", of("no-such"));
    for name in PRE_TOKENIZERS {
        let reason = of(name);
        assert!(!reason.contains(unknown), "{name}: {reason}");
    }
}
