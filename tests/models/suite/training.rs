//! Vectors that are trained on the bundled model.

mod calibration;

use crate::support::mood::{Sizes, check_table};
use elpis::backend::{Backend, create_backend, load_options};
use elpis::inference::{ChatTemplate, SpecialTokens};
use elpis::settings::{ModelSettings, ModelSource, Settings};
use elpis::steering::{LibraryContext, SteeringLibrary, VectorFormat};
use elpis::training::{
    ContrastPairs, Form, Method, Progress, ReadAt, TrainOptions, TrainingError, train,
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
    let options = options();
    let trained = train(backend.as_mut(), &template, &pairs, &options, &mut |_| true).unwrap();
    drop(backend);
    assert!(trained.separation().values().all(|auc| *auc > 0.9));
    let sizes = Sizes {
        repeats: 1,
        unsteered_repeats: 6,
        random_draws: 0,
    };
    let files = trained.files(VectorFormat::Safetensors).unwrap();
    check_table(BACKEND, files, &sizes);
}

/// The bundled model follows statements: they are what it was made for. The replies that are
/// shipped have words that it does not know.
fn options() -> TrainOptions {
    TrainOptions {
        form: Some(Form::Statements),
        strength: 0.6,
        ..TrainOptions::default()
    }
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
            ..options()
        };
        let backend = backend.as_mut();
        let trained = train(backend, &template, &few(), &options, &mut |_| true).unwrap();
        let separation = trained.separation();
        println!("{method} {at}: {separation:?} at {:?}", trained.layers);
        let mean = separation.values().sum::<f64>() / 4.0;
        assert!(mean > 0.9, "{method} {at}: {separation:?}");
        let shares = trained.layers.iter().map(|&layer| {
            let vectors = trained.vectors.values();
            let norms: f64 = vectors.map(|vector| vector.norm(layer).unwrap()).sum();
            norms / 4.0 / f64::from(backend.facts().residual_norms[layer])
        });
        assert!((shares.sum::<f64>() - 0.6).abs() < 1e-3);
    }
}

#[test]
fn the_four_add_up_to_nothing_unless_asked() {
    let (mut backend, template) = load();
    for keep_common in [false, true] {
        let options = TrainOptions {
            layers: vec![1],
            keep_common,
            ..options()
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
        layers: vec![5],
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
fn pairs_that_fit_into_no_evaluation_are_refused_before_the_work() {
    let (mut backend, template) = load();
    let mut pairs = few();
    let long = "extraordinarily complicated circumstances ".repeat(46);
    long.trim_end().clone_into(&mut pairs.pairs[2].positive);
    for at in [ReadAt::UserTurn, ReadAt::Reply] {
        let options = TrainOptions { at, ..options() };
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

#[test]
fn replies_give_vectors_at_several_layers() {
    let (mut backend, template) = load();
    let pairs = ContrastPairs::shipped();
    let options = TrainOptions::default();
    let mut train_on =
        |pairs: &ContrastPairs| train(backend.as_mut(), &template, pairs, &options, &mut |_| true);
    let four = train_on(&pairs).unwrap();
    let all = train_on(&ContrastPairs::shipped_with_further()).unwrap();
    assert_eq!(four.form, Form::Replies);
    assert!(four.layers.len() > 1, "{:?}", four.layers);
    let reading = four.reading.as_ref().unwrap();
    assert!(reading.axes.layer <= four.layers[0]);
    let facts = std::sync::Arc::clone(backend.facts());
    assert!(reading.axes.fits(facts.n_layers, facts.n_embd));
    // What is written can be read.
    let files = four.files(VectorFormat::Safetensors).unwrap();
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let library = SteeringLibrary::build(files, &context).unwrap();
    assert_eq!(library.reading().unwrap().as_ref(), reading);
    assert_eq!(library.emotions().len(), 4);
    for vector in four.vectors.values() {
        assert!(vector.layers().eq(four.layers.iter().copied()));
    }
    // Further emotions change neither the directions of the four nor what they add up to.
    assert_eq!((four.vectors.len(), all.vectors.len()), (4, 28));
    let layer = *four
        .layers
        .iter()
        .find(|layer| all.layers.contains(layer))
        .unwrap();
    for (emotion, vector) in &four.vectors {
        let (a, b) = (
            vector.row(layer).unwrap(),
            all.vectors[emotion].row(layer).unwrap(),
        );
        let dot: f64 = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        let norm = |row: &[f32]| {
            row.iter()
                .map(|&x| f64::from(x) * f64::from(x))
                .sum::<f64>()
                .sqrt()
        };
        assert!(dot / norm(a) / norm(b) > 0.999_99, "{emotion}");
    }
}
