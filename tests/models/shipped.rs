//! The vectors that this repository has for a real model.

use std::path::{Path, PathBuf};

use elpis::backend::{create_backend, load_options};
use elpis::inference::{ChatTemplate, SpecialTokens};
use elpis::settings::{ModelSettings, ModelSource, Settings};
use elpis::steering::{LibraryContext, LibraryFile};
use elpis::training::{CalibrateOptions, ContrastPairs, calibrate};
use elpis::{Coefficients, Elpis};

/// Prompts that leave the mood of the reply open.
const PROMPTS: [&str; 6] = [
    "How was your day?",
    "Describe a walk through a city.",
    "What do you see when you look out of the window?",
    "Tell me about your neighbors.",
    "What is on your mind?",
    "Write a diary entry about a Tuesday.",
];

#[tokio::test(flavor = "multi_thread")]
async fn shipped_vectors_move_a_real_models_replies_over_the_plane() {
    let Some(model) = std::env::var_os("ELPIS_TEST_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: ELPIS_TEST_SMOLLM2 names no model");
        return;
    };
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/smollm2-135m-instruct");
    let settings = Settings::default().model(
        ModelSettings::default()
            .path(model.display().to_string())
            .context_length(512)
            .emotion_vectors_dir(vectors),
    );
    let elpis = Elpis::start(settings).await.unwrap();
    let expressed = async |emotion: &str| {
        let (mut valence, mut arousal) = (0.0, 0.0);
        let mut running = tokio::task::JoinSet::new();
        for (index, prompt) in PROMPTS.into_iter().enumerate() {
            let session = elpis.session(format!("{emotion}{index}")).unwrap();
            let mut coefficients = Coefficients::new();
            coefficients.insert(emotion, 1.0).unwrap();
            running.spawn(async move {
                let chat = session.chat(prompt).max_tokens(32).seed(5);
                let reply = chat.coefficients(coefficients).complete().await.unwrap();
                reply.report.expressed.unwrap()
            });
        }
        for expressed in running.join_all().await {
            valence += expressed.valence / PROMPTS.len() as f64;
            arousal += expressed.arousal / PROMPTS.len() as f64;
        }
        println!("{emotion}: expressed {valence:+.2}, {arousal:+.2}");
        (valence, arousal)
    };
    let excited = expressed("excited").await;
    let calm = expressed("calm").await;
    let frustrated = expressed("frustrated").await;
    let depleted = expressed("depleted").await;
    for (pleasant, unpleasant) in [(excited, frustrated), (calm, depleted)] {
        assert!(
            pleasant.0 > unpleasant.0 + 1.0,
            "{pleasant:?} {unpleasant:?}"
        );
    }
    for (aroused, quiet) in [(excited, calm), (frustrated, depleted)] {
        assert!(aroused.1 > quiet.1 + 0.5, "{aroused:?} {quiet:?}");
    }
    elpis.shutdown().await;
}

#[test]
fn a_cap_is_lowered_until_known_answers_are_kept() {
    if elpis_testkit::repeats(true, false) {
        eprintln!("skipped: it takes a minute, and ELPIS_TEST_LONG is not set");
        return;
    }
    let Some(model) = std::env::var_os("ELPIS_TEST_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: ELPIS_TEST_SMOLLM2 names no model");
        return;
    };
    let settings = Settings::default().model(ModelSettings::default().context_length(512));
    let source = ModelSource::File(model);
    let mut backend = create_backend(&load_options(&settings, source, Vec::new())).unwrap();
    let facts = backend.facts().clone();
    let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
    let source = facts.chat_template.as_deref().unwrap();
    let template = ChatTemplate::from_source("its own", source, special).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/smollm2-135m-instruct");
    let mut pairs = ContrastPairs::shipped();
    pairs.questions.truncate(1);
    let mut calibrated = |scale: f64| {
        let manifest = format!("layers = [10, 13, 17, 22]\nscale = {scale:?}\n");
        let vector = std::fs::read(folder.join("excited.safetensors")).unwrap();
        let file = |name: &str, bytes| LibraryFile {
            name: name.to_owned(),
            bytes,
        };
        let files = vec![
            file("excited.safetensors", vector),
            file("vectors.toml", manifest.into_bytes()),
        ];
        let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
        context.residual_norms = Some(facts.residual_norms.clone());
        // Nothing but the answers bounds the strength.
        let mut options = CalibrateOptions {
            max_tokens: 8,
            max_perplexity_ratio: 100.0,
            max_added_repetition: 1.0,
            tries: 1,
            ..CalibrateOptions::default()
        };
        options.blend.max_residual_fraction = 4.0;
        let backend = backend.as_mut();
        let progress = &mut |_| true;
        calibrate(
            backend, &template, files, &context, &pairs, &options, progress,
        )
        .unwrap()
    };
    let strong = calibrated(4.0);
    println!("{strong:#?}");
    assert!(strong.answered.unwrap() > 0.75);
    assert!(strong.emotions[0].cap < 0.5);
    assert!(strong.emotions[0].tried.len() > 1);
    let kept = strong.emotions[0].vector.answers_kept.unwrap();
    assert!(kept >= 0.9 || strong.emotions[0].cap == 0.0);
}
