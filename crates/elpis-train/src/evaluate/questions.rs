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

/// Questions with answers of a word or two.
pub(super) const ANSWERS: [(&str, &str); 24] = [
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Italy?", "Rome"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Germany?", "Berlin"),
    ("What is the capital of Spain?", "Madrid"),
    ("What is the capital of England?", "London"),
    ("What is the largest planet of the solar system?", "Jupiter"),
    ("Which planet is known as the red planet?", "Mars"),
    ("Which star is closest to the Earth?", "Sun"),
    ("What is the chemical symbol of water?", "H2O"),
    ("Which gas do plants take from the air?", "carbon dioxide"),
    ("Which gas do people need to breathe?", "oxygen"),
    ("What is the opposite of hot?", "cold"),
    ("What is the opposite of up?", "down"),
    ("What is frozen water called?", "ice"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("On which continent is Egypt?", "Africa"),
    ("On which continent is Brazil?", "South America"),
    ("Which ocean is the largest?", "Pacific"),
    ("Which animal gives us milk and says moo?", "cow"),
    ("What color is the sky on a clear day?", "blue"),
    (
        "What color do you get when you mix blue and yellow?",
        "green",
    ),
    ("Which language is spoken in Brazil?", "Portuguese"),
    ("What do bees make?", "honey"),
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

/// Whether a text has an answer as words of its own.
pub(super) fn says(text: &str, answer: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let parts = text.split(|c: char| !c.is_alphanumeric());
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let (text, answer) = (words(text), words(answer));
    text.windows(answer.len().max(1)).any(|part| part == answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis_steering::BASE_EMOTIONS;

    #[test]
    fn an_answer_is_found_as_words() {
        assert!(says("The capital is Paris.", "Paris"));
        assert!(says("It's 12!", "12"));
        assert!(says("in NEW york, usa", "New York"));
        assert!(!says("Parisian", "Paris") && !says("112", "12") && !says("", "Paris"));
    }

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
