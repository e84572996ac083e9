use proptest::prelude::*;

use super::*;

/// What is read of a reply; the empty name is nothing.
const REPLIES: &[(&str, &str)] = &[
    (
        "test_passed",
        "All 42 tests pass now. The bug was in the parser.",
    ),
    ("test_passed", "I've run the tests and they all pass."),
    ("test_passed", "The test suite passes."),
    ("test_passed", "Tests are green."),
    ("test_passed", "All tests passed on the first try."),
    ("test_passed", "12 tests passed."),
    ("test_failed", "2 of 10 tests are failing."),
    ("test_failed", "The tests failed."),
    ("test_failed", "One test failed: test_parse."),
    ("frustration", "The tests still fail: 3 of 42."),
    ("frustration", "The test failed again."),
    (
        "success",
        "I fixed the off-by-one error and the build succeeds.",
    ),
    (
        "success",
        "Done. I've implemented the function and everything works.",
    ),
    ("success", "The migration completed without errors."),
    ("success", "It is fixed now."),
    ("success", "The compile error is gone."),
    ("success", "Success! The file was uploaded."),
    ("success", "It works now, thanks to the new index."),
    ("success", "That fixed it."),
    ("success", "Everything works as expected."),
    ("success", "I have successfully deployed the service."),
    ("success", "The login problem is solved."),
    ("success", "Finally, it compiles!"),
    ("success", "I got it working."),
    ("failure", "Unfortunately the deployment failed."),
    ("failure", "The fix did not work."),
    ("failure", "The server crashed."),
    ("failure", "The build is broken."),
    ("failure", "It doesn't work."),
    ("failure", "That didn't work."),
    ("failure", "It failed."),
    ("error", "I could not open the file."),
    ("error", "I was unable to reproduce the crash."),
    (
        "error",
        "There was an error while reading the configuration.",
    ),
    ("error", "I ran into an unexpected exception."),
    ("error", "Something went wrong."),
    ("error", "Error: cannot find module 'fs'"),
    ("frustration", "It failed again with the same error."),
    ("frustration", "I'm stuck: the API keeps returning 500."),
    ("frustration", "Still broken after the change."),
    ("frustration", "Same exception as before."),
    ("frustration", "I keep getting the same timeout."),
    ("frustration", "It keeps crashing."),
    ("frustration", "It still doesn't work."),
    ("frustration", "The server crashed again."),
    ("frustration", "Nothing works."),
    ("frustration", "This is the third time the build failed."),
    ("blocked", "I can't proceed without the password."),
    ("blocked", "I'm blocked by the missing permission."),
    ("blocked", "I give up."),
    ("", "I'm always here for you."),
    ("", "I never get tired of our talks."),
    ("", "Same here!"),
    ("", "I am still thinking about it."),
    ("", "It keeps me going."),
    ("", "Talk to you again soon."),
    ("", "I found a new recipe for you."),
    ("", "That was an interesting question."),
    ("", "You might like this one."),
    ("", "There is no problem at all."),
    ("", "Nothing is wrong with that."),
    ("", "No worries!"),
    ("", "What's wrong?"),
    ("", "The correct answer is 4."),
    ("", "The job is done when the water boils."),
    ("", "No tests failed."),
    ("", "None of the tests failed."),
    ("", "The test didn't fail."),
    ("", "If the tests fail, read the log."),
    ("", "The tests might fail on Windows."),
    ("", "Make sure that all tests pass before you merge."),
    ("", "You can run it again when the tests have passed."),
    ("", "Does it work now?"),
    ("", "Did the build fail again?"),
    ("", "I would be stuck without you."),
    ("", "An exception is an error that a program raises."),
    ("", "I'm happy to help!"),
    ("", "I'm sorry to hear that."),
    ("", "I'm sorry for your loss, losing a mother is terrible."),
    ("", "I'm afraid I can't help with that."),
    ("", "You're welcome!"),
    ("", "I'm glad it helped."),
    ("", "I'm not angry."),
    ("", "I don't hate you."),
    ("", "She said \"I hate you\" and left."),
    ("", "No problem at all, my friend"),
    (
        "",
        "I always enjoy our conversations, and I never forget what you tell me.",
    ),
    ("", "It is never too late to try again."),
    ("", "Let me know if it still doesn't work."),
    ("", "Great question!"),
    ("", "The film is about a man who dies in the war."),
    ("", "You are doing great, keep it up!"),
    ("", "Here is the same text again."),
    ("", "Still, it is a lovely place."),
    ("", "The bug lives in the garden and eats leaves."),
    ("", "We discussed the issue of the magazine."),
    ("", "Perhaps it is new to you."),
    ("joy", "I love you, you are wonderful."),
    ("joy", "I love it!"),
    ("joy", "I'm so happy!"),
    ("joy", "I am thrilled!"),
    ("joy", "I'm really happy right now."),
    ("frustration", "I hate you."),
    ("frustration", "I'm angry."),
    ("frustration", "I'm so frustrated with this."),
    ("frustration", "I am fed up!"),
    ("frustration", "You're an idiot."),
    ("frustration", "I hate this."),
    ("sadness", "My mother died."),
    ("sadness", "I feel sad."),
    ("sadness", "I'm heartbroken."),
    ("sadness", "I feel so lonely."),
    ("sadness", "I am exhausted and hopeless."),
    ("contentment", "I feel calm."),
    ("contentment", "I'm at peace."),
    ("contentment", "I am so relieved."),
];

/// What is read of a message.
const MESSAGES: &[(&str, &str)] = &[
    ("user_positive", "I love you, you are wonderful"),
    ("user_positive", "thx, ur the best!!"),
    ("user_negative", "I hate you"),
    ("user_negative", "You are not very helpful."),
    ("user_negative", "Why are you so stupid?"),
    ("user_negative", "Thanks for nothing."),
    ("user_negative", "I'm scared of the exam."),
    ("sadness", "My mother died"),
    (
        "sadness",
        "I miss my dad so much, he was my best friend and I loved him.",
    ),
    ("sadness", "😭😭😭"),
    ("contentment", "I feel so calm and peaceful tonight."),
    ("contentment", "Such a relief, it is over."),
    ("test_passed", "All tests pass now!"),
    ("failure", "The build is broken."),
    ("frustration", "It still doesn't work."),
    ("success", "It works!"),
    ("", "No problem at all, my neighbour"),
    ("", "I always take the same bus, and I never drive again."),
    ("", "It keeps raining, still the same as yesterday."),
    ("", "Write a sad poem about a mother who died."),
    ("", "How do I deal with anger?"),
    ("", "I need a list of synonyms for happy."),
    ("", "He said \"I hate you\" and left the room."),
    ("", "> I hate you\nThat is what the mail says, at line 3."),
    ("", "kill the process on port 8080"),
    ("", "Good morning"),
    ("", "Sorry for the trouble."),
    ("", "Je suis très triste."),
    ("", ""),
];

#[test]
fn every_list_of_phrases_compiles() {
    use super::{affect, feelings, outcome, turns};
    let lists = feelings::ALL.iter().chain(turns::ALL).chain(outcome::ALL);
    let own = [
        &ASKED,
        &EXCLAIMED,
        &SUPPOSED,
        &REAL,
        &DRAFT,
        &FIRST_PERSON,
        &FOR_READER,
    ];
    for phrases in lists.copied().chain(own) {
        phrases.compile().unwrap();
        // An empty phrase would stand everywhere.
        assert!(!phrases.is_in(" < ~ > "), "{phrases:?}");
    }
    assert!(affect::score_of(0.0) < f64::EPSILON);
}

#[test]
fn texts_are_read_as_people_mean_them() {
    let appraiser = LexicalAppraiser::default();
    let mut wrong = Vec::new();
    for (source, table) in [
        (EventSource::Reply, REPLIES),
        (EventSource::Message, MESSAGES),
    ] {
        for (expected, text) in table {
            let read = appraiser.appraise(text, source);
            let name = read.as_ref().map_or("", EmotionEvent::name);
            if name != *expected {
                wrong.push(format!(
                    "{text:?} of a {} is {name:?}, not {expected:?}",
                    source.as_str()
                ));
            }
            if let Some(event) = read {
                assert_eq!(event.source(), Some(source));
                assert!(event.words().is_some(), "{text}: no words");
                assert!((0.4..=1.0).contains(&event.intensity()), "{event:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_words_are_told() {
    let words = |text, source| {
        let event = LexicalAppraiser::default().appraise(text, source)?;
        event.words().map(str::to_owned)
    };
    let message = |text| words(text, EventSource::Message);
    assert_eq!(
        message("I hate this, it is awful.").as_deref(),
        Some("hate, awful")
    );
    assert_eq!(
        message("I asked you twice, you fool!").as_deref(),
        Some("you fool")
    );
    let reply = words("I looked at it for an hour. I'm stuck.", EventSource::Reply);
    assert_eq!(reply.as_deref(), Some("i'm stuck"));
}

#[test]
fn negation_turns_a_feeling_around_and_boosters_make_it_stronger() {
    let of = |text| LexicalAppraiser::default().appraise(text, EventSource::Message);
    let intensity = |text| of(text).map_or(0.0, |event| event.intensity());
    assert_eq!(of("I am not angry."), None);
    assert_eq!(of("I'm not sad."), None);
    assert_eq!(
        of("You are not helpful at all.").unwrap().name(),
        "user_negative"
    );
    assert!(intensity("I am very happy.") > intensity("I am happy."));
    assert!(intensity("I am happy!!!") > intensity("I am happy."));
    assert!(intensity("I am slightly annoyed.") < intensity("I am annoyed."));
}

#[test]
fn outcomes_are_left_out_where_the_program_tells_them() {
    let appraiser = LexicalAppraiser::default();
    for text in ["All tests pass now.", "It failed again.", "I'm stuck."] {
        assert!(appraiser.appraise(text, EventSource::Reply).is_some());
        assert_eq!(
            appraiser.appraise_feelings(text, EventSource::Reply),
            None,
            "{text}"
        );
    }
    let sad = appraiser.appraise_feelings("The tests failed. I feel sad.", EventSource::Reply);
    assert_eq!(sad.unwrap().name(), "sadness");
}

#[test]
fn the_threshold_silences_what_is_weak() {
    let strict = LexicalAppraiser::new(&EmotionConfig::default().response_analysis_threshold(0.8));
    assert_eq!(strict.appraise("I feel great.", EventSource::Message), None);
    let delighted = "I love you, you are wonderful, thank you so much!";
    assert!(strict.appraise(delighted, EventSource::Message).is_some());
}

#[test]
fn what_is_no_prose_of_the_writers_is_left_out() {
    let read = |text: &str| LexicalAppraiser::default().appraise(text, EventSource::Message);
    for text in [
        "```\nerror: I hate you\n```",
        "```\nI hate you, all tests failed",
        "Call `I hate you` with two arguments.",
        "- I hate you\n- I love you\n1. My mother died\n| sad | angry |",
        "Dear Sir,\nI hate your hotel and I am furious.\nSincerely, Ada",
        "The lines are “I hate you” and «my mother died» and \"go to hell\".",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn long_texts_take_no_long_time() {
    let appraiser = LexicalAppraiser::default();
    appraiser.appraise("warm", EventSource::Message);
    for text in [
        "I hate you! ".repeat(100_000),
        "never again still stuck ".repeat(50_000),
        "\"".repeat(500_000),
        "`".repeat(500_001),
        "so ".repeat(300_000),
        "i'm so so so so ".repeat(100_000),
        "you are such a ".repeat(100_000),
        "a!".repeat(500_000),
        "😭".repeat(300_000),
        "o".repeat(1_000_000),
    ] {
        let start = std::time::Instant::now();
        for source in [EventSource::Message, EventSource::Reply] {
            appraiser.appraise(&text, source);
        }
        let took = start.elapsed();
        assert!(took.as_millis() < 1500, "{took:?} for {:?}…", &text[..8]);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,300}|[a-z '.!?\"`\n*>-]{0,300}") {
        let appraiser = LexicalAppraiser::default();
        for source in [EventSource::Message, EventSource::Reply, EventSource::Caller] {
            if let Some(event) = appraiser.appraise(&text, source) {
                prop_assert!((0.0..=1.0).contains(&event.intensity()));
            }
        }
    }

    /// What a friendly text is full of is no failure.
    #[test]
    fn single_words_are_nothing(words in prop::collection::vec(
        prop::sample::select(vec![
            "always", "never", "again", "still", "same", "keeps", "new", "found", "issue",
            "might", "maybe", "the", "a", "time", "we", "talk", "and", "learn", "working", "correct",
        ]), 1..12)) {
        let text = format!("{}.", words.join(" "));
        let appraiser = LexicalAppraiser::default();
        prop_assert_eq!(appraiser.appraise(&text, EventSource::Reply), None);
    }
}
