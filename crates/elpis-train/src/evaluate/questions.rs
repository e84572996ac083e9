//! What is asked in an evaluation. No vector is trained on it.

/// Prompts that leave the mood of the reply open.
pub(super) const PROMPTS: [&str; 24] = [
    "What should I cook tonight?",
    "Describe a walk through a city.",
    "Write a short note to a colleague about a meeting.",
    "What is it like to live by the sea?",
    "Tell me a story about a dog.",
    "How was your day?",
    "What do you think of my plan to learn the piano?",
    "Describe your room.",
    "What happens at a railway station in the morning?",
    "Write a diary entry about a Tuesday.",
    "Tell me about your neighbors.",
    "What do you see when you look out of the window?",
    "How should I spend the weekend?",
    "Describe a teacher that you remember.",
    "What would you say to somebody who moves to another town?",
    "Tell me about a letter that came by mail.",
    "What is on your mind?",
    "Describe a dinner with the family.",
    "How do you feel about winter?",
    "Write a few lines about an old house.",
    "What did the children do after school?",
    "Tell me something about the people at work.",
    "What comes after the rain?",
    "Describe a long journey by bus.",
];

/// For each corner of the plane, the line that tells a model to be in that mood.
const MOOD_LINES: [(&str, &str); 4] = [
    ("excited", "You are excited: full of joy and energy."),
    ("calm", "You are calm: content and at ease."),
    ("frustrated", "You are frustrated: angry and tense."),
    ("depleted", "You are depleted: sad, tired and without hope."),
];

/// The line of an emotion.
pub(super) fn line_of(emotion: &str) -> Option<&'static str> {
    let known = MOOD_LINES.iter().find(|(name, _)| *name == emotion);
    known.map(|(_, line)| *line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis_steering::BASE_EMOTIONS;

    #[test]
    fn every_corner_has_a_line_and_prompts_differ() {
        for emotion in BASE_EMOTIONS {
            assert!(line_of(emotion).is_some(), "{emotion}");
        }
        let mut prompts = PROMPTS.to_vec();
        prompts.sort_unstable();
        prompts.dedup();
        assert_eq!(prompts.len(), PROMPTS.len());
    }
}
