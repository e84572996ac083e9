//! GGUF models as they come and as they may be broken, each read in a process that it may end: no
//! good one is refused, and none ends the process.
//!
//! `ELPIS_TEST_SMOLLM2`, which the set-up tells, names a real model, and `ELPIS_TEST_GGUF_MODELS` others,
//! divided by colons. `ELPIS_TEST_GGUF_MUTATIONS` is the number of mutated files, 400 unless it is set;
//! those of real models are among them only where it is. `ELPIS_TEST_GGUF_SEED` is a seed.

mod file;
mod mutation;
mod readers;
mod refusals;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use elpis::backend::{BackendError, BundledModel, LoadOptions, check_gguf, create_backend};
use elpis::settings::{ModelSettings, ModelSource, ModelTrust};
use file::{GgufFile, TEXT, Value};
use mutation::Mutation;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use readers::{Read, read_all, serve};
use tempfile::TempDir;

use refusals::refused;

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
