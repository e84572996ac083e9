//! Separates a model's thinking from a constrained answer.

use super::family::{Family, Part, Role};
use super::name::{ControlToken, ToolFormat};
use super::opening::Finder;

/// The end of the preface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The end of the thinking.
    Thought,
    /// The mark before the answer.
    Answer,
}

/// Separates the thinking before an answer from the answer.
#[derive(Debug, Clone)]
pub struct Preface {
    finder: Finder,
    end: End,
}

impl Preface {
    /// Begins a reply; with `thinking`, inside the model's thinking. `None` if the answer begins
    /// immediately: nothing has opened the thinking, and the model has no mark for answers among
    /// `control`.
    pub fn new(format: ToolFormat, control: &[ControlToken], thinking: bool) -> Option<Self> {
        let is_token = |text: &str| control.iter().any(|token| text.starts_with(token.text));
        let marks = Family::of(format).marks.iter();
        let mut answers = marks.filter(|mark| mark.role == Role::Answer);
        let marked = answers.any(|mark| {
            let texts = mark.parts.iter();
            texts
                .filter_map(|part| match part {
                    Part::Text(text) => Some(*text),
                    _ => None,
                })
                .any(is_token)
        });
        let end = match (marked, thinking) {
            (true, _) => End::Answer,
            (false, true) => End::Thought,
            (false, false) => return None,
        };
        Some(Self {
            finder: Finder::of_marks(format, thinking).quiet(),
            end,
        })
    }

    /// Adds a piece of the reply, and moves the part that belongs to the preface to `before`,
    /// without its marks. Once the preface has ended, returns the text after it; then nothing more
    /// may be pushed.
    pub fn push(&mut self, piece: &[u8], before: &mut Vec<u8>) -> Option<Vec<u8>> {
        for (at, byte) in piece.iter().enumerate() {
            let told = before.len();
            self.finder.push(&[*byte], before);
            let ended = match self.end {
                End::Thought => !self.finder.is_thinking(),
                End::Answer => self.finder.has_answered(),
            };
            if ended {
                let mut behind = before.split_off(told);
                behind.extend(self.finder.take());
                behind.extend_from_slice(&piece[at + 1..]);
                return Some(behind);
            }
        }
        None
    }

    /// Ends the reply. The text held back belongs to the preface.
    pub fn finish(&mut self) -> Vec<u8> {
        self.finder.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(preface: Option<Preface>, reply: &str) -> Option<(String, String)> {
        let mut preface = preface?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let mut before = Vec::new();
        let mut bytes = reply.bytes();
        while let Some(byte) = bytes.next() {
            if let Some(mut behind) = preface.push(&[byte], &mut before) {
                behind.extend(bytes);
                return Some((text(before), text(behind)));
            }
        }
        before.extend(preface.finish());
        Some((text(before), String::new()))
    }

    #[test]
    fn the_thinking_in_front_of_an_answer_is_told_from_it() {
        let told = |before: &str, behind: &str| Some((before.to_owned(), behind.to_owned()));
        let hermes = |thinking| Preface::new(ToolFormat::Hermes, &[], thinking);
        assert!(hermes(false).is_none());
        assert_eq!(
            split(hermes(true), "Hm.\n</think>\n\n{}"),
            told("Hm.\n", "\n\n{}")
        );
        assert_eq!(split(hermes(true), "Hm </thi"), told("Hm </thi", ""));
        let control = ToolFormat::GptOss.markers().enumerate();
        let control: Vec<_> = control
            .map(|(id, text)| ControlToken {
                text,
                id: id as u32,
            })
            .collect();
        let harmony = Preface::new(ToolFormat::GptOss, &control, false);
        let reply = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}";
        assert_eq!(split(harmony, reply), told("Hm.", "{}"));
        assert!(Preface::new(ToolFormat::GptOss, &[], false).is_none());
        let command = Preface::new(ToolFormat::CommandR7b, &[], true);
        assert_eq!(split(command, "plan<|END_THINKING|>x"), told("plan", "x"));
    }
}
