//! Generations whose text a test collects.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use elpis::inference::{
    GenerationOptions, GenerationReport, ModulationTiming, RequestId, SamplingParams, SessionId,
};
use elpis::internal::scheduler::{Outcome, Task, TokenSink};

/// What came of a generation.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    pub text: Arc<Mutex<String>>,
    pub outcome: Arc<Mutex<Option<Outcome>>>,
    pub closed: Arc<AtomicBool>,
    /// Texts that still fit.
    pub room: Arc<AtomicUsize>,
}

impl Collected {
    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    pub fn ended(&self) -> bool {
        self.outcome.lock().unwrap().is_some()
    }

    pub fn report(&self) -> GenerationReport {
        match self.outcome.lock().unwrap().clone() {
            Some(Outcome::Done(report)) => *report,
            other => panic!("no report: {other:?}"),
        }
    }
}

impl TokenSink for Collected {
    fn started(&mut self) {}

    fn has_room(&self) -> bool {
        self.room.load(Ordering::SeqCst) > 0
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn text(&mut self, text: &str) {
        self.text.lock().unwrap().push_str(text);
        self.room.fetch_sub(1, Ordering::SeqCst);
    }

    fn finish(&mut self, outcome: Outcome) {
        let before = self.outcome.lock().unwrap().replace(outcome);
        assert!(before.is_none(), "a generation ends once");
    }
}

/// A greedy generation without emotion.
pub fn task(session: &str, prompt: &str, max_tokens: u32) -> (Task, Collected) {
    let collected = Collected::default();
    collected.room.store(usize::MAX / 2, Ordering::SeqCst);
    let task = Task {
        id: RequestId(1),
        session: SessionId::new(session).unwrap(),
        prompt: prompt.bytes().map(u32::from).collect(),
        max_tokens,
        options: GenerationOptions::default().temperature(0.0),
        sampling: SamplingParams::default(),
        timing: ModulationTiming::AtStart,
        guide: None,
        visible: Vec::new(),
        thinking: None,
        mood: None,
        submitted: 0.0,
        sink: Box::new(collected.clone()),
    };
    (task, collected)
}
