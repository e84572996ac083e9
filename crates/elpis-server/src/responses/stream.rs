//! A response as events: items that are added, grow and are done. A whole response is made of the
//! same events.

use std::collections::VecDeque;

use axum::response::Response;
use axum::response::sse::Event;
use elpis::{ChatMessage, EngineError, FunctionCall, GenerationEvent, GenerationReport};
use elpis::{GenerationStream, Session};
use serde_json::{Value, json};

use super::reply::{call, end, message, new_id, part, reasoning};
use crate::error::ApiError;
use crate::extension::{EmotionPoint, ReplyReport, ResponseExtension};
use crate::response_cache::CachedResponse;
use crate::sse::{self, Source};
use crate::state::App;

/// The item that grows.
#[derive(Debug)]
enum Open {
    Text {
        id: String,
        text: String,
    },
    Thinking {
        id: String,
        text: String,
    },
    Call {
        id: String,
        call: FunctionCall,
        json: String,
    },
}

/// The running generation of a response. Dropping it cancels it.
pub(super) struct ResponseStream {
    app: App,
    session: Session,
    told: ResponseExtension,
    generation: Option<GenerationStream>,
    /// The response, which is complete at the end.
    response: Value,
    /// Where the response is kept at the end.
    keep: Option<CachedResponse>,
    open: Option<Open>,
    output: Vec<Value>,
    /// The reply as a message.
    said: String,
    calls: Vec<FunctionCall>,
    sequence: u64,
    ready: VecDeque<Event>,
}

impl ResponseStream {
    pub(super) fn new(
        app: &App,
        session: Session,
        told: ResponseExtension,
        generation: GenerationStream,
        response: Value,
        keep: Option<CachedResponse>,
    ) -> Self {
        let mut this = Self {
            app: app.clone(),
            session,
            told,
            generation: Some(generation),
            response,
            keep,
            open: None,
            output: Vec::new(),
            said: String::new(),
            calls: Vec::new(),
            sequence: 0,
            ready: VecDeque::new(),
        };
        for kind in ["response.created", "response.in_progress"] {
            let response = this.response.clone();
            this.send(kind, json!({"response": response}));
        }
        this
    }

    pub(super) fn into_response(self) -> Response {
        let app = self.app.clone();
        sse::response(self, &app)
    }

    /// Waits for the end and returns the response.
    pub(super) async fn whole(mut self) -> Result<Value, ApiError> {
        while let Some(generation) = &mut self.generation {
            match generation.next().await {
                Some(Err(error)) => return Err(error.into()),
                Some(event) => self.take(event).await,
                None => break,
            }
            self.ready.clear();
        }
        Ok(self.response)
    }

    fn send(&mut self, kind: &str, mut data: Value) {
        data["type"] = kind.into();
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        let event = Event::default().event(kind).data(data.to_string());
        self.ready.push_back(event);
    }

    fn add(&mut self, item: &Value) {
        let index = self.output.len();
        self.send(
            "response.output_item.added",
            json!({"output_index": index, "item": item}),
        );
    }

    fn done(&mut self, item: Value) {
        let index = self.output.len();
        self.send(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        );
        self.output.push(item);
    }

    /// Ends the item that grows.
    fn close(&mut self) {
        let index = self.output.len();
        match self.open.take() {
            None => {}
            Some(Open::Thinking { id, text }) => self.done(reasoning(&id, &text)),
            Some(Open::Text { id, text }) => {
                let place = json!({"item_id": id, "output_index": index, "content_index": 0});
                let mut done = place.clone();
                done["text"] = text.as_str().into();
                done["logprobs"] = json!([]);
                self.send("response.output_text.done", done);
                let mut done = place;
                done["part"] = part(&text);
                self.send("response.content_part.done", done);
                self.done(message(&id, Some(&text)));
            }
            Some(Open::Call { id, call: of, json }) => {
                let done = json!({"item_id": id, "output_index": index, "name": of.name, "arguments": json});
                self.send("response.function_call_arguments.done", done);
                self.done(call(&id, &of, Some(&json)));
            }
        }
    }

    fn text(&mut self, piece: &str) {
        if !matches!(self.open, Some(Open::Text { .. })) {
            self.close();
            let id = new_id("msg");
            self.add(&message(&id, None));
            let index = self.output.len();
            let added =
                json!({"item_id": id, "output_index": index, "content_index": 0, "part": part("")});
            self.send("response.content_part.added", added);
            self.open = Some(Open::Text {
                id,
                text: String::new(),
            });
        }
        let index = self.output.len();
        self.said.push_str(piece);
        if let Some(Open::Text { id, text }) = &mut self.open {
            text.push_str(piece);
            let delta = json!({"item_id": id, "output_index": index, "content_index": 0, "delta": piece, "logprobs": []});
            self.send("response.output_text.delta", delta);
        }
    }

    fn think(&mut self, piece: &str) {
        if !matches!(self.open, Some(Open::Thinking { .. })) {
            self.close();
            let id = new_id("rs");
            self.add(&reasoning(&id, ""));
            self.open = Some(Open::Thinking {
                id,
                text: String::new(),
            });
        }
        let index = self.output.len();
        if let Some(Open::Thinking { id, text }) = &mut self.open {
            text.push_str(piece);
            let delta =
                json!({"item_id": id, "output_index": index, "content_index": 0, "delta": piece});
            self.send("response.reasoning_text.delta", delta);
        }
    }

    async fn take(&mut self, event: Result<GenerationEvent, EngineError>) {
        match event {
            Ok(GenerationEvent::Text(piece)) => self.text(&piece),
            Ok(GenerationEvent::Thinking(piece)) => self.think(&piece),
            Ok(GenerationEvent::ToolCallStarted { id, name, .. }) => {
                self.close();
                let begun = FunctionCall {
                    id,
                    name,
                    arguments: Value::Null,
                };
                let id = new_id("fc");
                self.add(&call(&id, &begun, None));
                self.open = Some(Open::Call {
                    id,
                    call: begun,
                    json: String::new(),
                });
            }
            Ok(GenerationEvent::ToolCallArguments { json: piece, .. }) => {
                let index = self.output.len();
                if let Some(Open::Call { id, json, .. }) = &mut self.open {
                    json.push_str(&piece);
                    let delta = json!({"item_id": id, "output_index": index, "delta": piece});
                    self.send("response.function_call_arguments.delta", delta);
                }
            }
            Ok(GenerationEvent::ToolCall(call)) => {
                self.calls.push(call);
                self.close();
            }
            Ok(GenerationEvent::Finished(report)) => self.finish(&report).await,
            Ok(_) => {}
            Err(error) => self.fail(error),
        }
    }

    async fn finish(&mut self, report: &GenerationReport) {
        self.generation = None;
        self.close();
        if self.output.is_empty() {
            self.text("");
            self.close();
        }
        let state = self.session.state().await.ok();
        self.told.after = state.as_ref().map(EmotionPoint::from);
        self.told.replies.push(ReplyReport::new(0, report));
        let now = jiff::Timestamp::now().as_second();
        end(
            &mut self.response,
            report,
            std::mem::take(&mut self.output),
            now,
        );
        self.response["elpis"] = json!(self.told);
        if let (Some(mut kept), Some(id)) = (self.keep.take(), self.response["id"].as_str()) {
            let said = std::mem::take(&mut self.said);
            kept.messages.push(if self.calls.is_empty() {
                ChatMessage::assistant(said)
            } else {
                ChatMessage::assistant_calls(said, &self.calls)
            });
            kept.response = self.response.clone();
            self.app.response_cache().keep(id.to_owned(), kept);
        }
        let kind = match self.response["status"].as_str() {
            Some("incomplete") => "response.incomplete",
            _ => "response.completed",
        };
        self.terminate(kind);
    }

    fn fail(&mut self, error: EngineError) {
        self.generation = None;
        let error = ApiError::from(error);
        self.response["status"] = "failed".into();
        let code = error.code.unwrap_or(error.kind);
        self.response["error"] = json!({"code": code, "message": error.message});
        self.terminate("response.failed");
    }

    fn terminate(&mut self, kind: &str) {
        let response = self.response.clone();
        self.send(kind, json!({"response": response}));
        self.ready.push_back(Event::default().data("[DONE]"));
    }
}

impl Source for ResponseStream {
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
