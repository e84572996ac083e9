//! A reply as server-sent events.

use std::collections::VecDeque;

use axum::response::Response;
use axum::response::sse::Event;
use elpis::{EngineError, GenerationEvent, GenerationStream, Session};
use futures_util::stream::{SelectAll, StreamExt};
use serde_json::Value;

use super::reply::{
    CallDelta, Chunk, ChunkChoice, Delta, FunctionDelta, Head, Usage, finish_reason,
};
use crate::error::ApiError;
use crate::extension::{EmotionPoint, ReplyReport, ResponseExtension};
use crate::sse::{self, Source};
use crate::state::App;

type Item = (usize, Result<GenerationEvent, EngineError>);
type Indexed = futures_util::stream::BoxStream<'static, Item>;

/// The running generations of a request, whose events become chunks. Dropping it cancels them.
pub(super) struct ReplyStream {
    head: Head,
    session: Session,
    told: ResponseExtension,
    includes_usage: bool,
    usage: Usage,
    running: SelectAll<Indexed>,
    unfinished: usize,
    ready: VecDeque<String>,
}

impl ReplyStream {
    pub(super) fn new(
        head: Head,
        session: Session,
        told: ResponseExtension,
        generations: Vec<GenerationStream>,
        includes_usage: bool,
    ) -> Self {
        let unfinished = generations.len();
        let indexed = generations.into_iter().enumerate();
        let indexed = indexed.map(|(index, stream)| stream.map(move |item| (index, item)).boxed());
        let mut this = Self {
            head,
            session,
            told,
            includes_usage,
            usage: Usage::default(),
            running: indexed.collect(),
            unfinished,
            ready: VecDeque::new(),
        };
        for index in 0..unfinished {
            let delta = Delta {
                role: Some("assistant"),
                content: Some(String::new()),
                ..Delta::default()
            };
            this.push(index, delta, None);
        }
        this
    }

    /// The response that sends the chunks.
    pub(super) fn into_response(self, app: &App) -> Response {
        sse::response(self, app)
    }

    /// The data of the next event.
    async fn next_data(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            let (index, event) = self.running.next().await?;
            match event {
                Ok(event) => self.take(index, event).await,
                Err(error) => {
                    self.ready
                        .push_back(ApiError::from(error).body().to_string());
                    self.running.clear();
                }
            }
        }
    }

    async fn take(&mut self, index: usize, event: GenerationEvent) {
        match event {
            GenerationEvent::Text(text) => {
                let delta = Delta {
                    content: Some(text),
                    ..Delta::default()
                };
                self.push(index, delta, None);
            }
            GenerationEvent::Thinking(text) => {
                let delta = Delta {
                    reasoning_content: Some(text),
                    ..Delta::default()
                };
                self.push(index, delta, None);
            }
            GenerationEvent::ToolCallStarted {
                index: call,
                id,
                name,
            } => self.push_call(
                index,
                CallDelta {
                    index: call,
                    id: Some(id),
                    kind: Some("function"),
                    function: FunctionDelta {
                        name: Some(name),
                        arguments: String::new(),
                    },
                },
            ),
            GenerationEvent::ToolCallArguments { index: call, json } => self.push_call(
                index,
                CallDelta {
                    index: call,
                    id: None,
                    kind: None,
                    function: FunctionDelta {
                        name: None,
                        arguments: json,
                    },
                },
            ),
            GenerationEvent::Finished(report) => {
                self.usage.add(&report);
                self.told.replies.push(ReplyReport::new(index, &report));
                self.unfinished -= 1;
                let reason = finish_reason(report.finish_reason);
                if self.unfinished == 0 {
                    self.end(index, reason).await;
                } else {
                    self.push(index, Delta::default(), Some(reason));
                }
            }
            _ => {}
        }
    }

    /// Sends the last chunks. They have the mood, which the reply has moved by now.
    async fn end(&mut self, index: usize, reason: &'static str) {
        let after = self.session.state().await.ok();
        self.told.after = after.as_ref().map(EmotionPoint::from);
        let choice = ChunkChoice {
            index,
            delta: Delta::default(),
            logprobs: None,
            finish_reason: Some(reason),
        };
        self.ready.push_back(json(&Chunk {
            head: &self.head,
            choices: &[choice],
            usage: self.includes_usage.then_some(Value::Null),
            elpis: Some(&self.told),
        }));
        if self.includes_usage {
            self.ready.push_back(json(&Chunk {
                head: &self.head,
                choices: &[],
                usage: Some(serde_json::json!(self.usage)),
                elpis: None,
            }));
        }
        self.ready.push_back("[DONE]".to_owned());
    }

    fn push_call(&mut self, index: usize, call: CallDelta) {
        let delta = Delta {
            tool_calls: Some([call]),
            ..Delta::default()
        };
        self.push(index, delta, None);
    }

    fn push(&mut self, index: usize, delta: Delta, finish_reason: Option<&'static str>) {
        let choice = ChunkChoice {
            index,
            delta,
            logprobs: None,
            finish_reason,
        };
        self.ready.push_back(json(&Chunk {
            head: &self.head,
            choices: &[choice],
            usage: self.includes_usage.then_some(Value::Null),
            elpis: None,
        }));
    }
}

impl Source for ReplyStream {
    async fn next(&mut self) -> Option<Event> {
        let data = self.next_data().await?;
        Some(Event::default().data(data))
    }
}

/// Chunks hold nothing that JSON cannot.
fn json(chunk: &Chunk<'_>) -> String {
    serde_json::to_string(chunk).unwrap_or_else(|error| {
        let failed = ApiError::internal(format!("a chunk cannot be written: {error}"));
        failed.body().to_string()
    })
}
