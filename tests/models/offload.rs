//! What a GPU computes, the processor computes too, with all layers or some of them there. Run
//! where there is one: `cargo test --features cuda --test models offload -- --ignored`.

use std::sync::Arc;

use elpis::backend::{
    Backend, BackendKind, Batch, Device, LoadOptions, Token, available_backends, create_backend,
    devices_of,
};
use elpis::settings::{ModelSettings, ModelSource, TorchDtype};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringPlan, SteeringVector,
    VectorFormat, write,
};

/// Sequences of one batch, the first of them unsteered.
const ROWS: u32 = 8;
const STEPS: usize = 4;

fn gpus(backend: BackendKind) -> Vec<Device> {
    let mut devices = devices_of(backend);
    devices.retain(|device| device.kind.is_gpu());
    devices
}

fn load(backend: BackendKind, devices: Vec<Device>, gpu_layers: i32) -> Box<dyn Backend> {
    create_backend(
        &LoadOptions::new(
            ModelSettings::default()
                .backend(backend)
                .torch_dtype(TorchDtype::Float32)
                .gpu_layers(gpu_layers),
            ModelSource::Bundled,
        )
        .n_sequences(ROWS)
        .devices(devices),
    )
    .unwrap()
}

/// For each row but the first a vector of 0.4 residual norms at other layers: one, two, all.
fn plans(backend: &dyn Backend) -> Vec<Option<Arc<SteeringPlan>>> {
    let facts = backend.facts();
    let last = facts.n_layers - 1;
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let plan = |row: usize| {
        let layers = match row % 4 {
            0 => (0..=last).collect(),
            1 => vec![row % last],
            2 => vec![last],
            _ => vec![0, last],
        };
        let values = layers.into_iter().map(|layer| {
            let norm = 0.4 * facts.residual_norms[layer] / (facts.n_embd as f32).sqrt();
            let sign = |at: usize| (at * 7 + row * 13 + layer * 3) % 5 < 2;
            let values = (0..facts.n_embd).map(|at| if sign(at) { norm } else { -norm });
            (layer, values.collect())
        });
        let vector = SteeringVector::layered(values.collect()).unwrap();
        let files = vec![LibraryFile {
            name: "calm.safetensors".into(),
            bytes: write(VectorFormat::Safetensors, &vector).unwrap(),
        }];
        let library = SteeringLibrary::build(files, &context).unwrap();
        library.blend([("calm", 1.0)].into_iter(), &BlendOptions::default())
    };
    let rows = 0..ROWS as usize;
    rows.map(|row| (row > 0).then(|| plan(row).map(Arc::new)).flatten())
        .collect()
}

/// The logits of each row, behind its prompt and behind each of the same few tokens.
fn logits(backend: &mut dyn Backend, plans: &[Option<Arc<SteeringPlan>>]) -> Vec<Vec<f32>> {
    let text = "<|im_start|>user\nTell me about trains and the garden.<|im_end|>\n";
    let prompt = backend.tokenizer().encode(text, true).unwrap();
    let mut found = Vec::new();
    for step in 0..=STEPS {
        let mut batch = Batch::default();
        let mut asked = Vec::new();
        for (sequence, plan) in (0..).zip(plans) {
            // Prompts of different lengths, so that rows lie at different places.
            let own = &prompt[sequence as usize..];
            let next = [prompt[(sequence as usize + step) % prompt.len()]];
            let (first, tokens): (usize, &[Token]) = match step {
                0 => (0, own),
                step => (own.len() + step - 1, &next),
            };
            batch.push(sequence, first as u32, tokens, true, plan.as_ref());
            asked.push(batch.len() - 1);
        }
        backend.decode(&batch).unwrap();
        found.extend(
            asked
                .iter()
                .map(|&row| backend.logits(row).unwrap().to_vec()),
        );
    }
    for sequence in 0..ROWS {
        backend.truncate(sequence, 0).unwrap();
    }
    found
}

/// The greatest distance between logits, over the greatest of them.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let most = a
        .iter()
        .flatten()
        .fold(0.0_f32, |most, x| most.max(x.abs()));
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / most
}

#[test]
#[ignore = "needs a GPU that a linked backend can use"]
fn layers_on_a_gpu_are_steered_as_those_on_the_processor() {
    let with_gpu = available_backends()
        .iter()
        .filter(|kind| !gpus(**kind).is_empty());
    let with_gpu: Vec<_> = with_gpu.copied().collect();
    assert!(!with_gpu.is_empty(), "no linked backend sees a GPU");
    for kind in with_gpu {
        let mut processor = load(kind, Vec::new(), -1);
        let n_layers = processor.facts().n_layers as i32;
        let plans = plans(processor.as_ref());
        let nothing = vec![None; plans.len()];
        let plain = logits(processor.as_mut(), &nothing);
        let steered = logits(processor.as_mut(), &plans);
        let moved = distance(&plain, &steered);
        drop(processor);
        for gpu_layers in [-1, 0, 1, n_layers / 2, n_layers - 1, n_layers] {
            let mut gpu = load(kind, gpus(kind), gpu_layers);
            let noise = distance(&plain, &logits(gpu.as_mut(), &nothing));
            let apart = distance(&steered, &logits(gpu.as_mut(), &plans));
            println!("{kind}, {gpu_layers} layers: noise {noise}, apart {apart}, moved {moved}");
            assert!(noise < 0.01, "{kind}, {gpu_layers} layers: {noise}");
            assert!(
                apart < 0.01 && apart < 3.0 * noise.max(1e-4),
                "{kind}, {gpu_layers}: {apart}"
            );
            assert!(moved > 10.0 * apart, "{kind}: moved by {moved}");
        }
    }
}
