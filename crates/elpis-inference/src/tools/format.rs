//! Properties of a tool format: its markers, its thinking, the opening of its calls.

use super::family::{Family, Part, Role};
use super::name::{ControlToken, ToolFormat};
use super::opening::{Finder, THINK, THOUGHT};
use super::pattern::Names;

impl ToolFormat {
    /// The markers that may be control tokens of the model.
    pub fn markers(self) -> impl Iterator<Item = &'static str> {
        let own = Family::of(self).control.iter().copied();
        own.chain([THINK, THOUGHT])
    }

    /// Whether a marker is part of a mark of thinking or of framing.
    pub fn marks(self, marker: &str) -> bool {
        let parts = Family::of(self).marks.iter().flat_map(|mark| mark.parts);
        let mut texts = parts.filter_map(|part| match part {
            Part::Text(text) => Some(*text),
            _ => None,
        });
        texts.any(|text| text.contains(marker)) || [THINK, THOUGHT].contains(&marker)
    }

    /// Whether a prompt ends with the opening of the model's thinking.
    pub fn opens_thinking(self, prompt: &str) -> bool {
        let end = prompt.trim_end();
        let marks = Family::of(self).marks.iter();
        let opens = marks.filter(|mark| mark.role == Role::Think).any(|mark| {
            let text = |part: &Part| match part {
                Part::Text(text) => *text,
                _ => "",
            };
            end.ends_with(&mark.parts.iter().map(text).collect::<String>())
        });
        opens || end.ends_with(THINK)
    }

    /// Creates a finder of the first call in a reply. With `thinking`, the reply begins inside the
    /// model's thinking. `names` are those of the offered tools.
    pub fn finder<'n>(
        self,
        names: impl IntoIterator<Item = &'n str>,
        control: &[ControlToken],
        thinking: bool,
    ) -> Finder {
        Finder::new(self, self.names(names), control, thinking)
    }

    /// The names that distinguish a call from text: those of the offered tools if nothing else
    /// does.
    pub(super) fn names<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Names {
        let family = Family::of(self);
        let any = Names::any(family.reserved);
        if family.unmarked {
            any.known(names.into_iter().map(str::to_owned))
        } else {
            any
        }
    }
}
