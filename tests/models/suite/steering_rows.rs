//! Rows of one batch carry different vectors, each as if it were alone.

use std::sync::Arc;

use elpis::backend::{
    Backend, BackendError, Batch, BundledModel, LoadOptions, Token, create_backend,
};
use elpis::settings::{HardwareBackend, ModelSettings, ModelSource};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringPlan, SteeringVector,
    VectorFormat, write,
};

use super::BACKEND;
use crate::support::hardware::{devices, hardware};

const SEQUENCES: u32 = 8;
const EMOTIONS: [&str; 4] = ["excited", "calm", "frustrated", "depleted"];
const PROMPT: &str = "<|im_start|>user\nTell me about trains.<|im_end|>\n<|im_start|>assistant\n";

pub fn load() -> Box<dyn Backend> {
    create_backend(
        &LoadOptions::new(
            ModelSettings::default().backend(BACKEND),
            ModelSource::Bundled,
        )
        .n_sequences(SEQUENCES)
        .devices(devices(BACKEND)),
    )
    .unwrap()
}

fn library(backend: &dyn Backend) -> SteeringLibrary {
    let files = BundledModel::library_files();
    let facts = backend.facts();
    SteeringLibrary::build(files, &LibraryContext::new(facts.n_layers, facts.n_embd)).unwrap()
}

fn plan(library: &SteeringLibrary, emotion: &str, coefficient: f64) -> Option<Arc<SteeringPlan>> {
    let coefficients = [(emotion, coefficient)];
    library
        .blend(coefficients.into_iter(), &BlendOptions::default())
        .map(Arc::new)
}

/// A plan that adds a constant at the given layers.
fn constant(backend: &dyn Backend, layers: &[usize], value: f32) -> Arc<SteeringPlan> {
    let facts = backend.facts();
    let rows = layers
        .iter()
        .map(|&layer| (layer, vec![value; facts.n_embd]))
        .collect();
    let vector = SteeringVector::layered(rows).unwrap();
    let files = vec![LibraryFile {
        name: "calm.safetensors".into(),
        bytes: write(VectorFormat::Safetensors, &vector).unwrap(),
    }];
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let library = SteeringLibrary::build(files, &context).unwrap();
    plan(&library, "calm", 1.0).unwrap()
}

/// Evaluates a prompt in each sequence under its plan, all in one batch, and
/// returns each sequence's last logits.
fn logits(
    backend: &mut dyn Backend,
    prompt: &[Token],
    plans: &[Option<Arc<SteeringPlan>>],
) -> Vec<Vec<f32>> {
    let mut batch = Batch::default();
    for (sequence, plan) in (0..).zip(plans) {
        batch.push(sequence, 0, prompt, true, plan.as_ref());
    }
    backend.decode(&batch).unwrap();
    let rows: Vec<Vec<f32>> = (1..=plans.len())
        .map(|count| backend.logits(count * prompt.len() - 1).unwrap().to_vec())
        .collect();
    for sequence in 0..plans.len() as u32 {
        backend.truncate(sequence, 0).unwrap();
    }
    rows
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_row_in_a_mixed_batch_is_as_if_it_were_alone() {
    let mut backend = load();
    let library = library(backend.as_ref());
    let prompt = backend.tokenizer().encode(PROMPT, true).unwrap();
    let mut plans: Vec<_> = EMOTIONS.iter().map(|e| plan(&library, e, 1.0)).collect();
    plans.extend(EMOTIONS.iter().map(|e| plan(&library, e, -0.5)));
    plans[5] = None;
    assert_eq!(plans.len(), SEQUENCES as usize);
    let together = logits(backend.as_mut(), &prompt, &plans);
    let alone: Vec<_> = plans
        .iter()
        .flat_map(|plan| logits(backend.as_mut(), &prompt, std::slice::from_ref(plan)))
        .collect();
    let plain = logits(backend.as_mut(), &prompt, &vec![None; plans.len()]);
    // What another batch size alone changes.
    let noise = distance(&plain[5], &alone[5]).max(1e-3);
    for (index, (together, alone)) in together.iter().zip(&alone).enumerate() {
        let apart = distance(together, alone);
        assert!(
            apart <= 4.0 * noise,
            "row {index}: {apart} with a noise of {noise}"
        );
        if plans[index].is_some() {
            let moved = distance(together, &plain[index]);
            assert!(
                moved > 0.5,
                "row {index} is steered, but moved by {moved} only"
            );
        } else {
            assert!(
                distance(together, &plain[index]) <= noise,
                "an unsteered row is untouched"
            );
        }
    }
}

#[test]
fn steering_of_one_row_does_not_leak_into_the_next_evaluation() {
    let mut backend = load();
    let library = library(backend.as_ref());
    let prompt = backend.tokenizer().encode(PROMPT, true).unwrap();
    let before = logits(backend.as_mut(), &prompt, &[None]);
    let steered = logits(backend.as_mut(), &prompt, &[plan(&library, "excited", 1.0)]);
    let after = logits(backend.as_mut(), &prompt, &[None]);
    assert_eq!(before, after, "bit for bit");
    assert_ne!(before, steered);
}

#[test]
fn several_layers_add_up_and_each_layer_counts() {
    let mut backend = load();
    let prompt = backend.tokenizer().encode(PROMPT, true).unwrap();
    let last = backend.facts().n_layers - 1;
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for layers in [
        vec![0],
        vec![1],
        vec![last],
        vec![0, 1],
        (0..=last).collect(),
    ] {
        let plan = constant(backend.as_ref(), &layers, 3.0);
        assert_eq!(plan.layers.len(), layers.len());
        let found = logits(backend.as_mut(), &prompt, &[Some(plan)]).remove(0);
        for earlier in &seen {
            assert!(distance(earlier, &found) > 1e-3, "layers {layers:?}");
        }
        seen.push(found);
    }
}

/// As repeng and llama.cpp write control vectors: a row for each layer but the
/// first, up to the last.
#[test]
fn a_control_vector_for_all_layers_steers_prompts_and_tokens() {
    let mut backend = load();
    let facts = Arc::clone(backend.facts());
    let row = |layer: usize| {
        let length = facts.residual_norms[layer] * 0.2 / (facts.n_embd as f32).sqrt();
        let sign = |i: usize| if (i * 7 + layer) % 3 == 1 { 1.0 } else { -1.0 };
        (0..facts.n_embd).map(|i| sign(i) * length).collect()
    };
    let rows = (1..facts.n_layers).map(|layer| (layer, row(layer)));
    let vector = SteeringVector::layered(rows.collect()).unwrap();
    let files = vec![LibraryFile {
        name: "calm.gguf".into(),
        bytes: write(VectorFormat::Gguf, &vector).unwrap(),
    }];
    let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
    context.residual_norms = Some(facts.residual_norms.clone());
    let library = SteeringLibrary::build(files, &context).unwrap();
    let full = plan(&library, "calm", 1.0).unwrap();
    assert_eq!(full.layers.len(), facts.n_layers - 1);

    // The last layer alone moves what follows, but no key or value: the next
    // token is as if nothing had been.
    let last = constant(backend.as_ref(), &[facts.n_layers - 1], 3.0);
    let prompt = backend.tokenizer().encode(PROMPT, true).unwrap();
    let (head, tail) = prompt.split_at(prompt.len() - 1);
    let mut after = |under: Option<&Arc<SteeringPlan>>, then: Option<&Arc<SteeringPlan>>| {
        let mut batch = Batch::default();
        batch.push(0, 0, head, true, under);
        backend.decode(&batch).unwrap();
        let first = backend.logits(head.len() - 1).unwrap().to_vec();
        batch.clear();
        batch.push(0, head.len() as u32, tail, true, then);
        backend.decode(&batch).unwrap();
        let second = backend.logits(0).unwrap().to_vec();
        backend.truncate(0, 0).unwrap();
        [first, second]
    };
    let plain = after(None, None);
    let at_last = after(Some(&last), None);
    assert!(distance(&plain[0], &at_last[0]) > 1e-3);
    assert_eq!(plain[1], at_last[1], "bit for bit");
    assert_ne!(after(None, Some(&last))[1], plain[1]);
    let all = after(Some(&full), Some(&full));
    for (plain, all) in plain.iter().zip(&all) {
        assert!(distance(plain, all) > 1e-3);
    }
}

#[test]
fn residual_norms_are_measured_and_layers_beyond_are_refused() {
    let mut backend = load();
    let facts = Arc::clone(backend.facts());
    assert_eq!(facts.residual_norms.len(), facts.n_layers);
    assert_eq!(facts.unsteerable, None);
    assert!(
        facts
            .residual_norms
            .iter()
            .all(|norm| norm.is_finite() && *norm > 0.0)
    );
    let prompt = backend.tokenizer().encode(PROMPT, true).unwrap();
    // Longer than what is evaluated at once where the last layer is asked for.
    let prompt = prompt.repeat(3);
    let stream = backend.residual_stream(&prompt, &[0, 2]).unwrap();
    assert_eq!((stream.len(), stream[0].len()), (2, prompt.len()));
    assert!(stream.iter().flatten().all(|row| row.len() == facts.n_embd));
    assert_ne!(stream[0], stream[1]);
    let last = facts.n_layers - 1;
    let both = backend.residual_stream(&prompt, &[0, last]).unwrap();
    assert_eq!((both.len(), both[1].len()), (2, prompt.len()));
    assert_ne!(both[0], both[1]);
    // A GPU multiplies batches of other sizes in another order.
    let bound = match hardware() {
        HardwareBackend::Cpu => 0.1,
        _ => 0.05 * facts.residual_norms[0],
    };
    for (row, again) in stream[0].iter().zip(&both[0]) {
        assert!(
            distance(row, again) < bound,
            "the same, whatever stands beside"
        );
    }
    let error = backend
        .residual_stream(&prompt, &[facts.n_layers])
        .unwrap_err();
    assert!(
        matches!(error, BackendError::Limit { field: "layer", .. }),
        "{error:?}"
    );
}

#[test]
fn rows_that_do_not_exist_are_refused() {
    let mut backend = load();
    let mut batch = Batch::default();
    assert!(backend.decode(&batch).is_err(), "an empty batch");
    batch.push(1000, 0, &[1], true, None);
    assert!(matches!(
        backend.decode(&batch),
        Err(BackendError::Limit {
            field: "sequence",
            ..
        })
    ));
    batch.clear();
    batch.push(0, 0, &[u32::MAX], true, None);
    assert!(matches!(
        backend.decode(&batch),
        Err(BackendError::Limit { field: "token", .. })
    ));
    batch.clear();
    batch.push(0, 0, &[1, 2], true, None);
    backend.decode(&batch).unwrap();
    assert_eq!(backend.logits(0), Err(BackendError::NoLogits { row: 0 }));
    assert_eq!(backend.logits(7), Err(BackendError::NoLogits { row: 7 }));
    assert_eq!(backend.logits(1).unwrap().len(), backend.facts().n_vocab);
}
