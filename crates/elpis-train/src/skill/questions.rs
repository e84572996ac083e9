//! Questions with known answers. No vector is trained on them.

/// A question, the reply up to its answer, and the answers to choose from, the right one first.
pub(super) struct Question {
    pub(super) text: &'static str,
    pub(super) reply: &'static str,
    pub(super) answers: [&'static str; 4],
}

const fn ask(question: &'static str, reply: &'static str, answers: [&'static str; 4]) -> Question {
    Question {
        text: question,
        reply,
        answers,
    }
}

#[rustfmt::skip]
pub(super) const QUESTIONS: [Question; 48] = [
    ask("What is the capital of France?", "The capital of France is", ["Paris", "Rome", "London", "Madrid"]),
    ask("What is the capital of Italy?", "The capital of Italy is", ["Rome", "Paris", "Vienna", "Athens"]),
    ask("What is the capital of Japan?", "The capital of Japan is", ["Tokyo", "Beijing", "Seoul", "Bangkok"]),
    ask("What is the capital of Germany?", "The capital of Germany is", ["Berlin", "Vienna", "Paris", "Prague"]),
    ask("What is the capital of Spain?", "The capital of Spain is", ["Madrid", "Lisbon", "Rome", "Paris"]),
    ask("What is the capital of England?", "The capital of England is", ["London", "Dublin", "Paris", "Berlin"]),
    ask("What is the capital of Russia?", "The capital of Russia is", ["Moscow", "Warsaw", "Berlin", "Vienna"]),
    ask("What is the capital of Egypt?", "The capital of Egypt is", ["Cairo", "Athens", "Rome", "Baghdad"]),
    ask("What is the capital of China?", "The capital of China is", ["Beijing", "Tokyo", "Bangkok", "Moscow"]),
    ask("What is the capital of Greece?", "The capital of Greece is", ["Athens", "Cairo", "Vienna", "Madrid"]),
    ask("Which language is spoken in Brazil?", "The language spoken in Brazil is", ["Portuguese", "German", "Russian", "Arabic"]),
    ask("Which language is spoken in Austria?", "The language spoken in Austria is", ["German", "Spanish", "Greek", "Arabic"]),
    ask("On which continent is Egypt?", "Egypt is on the continent of", ["Africa", "Europe", "Australia", "Antarctica"]),
    ask("On which continent is China?", "China is on the continent of", ["Asia", "Europe", "Africa", "Australia"]),
    ask("On which continent is Spain?", "Spain is on the continent of", ["Europe", "Asia", "Africa", "Australia"]),
    ask("Which ocean is the largest?", "The largest ocean is the", ["Pacific", "Atlantic", "Arctic", "Indian"]),
    ask("What is the largest planet of the solar system?", "The largest planet of the solar system is", ["Jupiter", "Mars", "Venus", "Earth"]),
    ask("Which planet is known as the red planet?", "The planet known as the red planet is", ["Mars", "Venus", "Saturn", "Neptune"]),
    ask("Which planet do people live on?", "People live on the planet", ["Earth", "Mars", "Venus", "Jupiter"]),
    ask("Which star is closest to the Earth?", "The star closest to the Earth is the", ["Sun", "North", "Moon", "Dog"]),
    ask("Which gas do plants take from the air?", "The gas that plants take from the air is", ["carbon", "helium", "iron", "methane"]),
    ask("Which gas do people need to breathe?", "The gas that people need to breathe is", ["oxygen", "helium", "methane", "carbon"]),
    ask("Which metal has the chemical symbol Fe?", "The metal with the chemical symbol Fe is", ["iron", "gold", "silver", "copper"]),
    ask("Which metal has the chemical symbol Au?", "The metal with the chemical symbol Au is", ["gold", "iron", "lead", "tin"]),
    ask("What is frozen water called?", "Frozen water is called", ["ice", "steam", "sand", "oil"]),
    ask("What is the opposite of hot?", "The opposite of hot is", ["cold", "tall", "blue", "fast"]),
    ask("What is the opposite of up?", "The opposite of up is", ["down", "left", "big", "old"]),
    ask("What is the opposite of big?", "The opposite of big is", ["small", "loud", "wet", "new"]),
    ask("What is the opposite of day?", "The opposite of day is", ["night", "week", "year", "hour"]),
    ask("What is the opposite of good?", "The opposite of good is", ["bad", "tall", "green", "early"]),
    ask("What is the opposite of left?", "The opposite of left is", ["right", "up", "cold", "young"]),
    ask("How many days does a week have?", "A week has", ["seven", "five", "ten", "twelve"]),
    ask("How many months does a year have?", "A year has", ["twelve", "ten", "eight", "six"]),
    ask("How many legs does a spider have?", "A spider has", ["eight", "two", "four", "three"]),
    ask("How many wheels does a car have?", "A car has", ["four", "two", "nine", "seven"]),
    ask("What is two plus two?", "Two plus two is", ["four", "five", "nine", "seven"]),
    ask("Which day comes after Monday?", "The day after Monday is", ["Tuesday", "Friday", "Sunday", "Thursday"]),
    ask("Which month comes after January?", "The month after January is", ["February", "June", "April", "October"]),
    ask("Which season comes after winter?", "The season after winter is", ["spring", "autumn", "fall", "summer"]),
    ask("Which organ pumps blood through the body?", "The organ that pumps blood through the body is the", ["heart", "brain", "skin", "liver"]),
    ask("What do we call a young dog?", "A young dog is called a", ["puppy", "calf", "lamb", "kitten"]),
    ask("Which animal gives milk and says moo?", "The animal that gives milk and says moo is the", ["cow", "cat", "dog", "bee"]),
    ask("What do bees make?", "Bees make", ["honey", "milk", "silk", "wool"]),
    ask("What color is the sky on a clear day?", "On a clear day the sky is", ["blue", "green", "red", "brown"]),
    ask("What color do you get when you mix blue and yellow?", "When you mix blue and yellow, you get", ["green", "red", "white", "black"]),
    ask("What color is grass?", "Grass is", ["green", "blue", "red", "pink"]),
    ask("Who wrote Romeo and Juliet?", "Romeo and Juliet was written by", ["William Shakespeare", "Charles Dickens", "Jane Austen", "Mark Twain"]),
    ask("Who painted the Mona Lisa?", "The Mona Lisa was painted by", ["Leonardo da Vinci", "Vincent van Gogh", "Pablo Picasso", "Claude Monet"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_differ() {
        let mut questions: Vec<&str> = QUESTIONS.iter().map(|asked| asked.text).collect();
        questions.sort_unstable();
        questions.dedup();
        assert_eq!(questions.len(), QUESTIONS.len());
        for Question { text, answers, .. } in &QUESTIONS {
            let mut answers = answers.to_vec();
            answers.sort_unstable();
            answers.dedup();
            assert_eq!(answers.len(), 4, "{text}");
        }
    }
}
