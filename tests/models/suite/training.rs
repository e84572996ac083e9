//! Vectors that are trained on the bundled model.

use std::sync::Arc;

use crate::support::mood::{Sizes, check_table};
use elpis::backend::{
    Backend, BackendError, BackendLayer, Batch, BundledModel, Token, create_backend, load_options,
};
use elpis::inference::{ChatTemplate, SpecialTokens};
use elpis::settings::{ModelSettings, ModelSource, Settings};
use elpis::steering::{BlendOptions, LibraryContext, SteeringLibrary, VectorFormat};
use elpis::training::{
    CalibrateOptions, Calibration, ContrastPairs, Method, Progress, ReadAt, TrainOptions,
    TrainingError, calibrate, train,
};
use std::fmt::Write as _;

use super::BACKEND;
use crate::support::hardware::devices;

fn load() -> (Box<dyn Backend>, ChatTemplate) {
    let settings = Settings::default().model(ModelSettings::default().backend(BACKEND));
    let options = load_options(&settings, ModelSource::Bundled, devices(BACKEND));
    let backend = create_backend(&options).unwrap();
    let facts = backend.facts();
    let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
    let source = facts.chat_template.as_deref().unwrap();
    let template = ChatTemplate::from_source("bundled", source, special).unwrap();
    (backend, template)
}

#[test]
fn trained_vectors_move_the_mood_as_the_shipped_ones_do() {
    let (mut backend, template) = load();
    let pairs = ContrastPairs::shipped();
    let options = TrainOptions::default();
    let trained = train(backend.as_mut(), &template, &pairs, &options, &mut |_| true).unwrap();
    drop(backend);
    assert!(trained.scores[trained.layer].mean > 0.95);
    let sizes = Sizes {
        repeats: 1,
        unsteered_repeats: 6,
        random_draws: 0,
    };
    let files = trained.files(VectorFormat::Safetensors).unwrap();
    check_table(BACKEND, files, &sizes);
}

/// The shipped pairs with two questions.
fn few() -> ContrastPairs {
    let mut pairs = ContrastPairs::shipped();
    pairs.questions.truncate(2);
    pairs
}

#[test]
fn every_method_and_place_separates_the_emotions() {
    let (mut backend, template) = load();
    for (method, at) in [
        (Method::Mean, ReadAt::LastPromptToken),
        (Method::Mean, ReadAt::Reply),
        (Method::Pca, ReadAt::UserTurn),
    ] {
        let options = TrainOptions {
            method,
            at,
            ..TrainOptions::default()
        };
        let backend = backend.as_mut();
        let trained = train(backend, &template, &few(), &options, &mut |_| true).unwrap();
        let score = &trained.scores[trained.layer];
        println!("{method} {at}: {score:?}");
        assert!(score.mean > 0.9, "{method} {at}: {score:?}");
        let norms: Vec<f64> = trained
            .vectors
            .values()
            .map(|vector| vector.norm(trained.layer).unwrap())
            .collect();
        let mean = norms.iter().sum::<f64>() / 4.0;
        let residual = f64::from(backend.facts().residual_norms[trained.layer]);
        assert!((mean / residual - 0.6).abs() < 1e-3);
    }
}

#[test]
fn the_four_add_up_to_nothing_unless_asked() {
    let (mut backend, template) = load();
    for keep_common in [false, true] {
        let options = TrainOptions {
            layer: Some(1),
            keep_common,
            ..TrainOptions::default()
        };
        let trained = train(backend.as_mut(), &template, &few(), &options, &mut |_| true).unwrap();
        let mut sum = vec![0.0_f64; backend.facts().n_embd];
        for vector in trained.vectors.values() {
            for (total, &x) in sum.iter_mut().zip(vector.row(1).unwrap()) {
                *total += f64::from(x);
            }
        }
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        let residual = f64::from(backend.facts().residual_norms[1]);
        assert_eq!(norm < 1e-3 * residual, !keep_common, "{norm} of {residual}");
    }
}

#[test]
fn emotions_of_ones_own_are_trained_and_placed() {
    let (mut backend, template) = load();
    let mut text = String::from(r#"{"emotion": "merry", "valence": 0.8, "arousal": 0.4}"#);
    let shipped = few();
    for pair in shipped.pairs.iter().filter(|p| p.emotion == "excited") {
        let (positive, negative) = (&pair.positive, &pair.negative);
        write!(
            text,
            "\n{{\"emotion\": \"merry\", \"positive\": {positive:?}, \"negative\": {negative:?}}}"
        )
        .unwrap();
    }
    let pairs = ContrastPairs {
        questions: shipped.questions,
        ..ContrastPairs::from_jsonl(&text).unwrap()
    };
    let options = TrainOptions::default();
    let trained = train(backend.as_mut(), &template, &pairs, &options, &mut |_| true).unwrap();
    let facts = backend.facts();
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    // Emotions steer at layers, which some formats cannot name.
    for &format in VectorFormat::ALL
        .iter()
        .filter(|format| format.names_layers())
    {
        let library = SteeringLibrary::build(trained.files(format).unwrap(), &context).unwrap();
        let places: Vec<_> = library.custom_places().collect();
        assert_eq!(places, [("merry", 0.8, 0.4)]);
    }
}

#[test]
fn work_can_be_interrupted_and_bad_options_are_refused() {
    let (mut backend, template) = load();
    let mut train_with = |options: &TrainOptions, steps: usize| {
        let mut told = 0;
        let mut on_progress = |_| {
            told += 1;
            told <= steps
        };
        train(
            backend.as_mut(),
            &template,
            &few(),
            options,
            &mut on_progress,
        )
    };
    let options = TrainOptions::default();
    assert_eq!(
        train_with(&options, 3).unwrap_err(),
        TrainingError::Interrupted
    );
    let last = TrainOptions {
        layer: Some(5),
        ..options.clone()
    };
    let error = train_with(&last, 1000).unwrap_err().to_string();
    assert_eq!(error, "layer is 5, but must be from 0 to 4 for this model");
    let weak = TrainOptions {
        strength: 0.0,
        ..options
    };
    assert!(matches!(
        train_with(&weak, 1000).unwrap_err(),
        TrainingError::Limit {
            field: "strength",
            ..
        }
    ));
}

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
            step: 1.0,
            max_strength: 3.0,
            blend: BlendOptions {
                max_residual_fraction: 4.0,
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
        assert!(
            emotion.vector.shift > emotion.random.shift.abs(),
            "{emotion:?}"
        );
        assert!(emotion.mood_line.unwrap().shift > 0.0, "{emotion:?}");
    }
}

#[test]
fn pairs_that_fit_into_no_evaluation_are_refused_before_the_work() {
    let (mut backend, template) = load();
    let mut pairs = few();
    let long = "extraordinarily complicated circumstances ".repeat(46);
    long.trim_end().clone_into(&mut pairs.pairs[2].positive);
    for at in [ReadAt::UserTurn, ReadAt::Reply] {
        let options = TrainOptions {
            at,
            ..TrainOptions::default()
        };
        let mut done = 0;
        let mut on_progress = |progress: Progress| {
            done = done.max(progress.done);
            true
        };
        let error = train(
            backend.as_mut(),
            &template,
            &pairs,
            &options,
            &mut on_progress,
        )
        .unwrap_err();
        let TrainingError::TooLong {
            what,
            tokens,
            limit,
        } = error
        else {
            panic!("{error}");
        };
        assert!(
            what.starts_with("the positive sentence of pair 3 before question "),
            "{what}"
        );
        assert!(tokens > limit && limit <= backend.facts().batch_size);
        assert_eq!(done, 0);
    }
}

fn quick() -> CalibrateOptions {
    CalibrateOptions {
        repeats: 1,
        max_tokens: 16,
        max_perplexity_ratio: 100.0,
        max_added_repetition: 1.0,
        step: 0.5,
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
    // Each strength, the mood line and the random vectors of four emotions.
    assert!(steps.len() > 4 * 4, "{steps:?}");
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
        let rows = batch.rows();
        let alone = |row: usize| {
            let sequence = rows[row].sequence;
            rows.iter().filter(|r| r.sequence == sequence).count() == 1
        };
        self.ends = (0..rows.len())
            .map(|row| batch.plan_of(row).is_some() && (self.at_once || alone(row)))
            .collect();
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
