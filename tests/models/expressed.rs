//! What the replies of a real model express, as their reports say.

use std::path::{Path, PathBuf};

use elpis::Elpis;
use elpis::backend::{create_backend, load_options};
use elpis::inference::{ChatTemplate, SpecialTokens};
use elpis::settings::{ModelSettings, ModelSource, Settings};
use elpis::steering::VectorFormat;
use elpis::training::{ContrastPairs, TrainOptions, train};

/// Number of replies of each emotion that the axes are trained on.
const OF_EACH: usize = 6;

/// Prompts that most people answer cheerfully, and gravely.
const CHEERFUL: [&str; 6] = [
    "We won the championship! Write a cheer for my team.",
    "I just got the job! Tell me how to celebrate.",
    "We just got engaged! Write a toast.",
    "Write a birthday greeting to my grandmother.",
    "Describe the best vacation ever.",
    "Plan a surprise party for my best friend.",
];
const GRAVE: [&str; 6] = [
    "My landlord stole my deposit and threatens me. What happened?",
    "Tell me about a terrible accident on the highway.",
    "Describe a violent storm that destroys a town.",
    "Describe a funeral in the rain.",
    "Tell me about a war.",
    "Describe the life of a homeless man in winter.",
];

/// Trains vectors and axes on some of the shipped replies.
fn trained(model: &Path, vectors: &Path) {
    let settings = Settings::default();
    let source = ModelSource::File(model.to_owned());
    let mut backend = create_backend(&load_options(&settings, source, Vec::new())).unwrap();
    let facts = backend.facts().clone();
    let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
    let source = facts.chat_template.as_deref().unwrap();
    let template = ChatTemplate::from_source("its own", source, special).unwrap();
    let mut pairs = ContrastPairs::shipped();
    let mut counts = std::collections::HashMap::<String, usize>::new();
    pairs.replies.retain(|reply| {
        let count = counts.entry(reply.emotion.clone()).or_default();
        *count += 1;
        *count <= OF_EACH
    });
    let options = TrainOptions::default();
    let found = train(backend.as_mut(), &template, &pairs, &options, &mut |_| true).unwrap();
    for file in found.files(VectorFormat::Safetensors).unwrap() {
        std::fs::write(vectors.join(&file.name), &file.bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_models_cheerful_replies_express_more_pleasure_than_its_grave_ones() {
    let Some(model) = std::env::var_os("ELPIS_TEST_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: ELPIS_TEST_SMOLLM2 names no model");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/smollm2-135m-instruct");
    // Training takes most of a minute.
    let vectors = elpis_testkit::repeats(shipped, folder.path().to_owned());
    if vectors == folder.path() {
        trained(&model, &vectors);
    }
    let settings = Settings::default().model(
        ModelSettings::default()
            .path(model.display().to_string())
            .context_length(512)
            .emotion_vectors_dir(vectors),
    );
    let elpis = Elpis::start(settings).await.unwrap();
    let mean = async |prompts: &[&str]| {
        let mut running = tokio::task::JoinSet::new();
        for prompt in prompts {
            // A fresh session each, which feels nothing yet.
            let session = elpis.session(*prompt).unwrap();
            let chat = session.chat(*prompt).max_tokens(48).seed(5);
            // The text alone is read, whatever acts on it.
            let chat = chat.coefficients(elpis::Coefficients::new());
            running.spawn(async move { chat.complete().await.unwrap().report });
        }
        let mut sum = 0.0;
        for report in running.join_all().await {
            let expressed = report.expressed.unwrap();
            assert!(expressed.tokens >= 1 && !expressed.course.is_empty());
            assert!(expressed.tokens <= report.completion_tokens);
            sum += expressed.valence;
        }
        sum / prompts.len() as f64
    };
    let (cheerful, grave) = (mean(&CHEERFUL).await, mean(&GRAVE).await);
    println!("expressed valence: cheerful {cheerful:+.2}, grave {grave:+.2}");
    assert!(cheerful > grave + 1.0, "{cheerful} {grave}");
    elpis.shutdown().await;
}
