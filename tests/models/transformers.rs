//! The suite of all backends on libtorch, and what only that backend is asked:
//! which Hugging Face folders it refuses.

#[allow(clippy::duplicate_mod, reason = "the suite runs on each backend")]
#[path = "suite/all.rs"]
mod suite;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use elpis::backend::{BackendError, BackendKind, BundledModel};
use elpis::inference::KvSnapshotError;
use elpis::settings::{SettingsError, TorchDtype};
use elpis::{Elpis, EngineError, Error};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use suite::runtime::{say, settings, start};
use suite::turns::pasts_belong_to_weights;
use tempfile::TempDir;

const BACKEND: BackendKind = BackendKind::Transformers;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Type, shape and bytes of each tensor of a file.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A copy of a checkpoint that is damaged before it is loaded.
struct Folder {
    folder: TempDir,
}

impl Folder {
    /// Copies a folder of this repository.
    fn copy(of: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        Self { folder }
    }

    fn tiny() -> Self {
        Self::copy("crates/elpis-backend/models/elpis-tiny")
    }

    /// A random model in four files.
    fn in_shards() -> Self {
        Self::copy("tests/data/checkpoints/mistral")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn remove(self, name: &str) -> Self {
        fs::remove_file(self.at(name)).unwrap();
        self
    }

    fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.at(name), bytes).unwrap();
        self
    }

    /// Keeps the first bytes of a file.
    fn cut(self, name: &str, length: impl FnOnce(usize) -> usize) -> Self {
        let bytes = fs::read(self.at(name)).unwrap();
        let length = length(bytes.len());
        self.write(name, &bytes[..length])
    }

    /// Sets a field of a JSON file; null removes it.
    fn set(self, name: &str, field: &str, value: Value) -> Self {
        let text = fs::read(self.at(name)).unwrap();
        let mut object: Value = serde_json::from_slice(&text).unwrap();
        let fields = object.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(field).unwrap();
        } else {
            fields.insert(field.to_owned(), value);
        }
        self.write(name, object.to_string())
    }

    fn config(self, field: &str, value: Value) -> Self {
        self.set("config.json", field, value)
    }

    /// Rewrites the weights.
    fn weights(self, change: impl FnOnce(&mut Tensors)) -> Self {
        let bytes = fs::read(self.at(WEIGHTS)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Tensors = file
            .iter()
            .map(|(name, t)| {
                let held = (t.dtype(), t.shape().to_vec(), t.data().to_vec());
                (name.to_owned(), held)
            })
            .collect();
        change(&mut tensors);
        let views = tensors.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        self.write(WEIGHTS, bytes)
    }
}

async fn start_at(path: &Path) -> Result<Elpis, Error> {
    let mut settings = settings();
    settings.model.path = Some(path.display().to_string());
    Elpis::start(settings).await
}

/// Whether the error names this file and item and gives a reason with these
/// words.
async fn assert_refused(folder: Folder, file: &str, item: &str, words: &[&str]) {
    let error = start_at(folder.folder.path()).await.unwrap_err();
    let Error::Backend(BackendError::Checkpoint {
        path,
        item: found,
        reason,
    }) = &error
    else {
        panic!("{item} of {file}: {error:?}");
    };
    assert_eq!((path, found.as_str()), (&folder.at(file), item), "{error}");
    for word in words {
        assert!(reason.contains(word), "{error} lacks {word}");
    }
}

async fn assert_no_model(path: &Path, words: &str) {
    let error = start_at(path).await.unwrap_err();
    assert!(
        matches!(&error, Error::Backend(BackendError::NotAModel { path: named, found, .. })
            if named.starts_with(path) && found.contains(words)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_folder_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let missing = start_at(&empty.path().join("none")).await.unwrap_err();
    assert!(
        matches!(
            &missing,
            Error::Settings(SettingsError::MissingModel { path }) if path.ends_with("none")
        ),
        "{missing:?}"
    );
    assert_no_model(empty.path(), "config.json").await;
    let tiny = Folder::tiny();
    assert_no_model(&tiny.at(WEIGHTS), "a single file").await;
    let gguf = empty.path().join("model.gguf");
    fs::write(&gguf, BundledModel::gguf().unwrap()).unwrap();
    assert_no_model(&gguf, "a single file").await;
    let without = tiny.remove(WEIGHTS);
    assert_no_model(without.folder.path(), WEIGHTS).await;
    for name in ["config.json", WEIGHTS] {
        let odd = Folder::tiny().remove(name);
        fs::create_dir(odd.at(name)).unwrap();
        let error = start_at(odd.folder.path()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Backend(BackendError::Unreadable { path, .. })
                if *path == odd.at(name)),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_number_type_is_refused() {
    let with = |dtype: TorchDtype| {
        let mut settings = settings();
        settings.model.torch_dtype = dtype;
        start(settings)
    };
    // Both have two bytes for each number.
    let (half, brain) = (
        with(TorchDtype::Float16).await,
        with(TorchDtype::Bfloat16).await,
    );
    assert!(!say(&half, "a", 1).await.is_empty());
    let bytes = half.session("a").unwrap().save_kv().await.unwrap().unwrap();
    let session = brain.session("a").unwrap();
    let error = session.restore_kv(bytes.clone()).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Engine(EngineError::KvSnapshot(KvSnapshotError::OtherModel { .. }))
        ),
        "{error:?}"
    );
    let held = half.session("b").unwrap().restore_kv(bytes).await.unwrap();
    assert!(held > 10, "{held}");
    half.shutdown().await;
    brain.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pasts_of_a_folder_with_other_weights_are_refused() {
    // Written anew, so that nothing but the weights is other after the change.
    let folder = Folder::tiny().weights(|_| ());
    let path = folder.folder.path().to_owned();
    let mut folder = Some(folder);
    pasts_belong_to_weights(&path, || {
        let change = |tensors: &mut Tensors| {
            let tensors = tensors.values_mut().map(|(_, _, bytes)| bytes);
            let largest = tensors.max_by_key(|bytes| bytes.len()).unwrap();
            largest.iter_mut().step_by(2).for_each(|byte| *byte ^= 1);
        };
        folder = folder.take().map(|folder| folder.weights(change));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_folder_works() {
    let folder = Folder::tiny();
    let elpis = start_at(folder.folder.path()).await.unwrap();
    let bundled = start(settings()).await;
    let text = say(&elpis, "a", 1).await;
    assert_eq!(text, say(&bundled, "a", 1).await);
    elpis.shutdown().await;
    bundled.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_not_supported_names_its_field() {
    for (field, value, words) in [
        ("model_type", json!("mamba"), &["mamba", "llama"] as &[_]),
        ("model_type", json!(null), &["missing"]),
        ("model_type", json!(7), &["7"]),
        (
            "quantization_config",
            json!({"quant_method": "gptq", "bits": 4}),
            &["gptq", "GGUF"],
        ),
        (
            "quantization_config",
            json!({"load_in_4bit": true}),
            &["unknown"],
        ),
        ("hidden_size", json!(null), &["missing"]),
        ("hidden_size", json!("wide"), &["wide"]),
        ("hidden_size", json!(0), &["0"]),
        ("num_hidden_layers", json!(-1), &["-1"]),
        ("num_key_value_heads", json!(3), &["3", "4"]),
        ("hidden_act", json!("relu6"), &["relu6"]),
        ("rms_norm_eps", json!("small"), &["small"]),
        ("tie_word_embeddings", json!("yes"), &["yes"]),
        ("eos_token_id", json!("<|im_end|>"), &["<|im_end|>"]),
    ] {
        let folder = Folder::tiny().config(field, value);
        assert_refused(folder, "config.json", &format!("field `{field}`"), words).await;
    }
    let rope = json!({"rope_type": "spiral", "rope_theta": 10000.0});
    assert_refused(
        Folder::tiny().config("rope_parameters", rope),
        "config.json",
        "field `rope_parameters.rope_type`",
        &["spiral"],
    )
    .await;
    for (text, words) in [("{\"model_type\":", "JSON"), ("[]", "object"), ("", "JSON")] {
        let folder = Folder::tiny().write("config.json", text);
        assert_refused(folder, "config.json", "the file", &[words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokenizer_that_is_missing_or_damaged_is_named() {
    let file = "tokenizer.json";
    let without = Folder::tiny().remove(file);
    assert_refused(without, file, "the file", &["missing"]).await;
    let damaged = Folder::tiny().write(file, "{}");
    assert_refused(damaged, file, "the file", &["not a tokenizer"]).await;
    let cut = Folder::tiny().cut(file, |length| length / 2);
    assert_refused(cut, file, "the file", &["not JSON"]).await;
    let file = "tokenizer_config.json";
    let cut = Folder::tiny().cut(file, |length| length / 2);
    assert_refused(cut, file, "the file", &["JSON"]).await;
    let ends = json!([2, 3.5]);
    assert_refused(
        Folder::tiny().set("generation_config.json", "eos_token_id", ends),
        "generation_config.json",
        "field `eos_token_id`",
        &["3.5"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tensor_that_is_missing_or_does_not_fit_is_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let item = format!("tensor `{name}`");
    let without = Folder::tiny().weights(|tensors| drop(tensors.remove(name)));
    assert_refused(without, WEIGHTS, &item, &["missing"]).await;
    let turned = Folder::tiny().weights(|tensors| tensors.get_mut(name).unwrap().1.reverse());
    assert_refused(turned, WEIGHTS, &item, &["[128, 384]", "[384, 128]"]).await;
    for dtype in [Dtype::I16, Dtype::U16] {
        let typed = Folder::tiny().weights(|tensors| tensors.get_mut(name).unwrap().0 = dtype);
        assert_refused(typed, WEIGHTS, &item, &[&dtype.to_string(), "BF16"]).await;
    }
    let eight_bits = Folder::tiny().weights(|tensors| {
        let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
        *dtype = Dtype::F8_E4M3;
        bytes.truncate(bytes.len() / 2);
    });
    assert_refused(eight_bits, WEIGHTS, &item, &["F8_E4M3"]).await;
    let item = "tensor `model.embed_tokens.weight`";
    let longer = Folder::tiny().config("vocab_size", json!(2049));
    assert_refused(longer, WEIGHTS, item, &["[2048, 128]", "[2049, 128]"]).await;
    let item = "tensor `model.layers.6.input_layernorm.weight`";
    let deeper = Folder::tiny().config("num_hidden_layers", json!(7));
    assert_refused(deeper, WEIGHTS, item, &["missing"]).await;
    let item = "tensor `lm_head.weight`";
    let apart = Folder::tiny().config("tie_word_embeddings", json!(false));
    assert_refused(apart, WEIGHTS, item, &["missing"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_are_cut_off_or_garbage_are_refused() {
    let cuts: [fn(usize) -> usize; 3] = [|_| 0, |_| 7, |_| 500];
    for length in cuts {
        let cut = Folder::tiny().cut(WEIGHTS, length);
        assert_refused(cut, WEIGHTS, "the file", &["whole"]).await;
    }
    let whole = fs::read(Folder::tiny().at(WEIGHTS)).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    for (name, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        let end = 8 + header + to;
        let cut = Folder::tiny().write(WEIGHTS, &whole[..end - 1]);
        let held = format!("holds {} of its {} bytes", to - from - 1, to - from);
        assert_refused(cut, WEIGHTS, &format!("tensor `{name}`"), &[&held]).await;
    }
    let longer = Folder::tiny().write(WEIGHTS, [whole, vec![0; 8]].concat());
    assert_refused(longer, WEIGHTS, "the file", &["whole"]).await;
    for bytes in [[0xff; 64], [b'x'; 64]] {
        let garbage = Folder::tiny().write(WEIGHTS, bytes);
        assert_refused(garbage, WEIGHTS, "the file", &["whole"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_are_missing_or_elsewhere_are_named() {
    let whole = Folder::in_shards();
    let shard = "model-00003-of-00004.safetensors";
    start_at(whole.folder.path())
        .await
        .unwrap()
        .shutdown()
        .await;
    let item = format!("shard {shard}");
    assert_refused(whole.remove(shard), INDEX, &item, &["not in the folder"]).await;
    let cut = Folder::in_shards().cut(shard, |_| 4000);
    let item = "tensor `model.layers.1.mlp.down_proj.weight`";
    assert_refused(cut, shard, item, &["cut off"]).await;
    for (map, words) in [
        (
            json!({"model.norm.weight": "../shard.safetensors"}),
            "outside",
        ),
        (
            json!({"model.norm.weight": "/shard.safetensors"}),
            "outside",
        ),
        (json!({"model.norm.weight": 1}), "no file name"),
        (json!({}), "empty"),
        (json!("all in one"), "no object"),
        (json!(null), "missing"),
    ] {
        let folder = Folder::in_shards().set(INDEX, "weight_map", map);
        assert_refused(folder, INDEX, "field `weight_map`", &[words]).await;
    }
}
