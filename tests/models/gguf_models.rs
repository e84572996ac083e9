//! GGUF models as they come and as they may be broken, each read in a process that it may end: no
//! good one is refused, and none ends the process.
//!
//! `ELPIS_TEST_SMOLLM2`, which the set-up tells, names a real model, and `ELPIS_TEST_GGUF_MODELS` others,
//! divided by colons. `ELPIS_TEST_GGUF_MUTATIONS` is the number of mutated files, 400 unless it is set;
//! those of real models are among them only where it is. `ELPIS_TEST_GGUF_SEED` is a seed.

mod file;
mod mutation;
mod readers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use elpis::backend::{
    BackendError, BundledModel, GgufKind, LoadOptions, check_gguf, create_backend,
};
use elpis::settings::{ModelSettings, ModelSource, ModelTrust};
use file::{GgufFile, TEXT, Tensor, Value};
use mutation::Mutation;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use readers::{Read, read_all, serve};
use tempfile::TempDir;

/// Mutated files unless something else is asked.
const MUTATIONS: usize = 400;
/// Files that lie on the disk at once, and their bytes.
const AT_ONCE: usize = 200;
const BYTES_AT_ONCE: usize = 1 << 30;
/// Models of more bytes are real ones.
const SMALL: usize = 4 << 20;

/// A model to begin with.
struct Base {
    name: String,
    bytes: Vec<u8>,
    file: GgufFile,
}

impl Base {
    fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let file = GgufFile::read(&bytes);
        Self {
            name: name.into(),
            bytes,
            file,
        }
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/gguf")
        .join(name)
}

/// The models of the tests, the bundled one, and the same under other tokenizers.
fn bases() -> Vec<Base> {
    let mut paths: Vec<_> = fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for variable in ["ELPIS_TEST_SMOLLM2", "ELPIS_TEST_GGUF_MODELS"] {
        let further = std::env::var_os(variable).unwrap_or_default();
        paths.extend(std::env::split_paths(&further).filter(|path| !path.as_os_str().is_empty()));
    }
    let mut bases: Vec<_> = paths
        .iter()
        .map(|path| Base::new(path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    let bundled = BundledModel::gguf().unwrap().to_vec();
    bases.push(Base::new("the bundled model", bundled));
    for tokenizer in [
        "llama",
        "bert",
        "t5",
        "rwkv",
        "plamo2",
        "whitespace",
        "gemma4",
    ] {
        let mut file = GgufFile::read(&fs::read(data("qwen2.gguf")).unwrap());
        use_tokenizer(&mut file, tokenizer);
        bases.push(Base::new(format!("qwen2 with {tokenizer}"), file.write()));
    }
    bases
}

/// Gives a model of the tests, which has 260 tokens, others of another kind.
fn use_tokenizer(file: &mut GgufFile, tokenizer: &str) {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    file.set("tokenizer.ggml.model", Value::text(tokenizer));
    if matches!(tokenizer, "whitespace" | "gemma4") {
        return;
    }
    let mut tokens: Vec<String> = ["<s>", "</s>", "<unk>", "\u{2581}"]
        .map(str::to_owned)
        .into();
    let bytes = 0..=255_u8;
    match tokenizer {
        "rwkv" => tokens.extend(bytes.map(|byte| format!("\\x{byte:02x}"))),
        "bert" => tokens.extend(bytes.map(|byte| format!("\u{2581}{byte}"))),
        _ => tokens.extend(bytes.map(|byte| format!("<0x{byte:02X}>"))),
    }
    // Normal tokens, or bytes.
    let kind = if matches!(tokenizer, "bert" | "rwkv") {
        1
    } else {
        6
    };
    let types = [3_i32, 3, 2, 1].into_iter().chain([kind; 256]);
    let types = types.map(|kind| Value::Number(5, kind.to_le_bytes().to_vec()));
    let scores = (0..tokens.len()).map(|n| Value::Number(6, (-(n as f32)).to_le_bytes().to_vec()));
    file.set(
        "tokenizer.ggml.token_type",
        Value::Array(5, types.collect()),
    );
    file.set("tokenizer.ggml.scores", Value::Array(6, scores.collect()));
    let tokens = tokens.iter().map(|token| Value::text(token)).collect();
    file.set(TOKENS, Value::Array(TEXT, tokens));
    file.remove("tokenizer.ggml.merges");
    if tokenizer == "t5" {
        // A length, as many bytes of a table in which nothing is found, and a replacement.
        let map = [&1024_u32.to_le_bytes()[..], &[0; 1024], b"a\0"].concat();
        let map = map.into_iter().map(|byte| Value::Number(0, vec![byte]));
        let key = "tokenizer.ggml.precompiled_charsmap";
        file.set(key, Value::Array(0, map.collect()));
    }
}

/// A model of the tests after a change, and what is said of it.
fn refused(change: impl FnOnce(&mut GgufFile)) -> BackendError {
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

#[test]
fn a_trusted_file_is_loaded_unchecked_if_it_is_a_model_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let load = |number: usize, bytes: &[u8], trust| {
        create_backend(&LoadOptions::new(
            ModelSettings::default().n_threads(1).trust(trust),
            ModelSource::File(written(&folder, number, bytes)),
        ))
    };
    // llama.cpp takes another token for an end that no vocabulary has.
    let mut file = GgufFile::read(&fs::read(data("qwen2.gguf")).unwrap());
    file.set("tokenizer.ggml.eos_token_id", Value::u32(260));
    let bytes = file.write();
    let error = load(0, &bytes, ModelTrust::Check).err().unwrap();
    assert!(
        matches!(error, BackendError::InvalidModel { .. }),
        "{error}"
    );
    load(1, &bytes, ModelTrust::Trust).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\nsize 77\n";
    let error = load(2, pointer, ModelTrust::Trust).err().unwrap();
    assert!(matches!(error, BackendError::LfsPointer { .. }), "{error}");
    let error = load(3, b"not a model", ModelTrust::Trust).err().unwrap();
    assert!(matches!(error, BackendError::NotAModel { .. }), "{error}");
}

#[test]
fn what_a_file_says_acts_on_no_terminal() {
    let odd = "x\u{1b}[2J\u{202e}y";
    for error in [
        refused(|file| file.set("general.architecture", Value::text(odd))),
        refused(|file| file.set("tokenizer.ggml.pre", Value::text(odd))),
        refused(|file| file.tensors[1].name = format!("blk.99.{odd}").into()),
        refused(|file| {
            file.metadata
                .extend([(odd.into(), Value::u32(1)), (odd.into(), Value::u32(1))]);
        }),
    ] {
        let text = error.to_string();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn parts_of_a_model_are_read_together() {
    let whole = GgufFile::read(&fs::read(data("qwen2.gguf")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = |number: usize| folder.path().join(format!("m-{number:05}-of-00002.gguf"));
    let middle = whole.tensors.len() / 2;
    let count = i32::try_from(whole.tensors.len()).unwrap();
    let write = |change: fn(&mut GgufFile)| {
        for (number, tensors) in [&whole.tensors[..middle], &whole.tensors[middle..]]
            .into_iter()
            .enumerate()
        {
            let mut file = whole.clone();
            file.tensors = tensors.to_vec();
            if number == 1 {
                file.metadata.clear();
            }
            let place = u16::try_from(number).unwrap();
            file.set("split.no", Value::Number(2, place.to_le_bytes().into()));
            file.set("split.count", Value::Number(2, 2_u16.to_le_bytes().into()));
            file.set(
                "split.tensors.count",
                Value::Number(5, count.to_le_bytes().into()),
            );
            if number == 1 {
                change(&mut file);
            }
            fs::write(path(number + 1), file.write()).unwrap();
        }
    };
    write(|_| {});
    assert_eq!(read_all(&[path(1)]), [Read::Good]);
    let named = |number: usize| {
        let error = check_gguf(&path(number)).unwrap_err();
        error.to_string()
    };
    assert!(
        named(2).contains("part 2 of a model in 2 files"),
        "{}",
        named(2)
    );
    let alone = folder.path().join("alone.gguf");
    fs::copy(path(1), &alone).unwrap();
    let error = check_gguf(&alone).unwrap_err().to_string();
    assert!(error.contains("NAME-00001-of-00002.gguf"), "{error}");
    // What is wrong with the second is told of the second.
    write(|file| drop(file.tensors.pop()));
    assert!(named(1).contains("split.tensors.count"), "{}", named(1));
    write(|file| file.set("split.no", Value::Number(2, vec![0, 0])));
    assert!(
        named(1).contains("00002-of-00002") && named(1).contains("split.no"),
        "{}",
        named(1)
    );
    fs::write(
        path(2),
        "version https://git-lfs.github.com/spec/v1\nsize 9\n",
    )
    .unwrap();
    assert!(named(1).contains("Git LFS pointer"), "{}", named(1));
    fs::remove_file(path(2)).unwrap();
    assert!(named(1).contains("00002-of-00002"), "{}", named(1));
}

#[test]
#[ignore = "run by other tests"]
fn reads_files() {
    serve();
}

#[test]
fn no_good_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bases = bases();
    let paths: Vec<_> = bases
        .iter()
        .enumerate()
        .map(|(number, base)| written(&folder, number, &base.bytes))
        .collect();
    for (base, read) in bases.iter().zip(read_all(&paths)) {
        assert_eq!(read, Read::Good, "{}", base.name);
    }
}

#[test]
fn no_mutation_ends_the_process() {
    let number = |name: &str| std::env::var(name).map(|text| text.parse::<usize>().unwrap());
    let asked = number("ELPIS_TEST_GGUF_MUTATIONS");
    let count = asked.clone().unwrap_or(MUTATIONS);
    let mut random = ChaCha8Rng::seed_from_u64(number("ELPIS_TEST_GGUF_SEED").unwrap_or(1) as u64);
    let mut bases = bases();
    bases.retain(|base| asked.is_ok() || base.bytes.len() <= SMALL);
    let every: Vec<_> = bases
        .iter()
        .map(|base| Mutation::every(&base.file))
        .collect();
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut ended = Vec::new();
    let mut done = 0;
    while done < count {
        let folder = tempfile::tempdir().unwrap();
        let mut what = Vec::new();
        let mut paths = Vec::new();
        let mut bytes = 0;
        for place in 0..AT_ONCE.min(count - done) {
            if bytes > BYTES_AT_ONCE {
                break;
            }
            let at = random.next_u32() as usize % bases.len();
            let base = &bases[at];
            let mutation = if random.next_u32().is_multiple_of(2) {
                Mutation::random(&base.file, &base.bytes, &mut random)
            } else {
                every[at][random.next_u32() as usize % every[at].len()].clone()
            };
            let mutated = mutation.of(&base.file, &base.bytes);
            bytes += mutated.len();
            paths.push(written(&folder, place, &mutated));
            what.push(format!("{}: {mutation}", base.name));
        }
        for (what, read) in what.into_iter().zip(read_all(&paths)) {
            *seen.entry(read.name()).or_default() += 1;
            if let Read::Ended(how) = read {
                ended.push(format!("{what}: {how}"));
            }
        }
        done += paths.len();
    }
    println!("{done} mutated files: {seen:?}");
    assert!(
        ended.is_empty(),
        "{} of {done}:\n{}",
        ended.len(),
        ended.join("\n")
    );
}

fn written(folder: &TempDir, number: usize, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(format!("{number}.gguf"));
    fs::write(&path, bytes).unwrap();
    path
}
