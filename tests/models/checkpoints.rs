//! Checkpoints that Hugging Face's transformers wrote compute here what they
//! compute there, one small random model for each architecture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::support::hardware;
use elpis::backend::{Backend, BackendKind, Batch, LoadOptions, Token, create_backend};
use elpis::settings::{ModelSettings, ModelSource, TorchDtype};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringPlan, SteeringVector,
    VectorFormat, write as write_vector,
};
use safetensors::{Dtype, SafeTensors};

/// What transformers computed of a checkpoint.
struct Expected {
    bytes: Vec<u8>,
}

impl Expected {
    fn read(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        Self { bytes }
    }

    fn bytes_of(&self, name: &str, dtype: Dtype) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.bytes_of(name, Dtype::F32)
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    fn tokens(&self, name: &str) -> Vec<Token> {
        self.bytes_of(name, Dtype::I64)
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as Token)
            .collect()
    }
}

fn load(folder: &Path, dtype: TorchDtype) -> Box<dyn Backend> {
    create_backend(
        &LoadOptions::new(
            ModelSettings::default()
                .backend(BackendKind::Transformers)
                .torch_dtype(dtype),
            ModelSource::Folder(folder.to_owned()),
        )
        .n_sequences(3)
        .devices(hardware::devices(BackendKind::Transformers)),
    )
    .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// The plan that adds the expected vector as it is.
fn plan(backend: &dyn Backend, expected: &Expected) -> Arc<SteeringPlan> {
    let facts = backend.facts();
    let layer = expected.tokens("layer")[0] as usize;
    let vector = SteeringVector::layered([(layer, expected.floats("vector"))].into()).unwrap();
    let files = vec![LibraryFile {
        name: "calm.safetensors".into(),
        bytes: write_vector(VectorFormat::Safetensors, &vector).unwrap(),
    }];
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let library = SteeringLibrary::build(files, &context).unwrap();
    let unclamped = BlendOptions {
        max_residual_fraction: 1000.0,
        ..BlendOptions::default()
    };
    let plan = library.blend([("calm", 1.0)].into_iter(), &unclamped);
    Arc::new(plan.unwrap())
}

/// The logits after each token of a prompt, evaluated in one batch.
fn logits(
    backend: &mut dyn Backend,
    tokens: &[Token],
    plan: Option<&Arc<SteeringPlan>>,
) -> Vec<f32> {
    let mut batch = Batch::default();
    for (position, token) in (0..).zip(tokens) {
        batch.push(1, position, std::slice::from_ref(token), true, plan);
    }
    backend.decode(&batch).unwrap();
    let rows = (0..tokens.len()).flat_map(|row| backend.logits(row).unwrap().to_vec());
    let rows = rows.collect();
    backend.truncate(1, 0).unwrap();
    rows
}

/// Writes greedily in two sequences side by side, one of them ahead.
fn greedy(
    backend: &mut dyn Backend,
    prompt: &[Token],
    count: usize,
    plan: Option<&Arc<SteeringPlan>>,
) -> [Vec<Token>; 2] {
    const AHEAD: usize = 5;
    let mut written = [Vec::new(), Vec::new()];
    for step in 0..count + AHEAD {
        let mut batch = Batch::default();
        let mut rows = Vec::new();
        for (index, begin) in [(0, 0), (1, AHEAD)] {
            let sequence = index as u32 + 1;
            let done: &Vec<Token> = &written[index];
            if step == begin {
                batch.push(sequence, 0, prompt, true, plan);
            } else if step > begin && done.len() < count {
                let position = prompt.len() + done.len() - 1;
                let last = &done[done.len() - 1..];
                batch.push(sequence, position as u32, last, true, plan);
            } else {
                continue;
            }
            rows.push((index, batch.len() - 1));
        }
        backend.decode(&batch).unwrap();
        for (index, row) in rows {
            let logits = backend.logits(row).unwrap();
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            written[index].push(best.unwrap() as Token);
        }
    }
    for sequence in 1..3 {
        backend.truncate(sequence, 0).unwrap();
    }
    written
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, apart| {
        if apart.is_nan() {
            f32::NAN
        } else {
            most.max(apart)
        }
    })
}

/// Compares all checkpoints of a folder with what was expected of them; in
/// bfloat16 the logits may differ by `coarse`.
fn compare(folder: &Path, count: usize, coarse: f32) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.safetensors").is_file())
        .collect();
    names.sort();
    assert_eq!(names.len(), count, "checkpoints");
    let mut wrong = Vec::new();
    for folder in names {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let expected = Expected::read(&folder);
        let tokens = expected.tokens("tokens");
        let mut measured = format!("{name:<14}");
        for (dtype, short, most) in [
            (TorchDtype::Float32, "f32", 1e-4),
            (TorchDtype::Bfloat16, "bf16", coarse),
        ] {
            let mut backend = load(&folder, dtype);
            let plan = plan(backend.as_ref(), &expected);
            for (suffix, plan) in [("plain", None), ("steered", Some(&plan))] {
                let wanted = expected.floats(&format!("{short}.{suffix}.logits"));
                let apart = distance(&logits(backend.as_mut(), &tokens, plan), &wanted);
                let _ = write!(measured, "  {short} {suffix} {apart:.1e}");
                if apart.is_nan() || apart > most {
                    wrong.push(format!("{name} {short} {suffix}: logits differ by {apart}"));
                }
                if dtype == TorchDtype::Float32 {
                    let wanted = expected.tokens(&format!("{short}.{suffix}.greedy"));
                    let written = greedy(backend.as_mut(), &tokens, wanted.len(), plan);
                    if written.iter().any(|written| *written != wanted) {
                        wrong.push(format!(
                            "{name} {suffix}: {written:?} instead of {wanted:?}"
                        ));
                    }
                }
            }
        }
        println!("{measured}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn checkpoints_compute_what_they_did_in_python() {
    // Processors with products of bfloat16 numbers round elsewhere than those
    // without: some steps of the logits' last bit.
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints");
    compare(&stored, 12, 1e-1);
}

#[test]
fn fresh_checkpoints_of_the_installed_python_agree_too() {
    let Some(python) = std::env::var_os("ELPIS_TEST_PYTHON") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEST_PYTHON must name a Python with torch and transformers"
        );
        println!("skipped: ELPIS_TEST_PYTHON names no Python with torch and transformers");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let seed = u32::from(std::process::id() as u16).to_string();
    // Each run draws others.
    let count = elpis_testkit::repeats(3, 12);
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/checkpoints.py"))
        .arg(folder.path())
        .args(["--seed", &seed, "--count", &count.to_string()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "seed {seed}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("seed {seed}");
    // Computed on this processor too.
    compare(folder.path(), count, 2e-2);
}
