//! GGUF models as they come and as they may be broken, each read in a process that it may end: no
//! good one is refused, and none ends the process.
//!
//! `ELPIS_GGUF_MUTATIONS` is the number of mutated files, `ELPIS_GGUF_MODELS` names further models
//! to begin with, divided by colons, and `ELPIS_GGUF_SEED` a seed.

#[path = "support/gguf_file.rs"]
mod gguf_file;
#[path = "support/gguf_mutation.rs"]
mod gguf_mutation;
#[path = "support/gguf_readers.rs"]
mod gguf_readers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use elpis::backend::{BackendError, BundledModel, GgufKind, check_gguf};
use gguf_file::{GgufFile, TEXT, Value};
use gguf_mutation::Mutation;
use gguf_readers::{Read, read_all, serve};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tempfile::TempDir;

/// Mutated files unless something else is asked.
const MUTATIONS: usize = 400;
/// Files that lie on the disk at once.
const AT_ONCE: usize = 200;

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
    let further = std::env::var_os("ELPIS_GGUF_MODELS").unwrap_or_default();
    paths.extend(std::env::split_paths(&further).filter(|path| !path.as_os_str().is_empty()));
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
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let count = number("ELPIS_GGUF_MUTATIONS", MUTATIONS);
    let mut random = ChaCha8Rng::seed_from_u64(number("ELPIS_GGUF_SEED", 1) as u64);
    let bases = bases();
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
        for place in 0..AT_ONCE.min(count - done) {
            let at = random.next_u32() as usize % bases.len();
            let base = &bases[at];
            let mutation = if random.next_u32().is_multiple_of(2) {
                Mutation::random(&base.file, &base.bytes, &mut random)
            } else {
                every[at][random.next_u32() as usize % every[at].len()].clone()
            };
            paths.push(written(
                &folder,
                place,
                &mutation.of(&base.file, &base.bytes),
            ));
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
