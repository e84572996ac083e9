//! Calibration finds how strong a vector may be.

use std::collections::HashMap;
use std::sync::Arc;

use elpis::backend::{Backend, BackendError, BackendLayer, Batch, BundledModel, SequenceId, Token};
use elpis::inference::ChatTemplate;
use elpis::steering::{BlendOptions, LibraryContext};
use elpis::training::{CalibrateOptions, Calibration, Progress, TrainingError, calibrate};

use super::{few, load};

#[test]
fn calibration_finds_where_text_begins_to_suffer() {
    let (mut backend, template) = load();
    let facts = std::sync::Arc::clone(backend.facts());
    let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
    context.residual_norms = Some(facts.residual_norms.clone());
    let files = BundledModel::library_files();
    let mut calibrated = |limit: f64| {
        let options = CalibrateOptions {
            repeats: 4,
            max_tokens: 24,
            max_perplexity_ratio: limit,
            max_added_repetition: 0.1,
            tries: 5,
            max_strength: 3.0,
            blend: BlendOptions {
                max_residual_fraction: 4.0,
                keep_caps: false,
            },
            ..CalibrateOptions::default()
        };
        let mut on_progress = |_| true;
        let (files, pairs) = (files.clone(), few());
        let backend = backend.as_mut();
        calibrate(
            backend,
            &template,
            files,
            &context,
            &pairs,
            &options,
            &mut on_progress,
        )
        .unwrap()
    };
    let found = calibrated(1.6);
    println!("{found:#?}");
    assert_eq!(found.emotions.len(), 4);
    for emotion in &found.emotions {
        assert!(emotion.cap > 0.5 && emotion.cap < 3.0, "{emotion:?}");
        assert!(emotion.vector.perplexity_ratio <= 1.6);
        assert!(emotion.tried.iter().any(|m| m.strength > emotion.cap));
        assert!(emotion.vector.shift > 1.0, "the text follows: {emotion:?}");
        assert_eq!(
            emotion.vector.answers_kept, None,
            "the model knows no answers"
        );
    }
}

fn quick() -> CalibrateOptions {
    CalibrateOptions {
        repeats: 1,
        max_tokens: 16,
        max_perplexity_ratio: 100.0,
        max_added_repetition: 1.0,
        min_answers_kept: 0.0,
        tries: 2,
        max_strength: 1.0,
        ..CalibrateOptions::default()
    }
}

fn calibrate_with(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    options: &CalibrateOptions,
    on_progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Calibration, TrainingError> {
    let facts = Arc::clone(backend.facts());
    let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
    context.residual_norms = Some(facts.residual_norms.clone());
    let files = BundledModel::library_files();
    let pairs = few();
    calibrate(
        backend,
        template,
        files,
        &context,
        &pairs,
        options,
        on_progress,
    )
}

#[test]
fn calibration_can_be_interrupted_within_a_reply() {
    let (mut backend, template) = load();
    let mut told = Vec::new();
    let mut on_progress = |progress: Progress| {
        let asked = progress.stage.contains("at 0.50");
        told.push(progress);
        // Some tokens of a steered reply.
        !asked || told.len() % 5 != 0
    };
    let found = calibrate_with(backend.as_mut(), &template, &quick(), &mut on_progress);
    assert_eq!(found.unwrap_err(), TrainingError::Interrupted);
    let last = told.last().unwrap();
    let of_last = told.iter().filter(|p| p.stage == last.stage);
    assert!(of_last.count() <= 5, "{last:?}");
    assert!(last.done > 0 && last.done < last.total, "{last:?}");

    // The bar moves with each group of replies and never back.
    told.clear();
    let mut on_progress = |progress| {
        told.push(progress);
        true
    };
    calibrate_with(backend.as_mut(), &template, &quick(), &mut on_progress).unwrap();
    assert!(told.windows(2).all(|two| two[0].done <= two[1].done));
    assert!(told.iter().all(|progress| progress.total == told[0].total));
    let last = told.last().unwrap();
    assert_eq!(last.done, last.total);
    let mut steps: Vec<usize> = told.iter().map(|progress| progress.done).collect();
    steps.dedup();
    // Each strength of four emotions.
    assert!(steps.len() > 4 * 2, "{steps:?}");
}

#[test]
fn a_reply_that_does_not_fit_beside_its_prompt_is_refused() {
    let (mut backend, template) = load();
    let options = CalibrateOptions {
        max_tokens: backend.facts().batch_size,
        ..quick()
    };
    let found = calibrate_with(backend.as_mut(), &template, &options, &mut |_| true);
    let error = found.unwrap_err();
    assert!(
        matches!(error, TrainingError::TooLong { limit: 0, .. }),
        "{error}"
    );
}

/// Ends every steered reply: at once, or after its first token.
struct Ending {
    inner: Box<dyn Backend>,
    at_once: bool,
    /// The position of each sequence's last row that generated under a plan.
    generated: HashMap<SequenceId, u32>,
    /// Which rows of the last batch end.
    ends: Vec<bool>,
    end: Vec<f32>,
}

impl BackendLayer for Ending {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.inner
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.ends.clear();
        for (index, row) in batch.rows().iter().enumerate() {
            let generates = row.logits && batch.plan_of(index).is_some();
            let before = self.generated.get(&row.sequence);
            let follows = before.is_some_and(|before| before + 1 == row.position);
            self.ends.push(generates && (self.at_once || follows));
            if generates {
                self.generated.insert(row.sequence, row.position);
            }
        }
        self.inner.decode(batch)
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        if self.ends[row] {
            return Ok(&self.end);
        }
        self.inner.logits(row)
    }
}

#[test]
fn a_vector_that_silences_the_model_is_not_accepted() {
    for (at_once, length) in [(true, 0.0), (false, 1.0)] {
        let (inner, template) = load();
        let tokenizer = inner.tokenizer();
        let tokens = 0..inner.facts().n_vocab as Token;
        let end = tokens
            .map(|token| if tokenizer.is_end(token) { 0.0 } else { -1e9 })
            .collect();
        let mut backend = Ending {
            inner,
            at_once,
            generated: HashMap::new(),
            ends: Vec::new(),
            end,
        };
        let found = calibrate_with(&mut backend, &template, &quick(), &mut |_| true).unwrap();
        assert!(found.length > 4.0, "{found:?}");
        assert_eq!(found.emotions.len(), 4);
        for emotion in &found.emotions {
            println!("{emotion:?}");
            assert!(emotion.cap.abs() < 1e-9, "{emotion:?}");
            for tried in &emotion.tried {
                assert!((tried.length - length).abs() < 1e-9, "{tried:?}");
                // The end is judged like any other token.
                assert!(tried.perplexity_ratio > 1.5, "{tried:?}");
            }
        }
    }
}
