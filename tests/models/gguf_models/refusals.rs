//! Refused files, each with its defect.

use std::fs;

use elpis::backend::{BackendError, GgufKind, check_gguf};

use super::file::{GgufFile, TEXT, Tensor, Value};
use super::{data, use_tokenizer, written};

/// A model of the tests after a change, and what is said of it.
pub(super) fn refused(change: impl FnOnce(&mut GgufFile)) -> BackendError {
    let mut file = GgufFile::read(&fs::read(data("qwen2.gguf")).unwrap());
    change(&mut file);
    refused_bytes(&file.write())
}

fn refused_bytes(bytes: &[u8]) -> BackendError {
    let folder = tempfile::tempdir().unwrap();
    check_gguf(&written(&folder, 0, bytes)).unwrap_err()
}

#[test]
fn files_of_other_kinds_are_called_what_they_are() {
    let type_is =
        |kind: &'static str| move |file: &mut GgufFile| file.set("general.type", Value::text(kind));
    let architecture_is = |name: &'static str| {
        move |file: &mut GgufFile| file.set("general.architecture", Value::text(name))
    };
    let key_is = |key: &'static str, value: Value| move |file: &mut GgufFile| file.set(key, value);
    let part = |number: u16| {
        move |file: &mut GgufFile| {
            file.set("split.no", Value::Number(2, number.to_le_bytes().into()));
            file.set("split.count", Value::Number(2, 3_u16.to_le_bytes().into()));
        }
    };
    let cases: Vec<(GgufKind, BackendError)> = vec![
        (GgufKind::Adapter, refused(type_is("adapter"))),
        (GgufKind::ImportanceMatrix, refused(type_is("imatrix"))),
        (
            GgufKind::ImportanceMatrix,
            refused(|file| {
                *file = GgufFile {
                    metadata: Vec::new(),
                    tensors: Vec::new(),
                    header: 0,
                };
                file.set("general.type", Value::text("imatrix"));
            }),
        ),
        (GgufKind::Projector, refused(type_is("mmproj"))),
        (GgufKind::Projector, refused(architecture_is("clip"))),
        (
            GgufKind::ControlVector,
            refused(architecture_is("controlvector")),
        ),
        (GgufKind::Embedder, refused(architecture_is("nomic-bert"))),
        (
            GgufKind::Embedder,
            refused(architecture_is("gemma-embedding")),
        ),
        (
            GgufKind::Embedder,
            refused(key_is("qwen2.attention.causal", Value::Number(7, vec![0]))),
        ),
        (GgufKind::EncoderDecoder, refused(architecture_is("t5"))),
        (
            GgufKind::AudioDecoder,
            refused(architecture_is("wavtokenizer-dec")),
        ),
        (GgufKind::Diffuser, refused(architecture_is("llada"))),
        (GgufKind::Drafter, refused(architecture_is("eagle3"))),
        (GgufKind::Vocabulary, refused(|file| file.tensors.clear())),
        (
            GgufKind::NoVocabulary,
            refused(key_is("tokenizer.ggml.model", Value::text("none"))),
        ),
        (
            GgufKind::Part {
                number: 3,
                count: 3,
            },
            refused(part(2)),
        ),
    ];
    for (kind, error) in cases {
        let BackendError::OtherKind { kind: found, .. } = &error else {
            panic!("{kind}: {error}");
        };
        assert_eq!(*found, kind);
        assert!(error.to_string().contains(&kind.to_string()), "{error}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_wrong_is_named_with_its_value_and_limit() {
    let set = |key: &'static str, value: Value| move |file: &mut GgufFile| file.set(key, value);
    let tensor = |name: &'static str, change: fn(&mut Tensor)| {
        move |file: &mut GgufFile| {
            let found = file
                .tensors
                .iter_mut()
                .find(|tensor| tensor.name == name.as_bytes());
            let found = found.unwrap();
            change(found);
            found.fill();
        }
    };
    let cases: Vec<(BackendError, &str, &str, &str)> = vec![
        (
            refused(set("general.architecture", Value::text("qwen99"))),
            "general.architecture",
            "qwen99",
            "llama.cpp",
        ),
        (
            refused(set("qwen2.block_count", Value::u32(0))),
            "qwen2.block_count",
            "0",
            "from 1 to 512",
        ),
        (
            refused(set("qwen2.block_count", Value::text("4"))),
            "qwen2.block_count",
            "text",
            "u32",
        ),
        (
            refused(|file| file.remove("qwen2.context_length")),
            "qwen2.context_length",
            "missing",
            "there",
        ),
        (
            refused(set("qwen2.attention.head_count", Value::u32(0))),
            "qwen2.attention.head_count",
            "0",
            "at least 1",
        ),
        (
            refused(set("qwen2.attention.head_count_kv", Value::u32(3))),
            "qwen2.attention.head_count_kv",
            "3",
            "divisor",
        ),
        (
            refused(set(
                "qwen2.attention.layer_norm_rms_epsilon",
                Value::Number(6, (-1_f32).to_le_bytes().into()),
            )),
            "qwen2.attention.layer_norm_rms_epsilon",
            "-1",
            "from 0 to 1",
        ),
        (
            refused(set("qwen2.rope.dimension_count", Value::u32(7))),
            "qwen2.rope.dimension_count",
            "7",
            "even",
        ),
        (
            refused(set("qwen2.expert_used_count", Value::u32(2))),
            "qwen2.expert_used_count",
            "2",
            "from 0 to 0",
        ),
        (
            refused(set("qwen2.nextn_predict_layers", Value::u32(99))),
            "qwen2.nextn_predict_layers",
            "99",
            "from 0",
        ),
        (
            refused(set("tokenizer.ggml.model", Value::text("x"))),
            "tokenizer.ggml.model",
            "x",
            "one of llama",
        ),
        (
            refused(set("tokenizer.ggml.pre", Value::text("x"))),
            "tokenizer.ggml.pre",
            "x",
            "llama.cpp",
        ),
        (
            refused(|file| file.remove("tokenizer.ggml.merges")),
            "tokenizer.ggml.merges",
            "missing",
            "there",
        ),
        (
            refused(set("tokenizer.ggml.eos_token_id", Value::u32(260))),
            "tokenizer.ggml.eos_token_id",
            "260",
            "below 260",
        ),
        (
            refused(set("tokenizer.ggml.scores", Value::Array(6, Vec::new()))),
            "tokenizer.ggml.scores",
            "0",
            "260",
        ),
        (
            refused(|file| {
                let Some(Value::Array(_, tokens)) = file.get("tokenizer.ggml.tokens") else {
                    unreachable!()
                };
                let mut tokens = tokens.clone();
                tokens[9] = tokens[8].clone();
                file.set("tokenizer.ggml.tokens", Value::Array(TEXT, tokens));
            }),
            "tokenizer.ggml.tokens[9]",
            "",
            "no other token",
        ),
        (
            refused(|file| {
                use_tokenizer(file, "llama");
                file.set("tokenizer.ggml.model", Value::text("rwkv"));
            }),
            "tokenizer.ggml.tokens[0]",
            "begins with byte 60",
            "that byte alone",
        ),
        (
            refused(tensor("blk.1.attn_norm.weight", |tensor| tensor.kind = 1)),
            "tensor blk.1.attn_norm.weight",
            "of type F16",
            "F32",
        ),
        (
            refused(tensor("blk.1.attn_q.weight", |tensor| tensor.kind = 26)),
            "tensor blk.1.attn_q.weight",
            "of type I32",
            "quantised",
        ),
        (
            refused(tensor("token_embd.weight", |tensor| tensor.shape[1] += 1)),
            "rows of tensor token_embd.weight",
            "261",
            "260",
        ),
        (
            refused(tensor("blk.1.attn_q.weight", |tensor| {
                tensor.offset = Some(64);
            })),
            "tensor blk.1.attn_q.weight",
            "at 64",
            "at ",
        ),
        (
            refused(|file| {
                file.tensors
                    .retain(|tensor| tensor.name != b"token_embd.weight");
            }),
            "tensor token_embd.weight",
            "missing",
            "there",
        ),
        (
            refused(|file| {
                *file = GgufFile::read(&fs::read(data("phi3.gguf")).unwrap());
                file.tensors
                    .retain(|tensor| tensor.name != b"blk.1.attn_qkv.weight");
            }),
            "tensor blk.1.attn_qkv.weight",
            "missing",
            "there",
        ),
        (
            refused(|file| {
                *file = GgufFile::read(&fs::read(data("qwen35.gguf")).unwrap());
                file.set("qwen35.full_attention_interval", Value::u32(0));
            }),
            "qwen35.full_attention_interval",
            "0",
            "from 1 to 512",
        ),
        (
            refused(tensor("blk.1.attn_q.weight", |tensor| {
                tensor.name = b"blk.9.attn_q.weight".into();
            })),
            "a tensor",
            "blk.9.attn_q.weight",
            "below",
        ),
    ];
    for (error, item, value, limit) in cases {
        let BackendError::InvalidModel {
            item: found,
            value: is,
            limit: may_be,
            ..
        } = &error
        else {
            panic!("{item}: {error}");
        };
        assert_eq!(found, item);
        assert!(is.contains(value) && may_be.contains(limit), "{error}");
    }
}

#[test]
fn broken_files_are_called_damaged() {
    let whole = fs::read(data("qwen2.gguf")).unwrap();
    let of_version = |version: [u8; 4]| [b"GGUF", &version[..], &whole[8..]].concat();
    for (bytes, words) in [
        (whole[..whole.len() - 64].to_vec(), "cut short"),
        (whole[..1000].to_vec(), "are left"),
        (b"GGUF".to_vec(), "are left"),
        (of_version([0, 0, 0, 3]), "big-endian"),
        (of_version([1, 0, 0, 0]), "must be 2 or 3"),
    ] {
        match refused_bytes(&bytes) {
            BackendError::DamagedModel { reason, .. } => {
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{words}: {other}"),
        }
    }
    let twice = refused(|file| {
        let first = file.metadata[0].clone();
        file.metadata.push(first);
    });
    assert!(
        twice
            .to_string()
            .contains("\"general.architecture\" occurs twice"),
        "{twice}"
    );
    for bytes in [&b""[..], b"GG", b"not a model"] {
        assert!(matches!(
            refused_bytes(bytes),
            BackendError::NotAModel { .. }
        ));
    }
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 77\n";
    let BackendError::LfsPointer { size, .. } = refused_bytes(pointer) else {
        panic!("a pointer");
    };
    assert_eq!(size, Some(77));
    let folder = tempfile::tempdir().unwrap();
    let error = check_gguf(folder.path()).unwrap_err();
    assert!(matches!(error, BackendError::Unreadable { .. }), "{error}");
}
