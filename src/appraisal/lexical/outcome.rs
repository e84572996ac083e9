//! Reads reported outcomes of tasks.

use super::phrases::Phrases;
use super::prose::Sentence;
use crate::emotion::{KnownEvent, known};

/// The outcome that a sentence reports: the event, its confidence in [0, 1], and the words that
/// express it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub event: KnownEvent,
    pub score: f64,
    pub words: String,
}

static TESTS_PASSED: Phrases = Phrases::new(&[
    r"(?:all |both |the |my |our |every |each |[0-9]+ |unit |integration |of )*tests? (?:now |all |finally |have |has |are |is |were |just )*(?:passed|passing|green)(?: now| again| at last)?",
    r"(?:all |both |the |my |our |[0-9]+ |unit |integration |of )*tests? (?:now|all|finally) pass",
    r"(?:all|every|each|both)(?: [0-9]+| of| the| my| our| unit| integration)* tests? pass(?:es)?(?: now| again)?",
    r"tests? pass(?:es)? (?:now|again|at last)",
    r"(?:test suite|suite|ci|pipeline) (?:is |now |finally )*(?:green|passes|passed)",
    r"tests? and (?:they |all of them |everything )?(?:all |now )*(?:pass|passed|passes)",
]);

static TESTS_FAILED: Phrases = Phrases::new(&[
    r"(?:the |my |our |some |all |one |two |three |[0-9]+ |of |unit |integration )*tests? (?:still |just |all |have |has |are |is |were |kept |now )*(?:failed|failing|broken|red)",
    r"tests? (?:still|now|again|keeps?|all) fail(?:s|ing)?",
    r"tests? fails? (?:again|now|still)",
    r"[0-9]+ (?:test )?failures?",
    r"(?:test suite|suite|ci|pipeline) (?:is |still |now )*(?:red|fails|failed|failing)",
]);

static SUCCEEDED: Phrases = Phrases::new(&[
    r"(?:it|this|that|everything) (?:now|finally|actually) (?:works|runs|compiles|builds|starts|loads)",
    r"(?:it|this|that|everything|code|program|script|app|server|build|login) (?:all )?(?:works|runs|compiles|builds|starts|loads) (?:now|again|fine|perfectly|great|flawlessly|at last|as expected|like a charm)",
    r"(?:finally|now) (?:it |everything )?(?:works|working|compiles)",
    r"(?:it's|it is|that's|everything is|everything's|is|are|they're) (?:all |now |finally |up and )*(?:working|running) (?:now|again|fine|perfectly|great|smoothly|at last|as expected|like a charm)",
    r"(?:it's|it is|everything is|everything's) (?:now|finally) (?:working|running|fixed|done)",
    r"(?:i|we|i've|we've|you|you've) (?:have |just |finally |already |now |actually )*(?:fixed|solved|resolved|cracked) (?:it|that|this|them|the|my|our|your|everything)(?: [^ ]+)?",
    r"(?:that|this|it|which) (?:finally |actually |really |just )?(?:did it|did the trick|fixed it|solved it|fixed everything|solved everything)",
    r"(?:that|it|this) (?:finally |actually |really |just )?worked(?: now| again| perfectly| great| like a charm)?",
    r"(?:problem|problems|bug|bugs|issue|issues|error|errors|leak|crash|conflict) (?:is |are |has |have |been |was |were |now |all |finally )*(?:fixed|solved|gone|resolved)",
    r"got it (?:to work|working|running|fixed|done)",
    r"(?:build|deploy|deployment|compilation|installation|migration|upload|download|import|backup|release|job|task|update) (?:is |has |was |now |just |finally |been )*(?:succeeded|succeeds|passed|passes|successful|complete|completed|finished|went through|green)(?: successfully)?",
    r"(?:i|we|i've|we've|have|has|been|was|were|is|are|it|everything) (?:now )?successfully (?:deployed|compiled|built|installed|completed|finished|fixed|merged|migrated|uploaded|imported|restored|saved|ran|implemented)",
    r"(?:compiled|ran|runs|builds|compiles|finished|completed|deployed) (?:successfully|cleanly|without (?:any |an )?(?:errors?|warnings?|problems?))",
    r"(?:it|that|this|everything|it's|that's|everything's) (?:is |has been |was |now |finally |all )*(?:fixed|solved|resolved)(?: now)?",
    r"(?:task|job|work) (?:is |has been )(?:now |all |finally )*done(?: now)? >",
    r"no (?:more )?errors (?:now|anymore|any more|left)",
    r"(?:all|everything is|everything's|it's|it is|we're|i'm|i am|we are) (?:all |finally )?done(?: now)? >",
    r"mission accomplished",
]);

/// Sentences that consist of nothing else.
static WORKS: Phrases = Phrases::new(&[
    r"< (?:(?:yes|yeah|yay|ok|okay|great|wow|hey|oh|and|hooray|look|perfect|good|so|now|finally) )*(?:it|that|this|everything) (?:all )?works >",
    r"< (?:(?:yes|yeah|yay|ok|great|wow|finally|all) )*(?:fixed|solved|resolved|done|success)(?: it)? >",
]);

static FAILED: Phrases = Phrases::new(&[
    r"(?:it|this|that|which|nothing|code|program|script|app|server|login|build|command|fix|patch) (?:still |just |also |simply )*(?:does not|doesn't|didn't|did not|won't|will not) (?:work|run|start|compile|build|load|open|boot|connect)(?: again| anymore| any more| either| at all| yet| for me| now)? >",
    r"(?:(?:is|are|it's|was|still) (?:still |just )*not|isn't|aren't|wasn't) (?:really |properly )?working(?: again| anymore| any more| either| at all| yet| for me| properly)? >",
    r"(?:it|that|this|build|deploy|deployment|compilation|installation|migration|upload|download|import|backup|command|script|program|app|server|request|update|login|job|release|code|fix|patch) (?:has |have |just |still |also |always |all |then )*(?:failed|crashed|crashes|broke|timed out|blew up)(?: again| too| as well| completely)?",
    r"(?:it's|it is|is|are|was|still|everything is|everything's) (?:all |still |now |completely |totally |again )*broken(?: again| now)? >",
    r"(?:i|we|i've|we've) (?:have |just |still |also |again )*(?:failed|broke|messed up|screwed up)(?: it| this| that| again| the| everything| >)",
]);

static ERRED: Phrases = Phrases::new(&[
    r"(?:i|we) (?:still |just |again )*(?:cannot|can't|could not|couldn't|am unable to|was unable to|were unable to|are unable to|failed to) (?:fix|solve|resolve|open|read|write to|connect|compile|build|install|load|parse|reproduce|reach|run|start|log in|complete|finish) (?:it|this|that|the|any|a|an|to)",
    r"(?:i|we|i'm|we're|i've|we've) (?:have |just |still |keep |again |am |are )*(?:got|get|getting|hit|hitting|ran into|encountered|seeing) (?:a|an|the same|another|this|the) (?:[^ ]+ ){0,2}(?:error|exception|panic|segfault|crash|timeout)",
    r"there (?:was|were) (?:an|another|some) (?:[^ ]+ )?(?:error|errors|exception) (?:while|when|during|in|with)",
    r"something (?:just |has )?(?:went|gone) wrong(?: again)?",
]);

static STUCK: Phrases = Phrases::new(&[
    r"keeps? (?:on )?(?:failing|crashing|breaking|happening|timing out|freezing|dying|coming back)",
    r"still (?:broken|failing|fails|crashing|crashes|not working|not fixed|stuck|wrong)",
    r"still (?:doesn't|does not|won't|isn't|didn't|can't|cannot) (?:work|working|run|running|compile|start|fix|solve|get it|load)",
    r"same (?:[^ ]+ )?(?:error|problem|bug|failure|crash|exception|mistake) (?:again|as before|every time|over and over)",
    r"still (?:getting |get |have |having |seeing |see )?the same (?:[^ ]+ )?(?:error|problem|bug|failure|crash|exception|mistake|result)",
    r"(?:i|we|i'm|we're|i've|we've) (?:am |are |have |been |got |get |keep getting |completely |totally |really |still |so |absolutely |just )*stuck",
    r"nothing (?:i try |we try |seems to )?(?:works|work)(?: anymore)? >",
    r"(?:at my wits' end|out of ideas)",
]);

static BLOCKED: Phrases = Phrases::new(&[
    r"(?:i'm|i am|we're|we are) (?:completely |totally |still |now )*(?:blocked|out of options)",
    r"(?:i|we) (?:cannot|can't|could not|couldn't) (?:proceed|continue|go on|move forward|make any progress)(?: like this| here| any further| without [^ ]+(?: [^ ]+)?)?",
    r"no way forward",
    r"(?:i|we) (?:just |have |finally )*(?:give|gave|giving) up >",
    r"(?:hit|reached|at) a dead end",
]);

/// Makes a failure one that has happened before.
static AGAIN: Phrases = Phrases::new(&[
    "again",
    "still",
    "keeps?",
    "kept",
    "yet another",
    "over and over",
    "every (?:single )?time",
    r"(?:second|third|fourth|fifth|[0-9]+th|umpteenth) time",
    "repeatedly",
    "once more",
    "same",
]);

/// Beginnings of lines of a log that name an error.
const LOGGED: &[&str] = &[
    "error: ",
    "error[",
    "fatal: ",
    "panic: ",
    "exception: ",
    "traceback (",
    "failed: ",
];

/// Reads a sentence; the caller has left out what is asked, supposed or advised.
pub(super) fn read(sentence: &Sentence) -> Option<Outcome> {
    let words = sentence.words.as_str();
    let found = |phrases: &Phrases, event, score| {
        phrases.stated(words).map(|place| Outcome {
            event,
            score,
            words: place.words.to_owned(),
        })
    };
    let failure = found(&TESTS_FAILED, known::TEST_FAILED, 0.7)
        .or_else(|| found(&FAILED, known::FAILURE, 0.7))
        .or_else(|| found(&ERRED, known::ERROR, 0.6))
        .or_else(|| logged(sentence));
    if let Some(failure) = failure {
        let again = AGAIN.is_in(words);
        return Some(if again {
            Outcome {
                event: known::FRUSTRATION,
                ..failure
            }
        } else {
            failure
        });
    }
    found(&STUCK, known::FRUSTRATION, 0.7)
        .or_else(|| found(&BLOCKED, known::BLOCKED, 0.6))
        .or_else(|| found(&TESTS_PASSED, known::TEST_PASSED, 0.7))
        .or_else(|| found(&SUCCEEDED, known::SUCCESS, 0.7))
        .or_else(|| found(&WORKS, known::SUCCESS, 0.7))
}

fn logged(sentence: &Sentence) -> Option<Outcome> {
    let line = sentence.raw.to_lowercase();
    let begins = LOGGED.iter().any(|begin| line.starts_with(begin));
    begins.then(|| Outcome {
        event: known::ERROR,
        score: 0.5,
        words: sentence.raw.clone(),
    })
}

/// All of these, for the tests.
#[cfg(test)]
pub(super) static ALL: &[&Phrases] = &[
    &TESTS_PASSED,
    &TESTS_FAILED,
    &SUCCEEDED,
    &WORKS,
    &FAILED,
    &ERRED,
    &STUCK,
    &BLOCKED,
    &AGAIN,
];
