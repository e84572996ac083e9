//! Parses the text of a reply into events.

use super::event::GenerationEvent;
use crate::inference::{Preface, ToolEvent, ToolParseError, ToolParser};

/// Parses the text of a reply into events.
#[derive(Debug)]
pub(crate) enum ReplyParser {
    /// Finds tool calls.
    Calls(Box<ToolParser>),
    /// Separates an answer from the thinking before it.
    Answer(ThinkingSplitter),
}

impl ReplyParser {
    /// Parses the next piece.
    pub fn push(&mut self, text: &str) -> Result<Vec<GenerationEvent>, ToolParseError> {
        match self {
            Self::Calls(parser) => Ok(events(parser.push(text)?)),
            Self::Answer(splitter) => Ok(splitter.push(text)),
        }
    }

    /// Parses the end.
    pub fn finish(&mut self) -> Result<Vec<GenerationEvent>, ToolParseError> {
        match self {
            Self::Calls(parser) => Ok(events(parser.finish()?)),
            Self::Answer(_) => Ok(Vec::new()),
        }
    }
}

fn events(events: Vec<ToolEvent>) -> Vec<GenerationEvent> {
    events.into_iter().map(GenerationEvent::from).collect()
}

/// Separates an answer from the thinking before it. A reply without an answer ends with a specific
/// error.
#[derive(Debug)]
pub(crate) struct ThinkingSplitter {
    /// `None` once the answer has begun.
    preface: Option<Preface>,
    /// Bytes of an incomplete character.
    open: Vec<u8>,
}

impl ThinkingSplitter {
    pub fn new(preface: Preface) -> Self {
        Self {
            preface: Some(preface),
            open: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) -> Vec<GenerationEvent> {
        let Some(preface) = &mut self.preface else {
            return vec![GenerationEvent::Text(text.to_owned())];
        };
        let behind = preface.push(text.as_bytes(), &mut self.open);
        let mut events = Vec::new();
        if behind.is_some() {
            self.preface = None;
        }
        let thought = std::mem::take(&mut self.open);
        let thought = match String::from_utf8(thought) {
            Ok(thought) => thought,
            Err(error) => {
                let whole = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                self.open = bytes.split_off(whole);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        if !thought.is_empty() {
            events.push(GenerationEvent::Thinking(thought));
        }
        let behind = String::from_utf8(behind.unwrap_or_default()).unwrap_or_default();
        if !behind.is_empty() {
            events.push(GenerationEvent::Text(behind));
        }
        events
    }
}
