//! Vectors that are trained on the bundled model.

#[path = "support/grammar.rs"]
mod grammar;
#[path = "support/mood.rs"]
mod mood;
#[path = "support/task.rs"]
mod task;

use elpis::backend::{Backend, LoadOptions, create_backend};
use elpis::inference::{ChatTemplate, SpecialTokens};
use elpis::settings::{ModelSource, Settings};
use elpis::steering::VectorFormat;
use elpis::training::{ContrastPairs, TrainOptions, Trained, train};
use mood::{Sizes, check_table};

fn load() -> (Box<dyn Backend>, ChatTemplate) {
    let options = LoadOptions::new(&Settings::default(), ModelSource::Bundled, Vec::new());
    let backend = create_backend(&options).unwrap();
    let facts = backend.facts();
    let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
    let source = facts.chat_template.as_deref().unwrap();
    let template = ChatTemplate::from_source("bundled", source, special).unwrap();
    (backend, template)
}

fn trained(options: &TrainOptions) -> Trained {
    let (mut backend, template) = load();
    let pairs = ContrastPairs::shipped();
    train(backend.as_mut(), &template, &pairs, options, &mut |_| true).unwrap()
}

#[test]
fn trained_vectors_move_the_mood_as_the_shipped_ones_do() {
    let options = TrainOptions::default();
    let trained = trained(&options);
    for score in &trained.scores {
        println!("layer {}: {:.3} {:?}", score.layer, score.mean, score.auc);
    }
    println!("layer {}", trained.layer);
    let sizes = Sizes {
        repeats: 1,
        unsteered_repeats: 6,
        random_draws: 0,
    };
    check_table(trained.files(VectorFormat::Safetensors).unwrap(), &sizes);
}
