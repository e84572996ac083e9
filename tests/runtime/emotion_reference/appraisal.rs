//! The appraisal of texts agrees with the reference.

use elpis::ReferenceAppraiser;
use elpis::emotion::{EmotionConfig, EmotionEvent};

#[test]
fn replies_are_appraised() {
    let score = |n: f64, d: f64| Some(0.3 + 0.5 * (n.sqrt() / d).min(1.0));
    for (reply, event, intensity) in [
        ("", "", None),
        ("The sky is blue.", "", None),
        (
            "They renewed the abandoned incorrect_thing on resame street",
            "",
            None,
        ),
        ("is_new = find_bug(x)", "", None),
        ("Done.", "success", score(1.0, 2.0)),
        ("DONE, done and done", "success", score(1.0, 2.0)),
        (
            "Successfully completed, fixed, solved: all works, passed",
            "success",
            score(6.0, 2.0),
        ),
        (
            "It failed with errors: cannot parse",
            "error",
            score(3.0, 2.0),
        ),
        (
            "How frustrating, I am stuck",
            "frustration",
            score(2.0, 2.0),
        ),
        (
            "a new and interesting novel",
            "exploration",
            score(3.0, 2.5),
        ),
        ("perhaps", "novelty", score(1.0, 3.0)),
        ("Fixed the bug", "success", score(1.0, 2.0)),
        ("It failed again", "frustration", Some(0.5 + 0.3 * 0.3)),
        (
            "Still the same error, yet another crash, it keeps on",
            "frustration",
            Some(0.8),
        ),
        (
            "still, still, still an error",
            "frustration",
            Some(0.5 + 0.3 * 0.3),
        ),
        ("yet, another error", "frustration", Some(0.5 + 0.3 * 0.3)),
    ] {
        let appraised = ReferenceAppraiser::default().appraise(reply);
        assert_eq!(
            appraised.as_ref().map_or("", EmotionEvent::name),
            event,
            "{reply}"
        );
        match (appraised.map(|event| event.intensity()), intensity) {
            (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-12, "{reply}: {ours}"),
            (ours, theirs) => assert_eq!(ours, theirs, "{reply}"),
        }
    }
}

#[test]
fn the_words_of_a_reply_are_told() {
    for (reply, words) in [
        ("Fixed the bug, all works", "fixed, works"),
        ("Yet another crash", "yet another, crash"),
        ("It failed again, still", "still, again, failed"),
    ] {
        let appraised = ReferenceAppraiser::default().appraise(reply).unwrap();
        assert_eq!(appraised.words(), Some(words), "{reply}");
    }
}

#[test]
fn amplifiers_reach_fifty_characters() {
    for (gap, event) in [(50, "frustration"), (51, "error")] {
        for reply in [
            format!("again{}failed wrong", "-".repeat(gap)),
            format!("wrong failed{}again", "·".repeat(gap)),
        ] {
            let appraised = ReferenceAppraiser::default().appraise(&reply).unwrap();
            assert_eq!(appraised.name(), event, "{reply}");
        }
    }
}

#[test]
fn the_threshold_silences_weak_replies() {
    let config = EmotionConfig::default().response_analysis_threshold(0.6);
    let appraiser = ReferenceAppraiser::new(&config);
    assert_eq!(appraiser.appraise("done"), None);
    assert!(appraiser.appraise("done, fixed").is_some());
    let config = EmotionConfig::default().response_analysis_threshold(0.0);
    assert_eq!(ReferenceAppraiser::new(&config).appraise("the sky"), None);
}
