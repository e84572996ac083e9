//! Files of pairs and replies, good and bad.

use super::*;

#[test]
fn the_shipped_pairs_cover_the_four_emotions() {
    let shipped = ContrastPairs::from_toml(SHIPPED).unwrap();
    let mut four = BASE_EMOTIONS;
    four.sort_unstable();
    assert_eq!(shipped.emotions(Form::Statements), four);
    for emotion in four {
        let pairs = shipped.pairs.iter().filter(|p| p.emotion == emotion);
        assert!(pairs.count() >= 12, "{emotion}");
        let replies = shipped.replies.iter().filter(|r| r.emotion == emotion);
        assert!(replies.count() >= 12, "{emotion}");
    }
    assert!(shipped.questions.len() >= 8);
}

#[test]
fn the_further_emotions_are_spread_over_the_plane() {
    let all = ContrastPairs::shipped_with_further();
    assert_eq!(all.clone().checked().unwrap(), all);
    let names = all.emotions(Form::Replies);
    assert_eq!(names.len(), 28);
    let quadrants: Vec<(bool, bool)> = all
        .places
        .values()
        .map(|place| (place.valence > 0.0, place.arousal > 0.0))
        .collect();
    for quadrant in [(true, true), (true, false), (false, true), (false, false)] {
        let count = quadrants.iter().filter(|found| **found == quadrant).count();
        assert!(count >= 4, "{quadrant:?}: {count}");
    }
    for emotion in names {
        let own: Vec<&str> = all
            .replies
            .iter()
            .filter(|reply| reply.emotion == emotion)
            .map(|reply| reply.reply.as_str())
            .collect();
        assert!(own.len() >= 8, "{emotion}");
    }
    let mut texts: Vec<&str> = all.replies.iter().map(|r| r.reply.as_str()).collect();
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), count, "no reply stands for two emotions");
}

#[test]
fn replies_are_paired_with_neutral_ones_in_turn() {
    let text = r#"
        {"emotion": "calm", "reply": "Rest."}
        {"emotion": "neutral", "reply": "One."}
        {"emotion": "calm", "reply": "Sleep."}
        {"emotion": "neutral", "reply": "Two."}
        {"emotion": "calm", "reply": "Sit."}
    "#;
    let pairs = ContrastPairs::from_jsonl(text).unwrap();
    assert_eq!(pairs.default_form(), Form::Replies);
    assert_eq!(pairs.emotions(Form::Replies), ["calm"]);
    let found: Vec<_> = pairs.contrasts(Form::Replies);
    let found: Vec<_> = found.iter().map(|c| (c.positive, c.negative)).collect();
    let expected = [("Rest.", "One."), ("Sleep.", "Two."), ("Sit.", "One.")];
    assert_eq!(found, expected);
    for (from, to, message) in [
        (
            "\"neutral\", \"reply\": \"Two.\"",
            "\"calm\", \"reply\": \"Two.\"",
            "neutral has 1 replies",
        ),
        ("\"calm\"", "\"shy\"", "must have a place"),
        ("\"Rest.\"", "\" \"", "reply 1 is \" \""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = ContrastPairs::from_jsonl(&changed).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let placed = r#"{"emotion": "neutral", "valence": 0, "arousal": 0}"#;
    let error = ContrastPairs::from_jsonl(&format!("{text}{placed}")).unwrap_err();
    assert!(error.to_string().contains("middle of the plane"), "{error}");
    let neutral = text.replace("calm", "neutral");
    assert_eq!(ContrastPairs::from_jsonl(&neutral), Err(PairsError::Empty));
}

#[test]
fn jsonl_and_toml_say_the_same() {
    let jsonl = r#"
        {"emotion": "calm", "positive": "Rest.", "negative": "Sit."}
        {"emotion": "calm", "positive": "Sleep.", "negative": "Stand."}
        {"emotion": "curious", "valence": 0.5, "arousal": 0.2}
        {"emotion": "curious", "positive": "Why?", "negative": "So."}
        {"emotion": "curious", "positive": "How?", "negative": "Yes."}
        {"question": "What now?"}
    "#;
    let toml = r#"
        questions = ["What now?"]
        [emotions.curious]
        valence = 0.5
        arousal = 0.2
        [[pairs]]
        emotion = "calm"
        positive = "Rest."
        negative = "Sit."
        [[pairs]]
        emotion = "calm"
        positive = "Sleep."
        negative = "Stand."
        [[pairs]]
        emotion = "curious"
        positive = "Why?"
        negative = "So."
        [[pairs]]
        emotion = "curious"
        positive = "How?"
        negative = "Yes."
    "#;
    assert_eq!(
        ContrastPairs::from_jsonl(jsonl).unwrap(),
        ContrastPairs::from_toml(toml).unwrap()
    );
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let pair = r#"{"emotion": "calm", "positive": "a", "negative": "b"}"#;
    for (text, message) in [
        (String::new(), "there are no pairs"),
        (pair.to_owned(), "calm has 1 pairs"),
        (
            format!("{pair}\n{{\"emotion\": 1}}"),
            "line 2: this is neither",
        ),
        (format!("{pair}\n{{"), "line 2: EOF"),
        (pair.replace("calm", "Calm!"), "emotion is \"Calm!\""),
        (pair.replace("calm", "shy"), "must have a place"),
        (
            pair.replace("\"a\"", "\" \""),
            "positive of pair 1 is \" \"",
        ),
        (
            pair.replace("\"b\"", &format!("\"{}\"", "x".repeat(3000))),
            "at most 2000 bytes",
        ),
        (
            r#"{"emotion": "calm", "valence": 0, "arousal": 0}"#.to_owned() + "\n" + pair,
            "corner of the plane",
        ),
        (
            r#"{"emotion": "shy", "valence": 2, "arousal": 0}"#.to_owned() + "\n" + pair,
            "emotions.shy.valence is \"2\"",
        ),
        ("x".repeat(MAX_PAIRS_BYTES + 1), "exceed the limit"),
    ] {
        let error = ContrastPairs::from_jsonl(&text).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let error = ContrastPairs::from_toml("[[pairs]]\nemotion = 3\n").unwrap_err();
    assert!(
        matches!(error, PairsError::Syntax { line: 2, .. }),
        "{error}"
    );
}
