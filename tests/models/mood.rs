//! Does the bundled model's mood follow its steering?
//!
//! Prints the table of the README: for each emotion, over neutral prompts that
//! the model was not trained on, the share of replies that are in that mood
//! (by the lexicon of the grammar that wrote the training data) and parse.
//! Beside the steered share stand the unsteered one, a random vector of the
//! same norm, and a line about the mood in the prompt.

use crate::support::grammar::Grammar;
use crate::support::mood::{Sizes, check_table};
use elpis::backend::{BackendKind, BundledModel};
use serde::Deserialize;

#[test]
fn the_bundled_models_mood_follows_steering() {
    let sizes = Sizes {
        repeats: 2,
        unsteered_repeats: 16,
        random_draws: 32,
    };
    check_table(BackendKind::LlamaCpp, BundledModel::library_files(), &sizes);
}

#[test]
fn the_judge_agrees_with_the_grammars_own() {
    #[derive(Deserialize)]
    struct Judged {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        reply: String,
        parses: bool,
        mood: Option<String>,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/tiny-model/judged.json");
    let judged: Judged = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let grammar = Grammar::load();
    assert!(judged.cases.len() > 5);
    for case in judged.cases {
        let judgement = grammar.judge(&case.reply);
        assert_eq!(
            (judgement.parses, judgement.mood),
            (case.parses, case.mood),
            "{}",
            case.reply
        );
    }
}
