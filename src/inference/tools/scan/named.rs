//! Reads a call as Mistral's tokenizers from version 11 on write it: `name[ARGS]{…}`.

use super::{Draft, Step, is_name};
use crate::inference::tools::definition::MAX_TOOL_NAME;

const ARGS: &str = "[ARGS]";
const CALL_ID: &str = "[CALL_ID]";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Name,
    Id,
    /// Within a marker.
    Mark,
    /// Before the object.
    Before,
    Object {
        depth: usize,
        in_string: bool,
        escaped: bool,
    },
}

/// A name, on wish an id, and a JSON object.
#[derive(Debug, Clone)]
pub(super) struct NamedScan {
    place: Place,
    name: String,
    id: Option<String>,
    mark: String,
}

impl NamedScan {
    /// The beginning of the name was read already.
    pub fn new(name: &str) -> Self {
        Self {
            place: Place::Name,
            name: name.to_owned(),
            id: None,
            mark: String::new(),
        }
    }

    pub fn push(&mut self, draft: &mut Draft, letter: char) -> Step {
        match &mut self.place {
            Place::Name | Place::Id if letter == '[' => {
                self.mark.push(letter);
                self.place = Place::Mark;
            }
            // Some of these models leave the marker out.
            Place::Name if letter == '{' => {
                self.place = Place::Before;
                self.tell(draft);
                return self.push(draft, letter);
            }
            Place::Name | Place::Id => {
                let part = self.id.as_mut().unwrap_or(&mut self.name);
                part.push(letter);
                if !is_name(letter) || part.len() > MAX_TOOL_NAME {
                    return Step::Broken;
                }
            }
            Place::Mark => {
                self.mark.push(letter);
                match self.mark.as_str() {
                    ARGS => {
                        self.place = Place::Before;
                        self.tell(draft);
                    }
                    CALL_ID if self.id.is_none() => {
                        self.id = Some(String::new());
                        self.mark.clear();
                        self.place = Place::Id;
                    }
                    part if !ARGS.starts_with(part) && !CALL_ID.starts_with(part) => {
                        return Step::Broken;
                    }
                    _ => {}
                }
            }
            Place::Before if letter == '{' => {
                draft.arguments.push(letter);
                self.place = Place::Object {
                    depth: 1,
                    in_string: false,
                    escaped: false,
                };
            }
            Place::Before if letter.is_ascii_whitespace() => {}
            Place::Before => return Step::Broken,
            Place::Object {
                depth,
                in_string,
                escaped,
            } => {
                draft.arguments.push(letter);
                match letter {
                    _ if *escaped => *escaped = false,
                    '\\' if *in_string => *escaped = true,
                    '"' => *in_string = !*in_string,
                    '{' | '[' if !*in_string => *depth += 1,
                    '}' | ']' if !*in_string => *depth -= 1,
                    _ => {}
                }
                if *depth == 0 {
                    return Step::Closed;
                }
            }
        }
        Step::Open
    }

    fn tell(&mut self, draft: &mut Draft) {
        draft.name = Some(std::mem::take(&mut self.name));
        draft.id = self.id.take();
    }
}
