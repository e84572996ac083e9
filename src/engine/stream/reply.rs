//! Parses a reply while it is generated: its events in order, and its text for the finish hook.

use std::collections::VecDeque;

use compact_str::CompactString;

use super::event::GenerationEvent;
use super::parser::ReplyParser;
use crate::error::EngineError;
use crate::inference::{ConstraintError, ToolParseError};

/// Maximum length of the text for a finish hook, in bytes. Longer replies are cut at the end.
const MAX_HOOK_BYTES: usize = 256 * 1024;

/// The parsed part of a reply. Every piece is parsed once, either by the reader or by the finish
/// hook, which needs the whole reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// Parses the texts into events; without a parser, each text is an event.
    parser: Option<ReplyParser>,
    /// Events that the reader has not taken yet.
    events: VecDeque<Result<GenerationEvent, EngineError>>,
    /// The text so far, without calls, if a finish hook wants it.
    text: Option<String>,
    /// Whether the parser was told that the text is complete.
    finished: bool,
    /// Whether the last event is known.
    over: bool,
    /// Number of messages that did not fit into the prompt.
    dropped: usize,
}

impl Reply {
    pub fn new(parser: Option<ReplyParser>, keep_text: bool, dropped: usize) -> Self {
        Self {
            parser,
            events: VecDeque::new(),
            text: keep_text.then(String::new),
            finished: false,
            over: false,
            dropped,
        }
    }

    pub fn dropped_messages(&self) -> usize {
        self.dropped
    }

    /// Returns the next event for the reader.
    pub fn next(&mut self) -> Option<Result<GenerationEvent, EngineError>> {
        self.events.pop_front()
    }

    /// Returns whether no more events will be added.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Parses the next piece. Pieces after an error are ignored.
    pub fn push(&mut self, piece: CompactString) {
        if self.over {
            return;
        }
        match &mut self.parser {
            None => self.event(GenerationEvent::Text(piece.into())),
            Some(parser) => {
                let parsed = parser.push(&piece);
                self.parsed(parsed);
            }
        }
    }

    /// Parses the end.
    pub fn finish(&mut self) {
        if self.over || std::mem::replace(&mut self.finished, true) {
            return;
        }
        if let Some(parser) = &mut self.parser {
            let parsed = parser.finish();
            self.parsed(parsed);
        }
    }

    /// Adds the last event.
    pub fn end(&mut self, last: Result<GenerationEvent, EngineError>) {
        if !std::mem::replace(&mut self.over, true) {
            self.events.push_back(last);
        }
    }

    /// Takes the text for the finish hook.
    pub fn take_text(&mut self) -> String {
        self.text.take().unwrap_or_default()
    }

    fn parsed(&mut self, parsed: Result<Vec<GenerationEvent>, ToolParseError>) {
        match parsed {
            Ok(events) => events.into_iter().for_each(|event| self.event(event)),
            Err(error) => self.end(Err(ConstraintError::from(error).into())),
        }
    }

    fn event(&mut self, event: GenerationEvent) {
        if let (Some(whole), GenerationEvent::Text(piece)) = (&mut self.text, &event) {
            let room = MAX_HOOK_BYTES.saturating_sub(whole.len());
            whole.push_str(&piece[..piece.floor_char_boundary(room)]);
        }
        self.events.push_back(Ok(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{ToolFormat, ToolParser};

    fn reply(pieces: &[&str], parser: Option<ReplyParser>) -> Reply {
        let mut reply = Reply::new(parser, true, 0);
        for piece in pieces {
            reply.push((*piece).into());
        }
        reply
    }

    fn calls() -> ReplyParser {
        let parser = ToolParser::new(ToolFormat::Hermes, 1, false);
        ReplyParser::Calls(Box::new(parser))
    }

    #[test]
    fn the_hook_gets_the_text_without_the_calls_and_the_reader_gets_both() {
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
        let mut reply = reply(&["I lo", "ok.", call], Some(calls()));
        reply.finish();
        assert_eq!(reply.take_text(), "I look.");
        let events: Vec<_> = std::iter::from_fn(|| reply.next()).collect();
        let text: String = events
            .iter()
            .filter_map(|event| match event {
                Ok(GenerationEvent::Text(text)) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(text, "I look.");
        assert!(
            matches!(events.last(), Some(Ok(GenerationEvent::ToolCall(call))) if call.name == "f")
        );
    }

    #[test]
    fn nothing_follows_an_error() {
        let open = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": ";
        let mut reply = reply(&["Well. ", open], Some(calls()));
        reply.finish();
        reply.push("more".into());
        reply.end(Err(EngineError::EngineRestarted));
        assert_eq!(reply.take_text(), "Well. ");
        let errors = std::iter::from_fn(|| reply.next()).filter_map(Result::err);
        let errors: Vec<_> = errors.collect();
        assert!(
            matches!(errors.as_slice(), [EngineError::Constraint(_)]),
            "{errors:?}"
        );
        assert!(reply.is_over());
    }

    #[test]
    fn the_hook_gets_the_beginning_of_a_reply_that_is_too_long() {
        let piece = "ä".repeat(MAX_HOOK_BYTES / 2 - 1);
        let mut reply = reply(&[&piece, "a", "äb"], None);
        assert_eq!(reply.take_text().len(), MAX_HOOK_BYTES - 1);
        assert_eq!(std::iter::from_fn(|| reply.next()).count(), 3);
    }
}
