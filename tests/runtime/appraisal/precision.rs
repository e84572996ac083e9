//! How well texts are read: on replies of a real model, and on messages that are clear.

use elpis::emotion::EmotionEvent;
use elpis::{EventSource, LexicalAppraiser, ReferenceAppraiser};
use serde_json::Value;

const REPLIES: &str = include_str!("../../data/appraisal/replies.jsonl");
const MESSAGES: &str = include_str!("../../data/appraisal/messages.jsonl");

/// Share of ordinary replies that may be felt wrongly.
const MAX_WRONG: f64 = 0.02;

/// Share of clear messages, of each kind, that must be felt as what they are.
const MIN_RIGHT: f64 = 0.8;

/// The quadrant that an event leads to, or `nothing`.
fn quadrant(event: Option<&EmotionEvent>) -> &'static str {
    let Some(event) = event else {
        return "nothing";
    };
    match (event.shift().0 >= 0.0, event.shift().1 >= 0.0) {
        (true, true) => "excited",
        (false, true) => "frustrated",
        (true, false) => "calm",
        (false, false) => "depleted",
    }
}

/// A text, its kind, and whether a reading of it is right.
fn labelled(line: &str) -> (String, String, impl Fn(&str) -> bool) {
    let line: Value = serde_json::from_str(line).unwrap();
    let field = |name: &str| line[name].as_str().unwrap().to_owned();
    let (text, kind) = (field("text"), field("kind"));
    let is_right = move |read: &str| {
        let expected = line["expected"].as_array().unwrap();
        expected.iter().any(|expected| expected == read)
    };
    (text, kind, is_right)
}

#[test]
fn ordinary_replies_are_hardly_ever_felt_wrongly() {
    let appraiser = LexicalAppraiser::default();
    let (mut texts, mut wrong, mut by_words) = (0, Vec::new(), 0);
    for line in REPLIES.lines() {
        let (text, _, is_right) = labelled(line);
        texts += 1;
        let event = appraiser.appraise(&text, EventSource::Reply);
        if event.is_some() && !is_right(quadrant(event.as_ref())) {
            wrong.push(format!("{event:?}: {text}"));
        }
        let event = ReferenceAppraiser::default().appraise(&text);
        by_words += usize::from(event.is_some() && !is_right(quadrant(event.as_ref())));
    }
    assert_eq!(texts, 300);
    let share = wrong.len() as f64 / f64::from(texts);
    assert!(share <= MAX_WRONG, "{share}: {}", wrong.join("\n"));
    // The texts are not so plain that any reading would do.
    assert!(by_words > 90, "{by_words} by single words");
}

#[test]
fn clear_messages_are_felt_as_what_they_are() {
    let appraiser = LexicalAppraiser::default();
    let mut kinds = std::collections::BTreeMap::<String, (usize, Vec<String>)>::new();
    for line in MESSAGES.lines() {
        let (text, kind, is_right) = labelled(line);
        let (texts, wrong) = kinds.entry(kind).or_default();
        *texts += 1;
        let event = appraiser.appraise(&text, EventSource::Message);
        if !is_right(quadrant(event.as_ref())) {
            wrong.push(format!("{event:?}: {text}"));
        }
    }
    assert_eq!(kinds.values().map(|(texts, _)| texts).sum::<usize>(), 100);
    assert_eq!(kinds.len(), 5);
    for (kind, (texts, wrong)) in kinds {
        let right = 1.0 - wrong.len() as f64 / texts as f64;
        assert!(right >= MIN_RIGHT, "{kind}: {right}: {}", wrong.join("\n"));
    }
}
