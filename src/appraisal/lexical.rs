//! Appraises texts with a sentiment lexicon and phrases.

mod affect;
mod feelings;
mod outcome;
mod phrases;
mod prose;
#[cfg(test)]
mod tests;
mod turns;

use affect::{Affect, Feeling};
use outcome::Outcome;
use phrases::Phrases;

use crate::emotion::{EmotionConfig, EmotionEvent, EventSource, KnownEvent, known};

/// Reads the feelings of a text and the outcomes of tasks that it reports.
///
/// How pleasant a sentence is comes from VADER, a sentiment lexicon with rules for negation,
/// boosters and emphasis (C. J. Hutto and E. Gilbert, 2014; MIT). Which feeling it is comes from
/// words and phrases: joy and thanks, calm, anger and fear, grief and sadness. The outcomes of
/// tasks have their own phrases: *tests passed*, *it works now*, *still broken*.
///
/// Questions, suppositions, quotations and advice are ignored, and so are code, lists and drafts of
/// letters and stories. In a message, every other statement about the writer, the reader or the
/// matter at hand counts. In a reply, only an explicit feeling counts (*I'm so happy!*), because
/// replies are polite and describe much that nobody feels.
///
/// With the sum x of the valences of a feeling's words over the text, the score is `x / √(x² +
/// 15)`; outcomes have a fixed score of 0.5 to 0.7. If the score reaches the threshold, the text
/// yields an event with intensity `0.4 + 0.6·score`:
///
/// | read | of a message | of a reply |
/// |---|---|---|
/// | joy, thanks, praise | `user_positive` | `joy` |
/// | calm, relief | `contentment` | `contentment` |
/// | anger, insult, fear | `user_negative` | `frustration` |
/// | grief, sadness | `sadness` | `sadness` |
/// | an outcome | `test_passed`, `success`, `test_failed`, `failure`, `error`, `blocked`, or `frustration` if it failed again | the same |
#[derive(Debug, Clone, PartialEq)]
pub struct LexicalAppraiser {
    threshold: f64,
}

impl LexicalAppraiser {
    /// Creates an appraiser with the settings' `response_analysis_threshold`.
    pub fn new(config: &EmotionConfig) -> Self {
        Self {
            threshold: config.response_analysis_threshold,
        }
    }

    /// Returns the event that a text expresses, if any, with the words that it was derived from.
    /// The source tells whether the text is a reply; any other source is read as a message.
    pub fn appraise(&self, text: &str, source: EventSource) -> Option<EmotionEvent> {
        self.read(text, source, true)
    }

    /// Reads only feelings, for programs that report the outcomes of their tasks themselves.
    pub fn appraise_feelings(&self, text: &str, source: EventSource) -> Option<EmotionEvent> {
        self.read(text, source, false)
    }

    fn read(&self, text: &str, source: EventSource, outcomes: bool) -> Option<EmotionEvent> {
        let reply = source == EventSource::Reply;
        let found = read(text, reply, outcomes).filter(|found| found.score >= self.threshold)?;
        let event = match found.kind {
            Kind::Outcome(event) => event,
            Kind::Feeling(Feeling::Joy) if reply => known::JOY,
            Kind::Feeling(Feeling::Joy) => known::USER_POSITIVE,
            Kind::Feeling(Feeling::Calm) => known::CONTENTMENT,
            Kind::Feeling(Feeling::Anger) if reply => known::FRUSTRATION,
            Kind::Feeling(Feeling::Anger) => known::USER_NEGATIVE,
            Kind::Feeling(Feeling::Sadness) => known::SADNESS,
        };
        let event = EmotionEvent::weighted(event, 0.4 + 0.6 * found.score);
        Some(event.with_source(source).with_words(&found.words))
    }
}

impl Default for LexicalAppraiser {
    fn default() -> Self {
        Self::new(&EmotionConfig::default())
    }
}

/// Questions, wishes, suppositions and advice: neither a feeling nor an outcome.
static ASKED: Phrases = Phrases::new(&[
    r"< (?:(?:please|pls|ok|okay|so|hey|hi|hello|and|now|then|well|also|but) )*(?:write|tell|explain|describe|translate|summari[sz]e|give|list|create|make|generate|suggest|help|show|find|compare|rewrite|correct|solve|calculate|name|define|draft|compose|imagine|pretend|act|role|play|repeat|say|finish|complete|convert|plan|recommend|analy[sz]e|design|implement|add|remove|change|fix|refactor|run|check|review|look|use|let|let's|can|could|would|will|what|why|how|when|where|who|which|whose|is|are|do|does|did|should|may|if|given|consider|answer|please|pick|choose|read|print|sort|count|update|rename|delete|open|edit|continue|i (?:need|want|would like|wish) (?:an?|some|the|more|your|to (?:know|learn|understand|find|see|make|write|read|buy|build|create|ask|talk about|order|book))|i'd like|i'm looking for|i am looking for|continue|try|teach|share|discuss|provide|outline|improve|proofread|shorten|expand|classify|extract|identify|suppose|assume|choose|extract|predict|react|respond|retrieve|select|think of|come up|rank|match|decide|you (?:are given|will|should|need|must|have to|can)|someone|the following|in this|in the event|based on|here (?:is|are))",
]);

/// Exclamations that begin like questions.
static EXCLAIMED: Phrases = Phrases::new(&[
    r"< (?:(?:oh|wow|omg|god|man|and) )*(?:what an?|(?:what|who|where|why|how) the (?:hell|heck|fuck)|(?:what|which) (?:kind|sort) of (?:idiot|moron|fool|monster)|why (?:does|do|is|are|must|did|can't|won't|doesn't) (?:everything|everybody|everyone|nobody|no one|nothing|it always|they always|he always|she always|this always)|are you (?:kidding|serious|joking)|how many times|how (?:wonderful|lovely|awful|terrible|sad|great|nice|sweet|kind|dare|exciting|beautiful|horrible|cruel|could you|could they|could he|could she)|will you|would you stop|can you believe|can't believe|let down|what (?:wonderful|great|terrible|awful|amazing|fantastic|good|bad|horrible|lovely|incredible))",
]);

/// Conditions and possibilities.
static SUPPOSED: Phrases = Phrases::new(&[
    r"if|unless|whether|would|could|might|may|should|in case|let me know|suppose|imagine|perhaps|maybe|wonder|when you|whenever|once you|you can|you will|you'll|you need|make sure|to avoid|so that",
]);

/// Idioms that contain such a word but suppose nothing.
static REAL: Phrases = Phrases::new(&[
    r"so [^ ]+ (?:that )?i could",
    r"could not|couldn't",
    r"i could (?:scream|cry|dance|hug you|kiss you|strangle|explode)",
    r"what (?:would i|i'd|i would) do without",
    r"(?:nobody|no one|who) would",
    r"would (?:not|never) (?:let|listen|stop)",
    r"i would (?:like to|love to|just like to) (?:thank|say thank)",
]);

/// The writer of a message.
static FIRST_PERSON: Phrases = Phrases::new(&[r"i|i'm|i've|i'd|i'll|me|my|myself"]);

/// A reply's statements about its reader are advice or a guess.
static FOR_READER: Phrases = Phrases::new(&[r"you|you've|you're|your|users?|example|e\.g"]);

/// Number of sentences at the beginning and at the end of a reply that state outcomes.
const EDGE: usize = 3;

/// Marks the beginning or end of a draft of a letter or story.
static DRAFT: Phrases = Phrases::new(&[
    r"subject|sincerely|best regards|kind regards|warm regards|yours (?:truly|faithfully|sincerely)|once upon a time|your name|to whom it may concern|dear (?:sir|madam|customer|mr|mrs|ms|hiring|team|friend|teacher|colleague|[^ ]+ >)",
    r"(?:verse|act|scene|chapter|step|part|slide|section|question|person|paragraph|stanza) (?:[0-9]+|one)|chorus|narrator|int|ext|fade in",
    r"(?:here's|here is|here are|here goes|sure|certainly|of course|below is) (?:[^ ]+ ){0,8}?(?:poem|song|story|letter|email|draft|script|dialogue|guide|lyrics|speech|review|essay|haiku|limerick|monologue|scene|rap|verse|tweet|message|template|summary|outline|response|note|version|entry|card)",
]);

/// What a text expresses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Outcome(KnownEvent),
    Feeling(Feeling),
}

/// The result for a text: what it expresses, with which confidence in [0, 1], and by which words.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    pub kind: Kind,
    pub score: f64,
    pub words: String,
}

/// Reads a text. Its strongest statement counts; of equally strong ones, the last.
fn read(text: &str, reply: bool, outcomes: bool) -> Option<Finding> {
    let mut sentences = prose::sentences(text);
    if let Some(draft) = sentences.iter().position(|s| DRAFT.is_in(&s.words)) {
        sentences.truncate(draft);
    }
    // Sentences next to an order describe what the order is about.
    let ordered = sentences.len() > 1
        && sentences
            .first()
            .is_some_and(|first| !first.question && ASKED.is_in(&first.words));
    let last = sentences.len();
    let mut outcome: Option<Outcome> = None;
    let mut felt: Vec<Affect> = Vec::new();
    for sentence in &sentences {
        let words = sentence.words.as_str();
        let exclaimed = EXCLAIMED.is_in(words) || (sentence.question && sentence.exclamation);
        let asked = (sentence.question || ASKED.is_in(words)) && !exclaimed;
        let supposed = SUPPOSED.is_in(&REAL.without(words));
        if !reply {
            if outcomes && !asked && !supposed {
                // The last statement describes the present state.
                outcome = outcome::read(sentence).or(outcome);
            }
            let matter = ordered && !FIRST_PERSON.is_in(words);
            felt.extend(affect::read(sentence, asked || matter, supposed));
            continue;
        }
        // The middle of a long reply is its subject matter.
        let within = sentence.place >= EDGE && sentence.place + EDGE < last;
        if asked || supposed || within {
            continue;
        }
        if outcomes && !FOR_READER.is_in(words) {
            outcome = outcome::read(sentence).or(outcome);
        }
        felt.extend(affect::read_reply(sentence));
    }
    let affect = strongest(&felt).map(|affect| Finding {
        kind: Kind::Feeling(affect.feeling),
        score: affect::score_of(affect.weight),
        words: affect.words.join(", "),
    });
    let outcome = outcome.map(|outcome| Finding {
        kind: Kind::Outcome(outcome.event),
        score: outcome.score,
        words: outcome.words,
    });
    // Outcomes take precedence unless a feeling is stronger.
    match (outcome, affect) {
        (Some(outcome), Some(affect)) if affect.score > outcome.score + 0.1 => Some(affect),
        (Some(outcome), _) => Some(outcome),
        (None, affect) => affect,
    }
}

/// The feeling with the greatest weight over all sentences, with the words of each.
fn strongest(felt: &[Affect]) -> Option<Affect> {
    let total = |feeling: Feeling| {
        let same = felt.iter().filter(move |affect| affect.feeling == feeling);
        let weight: f64 = same.clone().map(|affect| affect.weight).sum();
        let words = same.flat_map(|affect| affect.words.clone()).take(4);
        (weight > 0.0).then(|| Affect {
            feeling,
            weight,
            words: words.collect(),
        })
    };
    let totals = Feeling::ALL.into_iter().filter_map(total);
    totals.max_by(|a, b| a.weight.total_cmp(&b.weight))
}
