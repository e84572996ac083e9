//! What a backend reads of its residual stream.

use std::sync::Arc;

use elpis::backend::{Backend, BackendError, Batch, BundledModel, Token};
use elpis::steering::{BlendOptions, LibraryContext, ReadingAxes, SteeringLibrary, SteeringPlan};

use super::steering_rows::load;

const PROMPT: &str = "<|im_start|>user\nTell me about trains.<|im_end|>\n<|im_start|>assistant\n";

/// Two axes without any meaning.
fn axes(backend: &dyn Backend, layer: usize) -> Arc<ReadingAxes> {
    let axis = |step: usize| {
        let values = (0..backend.facts().n_embd).map(|at| ((at * step % 17) as f32 - 8.0) / 8.0);
        values.collect()
    };
    Arc::new(ReadingAxes::new(layer, axis(5), axis(7)))
}

/// The shipped vector of an emotion.
fn plan(backend: &dyn Backend, emotion: &str) -> Arc<SteeringPlan> {
    let facts = backend.facts();
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let library = SteeringLibrary::build(BundledModel::library_files(), &context).unwrap();
    let plan = library.blend([(emotion, 2.0)].into_iter(), &BlendOptions::default());
    Arc::new(plan.unwrap())
}

fn prompt(backend: &dyn Backend) -> Vec<Token> {
    backend.tokenizer().encode(PROMPT, true).unwrap()
}

/// What should be read of each token.
fn expected(backend: &mut dyn Backend, tokens: &[Token], axes: &ReadingAxes) -> Vec<[f32; 2]> {
    let stream = backend.residual_stream(tokens, &[axes.layer]).unwrap();
    let rows = stream[0].iter().map(|row| axes.project(row));
    rows.map(|found| [found.valence, found.arousal]).collect()
}

fn check(found: Option<[f32; 2]>, expected: [f32; 2], what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what}: not read"));
    let size = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        // Batches of other sizes are computed in another order.
        assert!(
            (found - expected).abs() < 2e-2 * size,
            "{what}: {found} {expected}"
        );
    }
}

fn read(backend: &dyn Backend, row: usize) -> Option<[f32; 2]> {
    let found = backend.projection(row)?;
    Some([found.valence, found.arousal])
}

#[test]
fn a_row_is_read_before_its_own_steering_at_any_layer() {
    let mut backend = load();
    let tokens = prompt(backend.as_ref());
    let last = tokens.len() - 1;
    let plan = plan(backend.as_ref(), "frustrated");
    let steered_at = plan.layers[0].layer;
    for layer in 0..backend.facts().n_layers {
        let axes = axes(backend.as_ref(), layer);
        let expected = expected(backend.as_mut(), &tokens, &axes);
        backend.set_reading(Some(Arc::clone(&axes))).unwrap();
        for steering in [None, Some(&plan)] {
            let what = format!("layer {layer}, steered {}", steering.is_some());
            let mut batch = Batch::default();
            // Prompts of two sequences at once, of which each reads its last row.
            batch.push(0, 0, &tokens, true, steering);
            batch.push(1, 0, &tokens, true, None);
            backend.decode(&batch).unwrap();
            assert_eq!(
                read(backend.as_ref(), 0),
                None,
                "{what}: no logits, no reading"
            );
            check(
                read(backend.as_ref(), last + 1 + last),
                expected[last],
                &what,
            );
            let found = read(backend.as_ref(), last);
            if steering.is_none() || layer <= steered_at {
                check(found, expected[last], &what);
            } else {
                let found = found.unwrap();
                let moved = (found[0] - expected[last][0]).abs();
                assert!(moved > 1e-2, "{what}: the steering below is seen");
            }
            backend.truncate(0, 0).unwrap();
            backend.truncate(1, 0).unwrap();
        }
    }
}

#[test]
fn reading_changes_no_logits_and_goes_on_with_a_shared_prefix() {
    let mut backend = load();
    let tokens = prompt(backend.as_ref());
    let plan = plan(backend.as_ref(), "calm");
    let (head, tail) = tokens.split_at(tokens.len() - 1);
    let axes = axes(backend.as_ref(), 1);
    let expected = expected(backend.as_mut(), &tokens, &axes);
    let mut evaluate = |axes: Option<Arc<ReadingAxes>>| {
        let reads = axes.is_some();
        backend.set_reading(axes).unwrap();
        let mut batch = Batch::default();
        batch.push(0, 0, head, false, None);
        backend.decode(&batch).unwrap();
        backend.share_prefix(0, 1, head.len() as u32).unwrap();
        batch.clear();
        batch.push(0, head.len() as u32, tail, true, Some(&plan));
        batch.push(1, head.len() as u32, tail, true, None);
        backend.decode(&batch).unwrap();
        let logits: Vec<Vec<f32>> = (0..2)
            .map(|row| backend.logits(row).unwrap().to_vec())
            .collect();
        for row in 0..2 {
            let found = read(backend.as_ref(), row);
            if reads {
                check(found, *expected.last().unwrap(), "after a shared prefix");
            } else {
                assert_eq!(found, None);
            }
            backend.truncate(row as u32, 0).unwrap();
        }
        logits
    };
    let without = evaluate(None);
    let with = evaluate(Some(axes));
    assert_eq!(with, without);
    assert_eq!(evaluate(None), without, "and it can be switched off");
}

#[test]
fn axes_that_do_not_fit_are_refused_and_those_in_force_stay() {
    let mut backend = load();
    let facts = Arc::clone(backend.facts());
    let good = axes(backend.as_ref(), 0);
    backend.set_reading(Some(good)).unwrap();
    let narrow: Box<[f32]> = vec![0.0; facts.n_embd - 1].into();
    let width: Box<[f32]> = vec![0.0; facts.n_embd].into();
    for (bad, field) in [
        (
            ReadingAxes::new(facts.n_layers, width.clone(), width.clone()),
            "layer",
        ),
        (
            ReadingAxes::new(0, width.clone(), narrow.clone()),
            "width of an axis",
        ),
        (ReadingAxes::new(0, narrow, width), "width of an axis"),
    ] {
        let error = backend.set_reading(Some(Arc::new(bad))).unwrap_err();
        let BackendError::Limit { field: found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(found, field);
    }
    let tokens = prompt(backend.as_ref());
    let mut batch = Batch::default();
    batch.push(0, 0, &tokens, true, None);
    backend.decode(&batch).unwrap();
    assert!(backend.projection(tokens.len() - 1).is_some());
}
