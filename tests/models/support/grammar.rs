//! The tiny model's grammar: whether a reply parses, and which mood it has.
//! The rule is written out in `tools/tiny-model/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

type Slots = BTreeMap<String, Vec<String>>;

#[derive(Debug, Deserialize)]
pub struct Grammar {
    pub moods: Vec<String>,
    slots: Slots,
    topics: BTreeMap<String, Slots>,
    sentences: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Judgement {
    pub parses: bool,
    /// The reply's mood, `neutral` included; `None` if it does not parse or
    /// mixes moods.
    pub mood: Option<String>,
}

impl Grammar {
    pub fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/tiny-model/grammar.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub fn judge(&self, reply: &str) -> Judgement {
        let mut moods = Vec::new();
        for sentence in sentences(reply.trim()) {
            let found = self.moods_of(sentence);
            if found.is_empty() {
                return Judgement {
                    parses: false,
                    mood: None,
                };
            }
            moods.extend(found.into_iter().filter(|mood| *mood != "neutral"));
        }
        moods.sort_unstable();
        moods.dedup();
        let mood = match moods.as_slice() {
            [] => Some("neutral".to_owned()),
            [mood] => Some((*mood).to_owned()),
            _ => None,
        };
        Judgement { parses: true, mood }
    }

    fn moods_of(&self, sentence: &str) -> Vec<&str> {
        let reads = |pattern: &String| {
            let in_topic = |topic: &Slots| self.matches(pattern, sentence, topic);
            self.topics.values().any(in_topic)
        };
        self.sentences
            .iter()
            .filter(|(_, patterns)| patterns.iter().any(reads))
            .map(|(mood, _)| mood.as_str())
            .collect()
    }

    /// Whether the whole text matches the pattern with the slots of a topic.
    fn matches(&self, pattern: &str, text: &str, topic: &Slots) -> bool {
        let Some((literal, rest)) = pattern.split_once('{') else {
            return pattern == text;
        };
        let Some(text) = text.strip_prefix(literal) else {
            return false;
        };
        let (slot, rest) = rest.split_once('}').unwrap();
        let name = change_first(slot, |c| c.to_ascii_lowercase());
        let values = self.slots.get(&name).or_else(|| topic.get(&name)).unwrap();
        values.iter().any(|value| {
            let filled = if slot == name {
                value.clone()
            } else {
                change_first(value, |c| c.to_ascii_uppercase())
            };
            text.strip_prefix(filled.as_str())
                .is_some_and(|text| self.matches(rest, text, topic))
        })
    }
}

fn change_first(text: &str, change: impl Fn(char) -> char) -> String {
    let mut chars = text.chars();
    chars.next().map(change).into_iter().chain(chars).collect()
}

/// Splits at every single space that follows `.`, `!` or `?`.
fn sentences(reply: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in reply.match_indices(' ') {
        if reply[..at].ends_with(['.', '!', '?']) {
            found.push(&reply[start..at]);
            start = at + 1;
        }
    }
    found.push(&reply[start..]);
    found
}
