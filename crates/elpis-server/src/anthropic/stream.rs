//! A message as server-sent events: blocks that start, grow and stop.

use std::collections::VecDeque;

use axum::response::Response;
use axum::response::sse::Event;
use elpis::{EngineError, GenerationEvent, GenerationReport, GenerationStream, Session};
use serde_json::{Value, json};

use super::reply::{call, empty, stop_reason, text, usage};
use crate::error::ApiError;
use crate::extension::{EmotionPoint, ReplyReport, ResponseExtension};
use crate::sse::{self, Source};
use crate::state::App;

/// The kind of the block that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call,
}

/// The running generation of a message. Dropping it cancels it.
pub(super) struct MessageStream {
    session: Session,
    told: ResponseExtension,
    stops: Vec<String>,
    generation: Option<GenerationStream>,
    open: Option<Open>,
    /// The index of the block that grows or comes next.
    index: usize,
    ready: VecDeque<Event>,
}

impl MessageStream {
    pub(super) fn new(
        (id, model): (&str, &str),
        session: Session,
        told: ResponseExtension,
        generation: GenerationStream,
        stops: Vec<String>,
    ) -> Self {
        let mut this = Self {
            session,
            told,
            stops,
            generation: Some(generation),
            open: None,
            index: 0,
            ready: VecDeque::new(),
        };
        this.send("message_start", json!({"message": empty(id, model)}));
        this
    }

    pub(super) fn into_response(self, app: &App) -> Response {
        sse::response(self, app)
    }

    fn send(&mut self, kind: &str, mut data: Value) {
        data["type"] = kind.into();
        let event = Event::default().event(kind).data(data.to_string());
        self.ready.push_back(event);
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.send("content_block_stop", json!({"index": self.index}));
            self.index += 1;
        }
    }

    /// Starts a block unless one of its kind is open.
    fn open(&mut self, kind: Open, block: Value) {
        if self.open == Some(kind) && kind != Open::Call {
            return;
        }
        self.close();
        self.open = Some(kind);
        let mut data = json!({"index": self.index});
        data["content_block"] = block;
        self.send("content_block_start", data);
    }

    fn grow(&mut self, delta: Value) {
        let mut data = json!({"index": self.index});
        data["delta"] = delta;
        self.send("content_block_delta", data);
    }

    async fn take(&mut self, event: Result<GenerationEvent, EngineError>) {
        match event {
            Ok(GenerationEvent::Text(piece)) => {
                self.open(Open::Text, text(""));
                self.grow(json!({"type": "text_delta", "text": piece}));
            }
            Ok(GenerationEvent::Thinking(text)) => {
                let block = json!({"type": "thinking", "thinking": "", "signature": ""});
                self.open(Open::Thinking, block);
                self.grow(json!({"type": "thinking_delta", "thinking": text}));
            }
            Ok(GenerationEvent::ToolCallStarted { id, name, .. }) => {
                self.open(Open::Call, call(&id, &name, &json!({})));
            }
            Ok(GenerationEvent::ToolCallArguments { json, .. }) => {
                self.grow(json!({"type": "input_json_delta", "partial_json": json}));
            }
            Ok(GenerationEvent::Finished(report)) => self.finish(&report).await,
            Ok(_) => {}
            Err(error) => {
                self.generation = None;
                let data = ApiError::from(error).body();
                self.send("error", data);
            }
        }
    }

    async fn finish(&mut self, report: &GenerationReport) {
        self.close();
        let state = self.session.state().await.ok();
        self.told.after = state.as_ref().map(EmotionPoint::from);
        self.told.replies.push(ReplyReport::new(0, report));
        let (reason, sequence) = stop_reason(report, &self.stops);
        let told = json!(self.told);
        self.send(
            "message_delta",
            json!({
                "delta": {"stop_reason": reason, "stop_sequence": sequence},
                "usage": usage(report),
                "elpis": told,
            }),
        );
        self.send("message_stop", json!({}));
    }
}

impl Source for MessageStream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let event = self.generation.as_mut()?.next().await?;
            self.take(event).await;
        }
    }
}
