//! An emotion without an actor.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use elpis::emotion::{EmotionalState, Modulation, SamplingBase};
use elpis::internal::scheduler::MoodSource;

/// An emotion that a test sets.
#[derive(Debug, Clone)]
pub struct SetMood {
    state: Arc<Mutex<EmotionalState>>,
    changed: Arc<AtomicBool>,
}

impl SetMood {
    pub fn new(valence: f64, arousal: f64) -> Self {
        Self {
            state: Arc::new(Mutex::new(EmotionalState::new(valence, arousal).unwrap())),
            changed: Arc::default(),
        }
    }

    pub fn set(&self, valence: f64, arousal: f64) {
        *self.state.lock().unwrap() = EmotionalState::new(valence, arousal).unwrap();
        self.changed.store(true, Ordering::SeqCst);
    }
}

impl MoodSource for SetMood {
    fn modulation(&mut self, _: f64) -> Modulation {
        self.changed.store(false, Ordering::SeqCst);
        Modulation::new(*self.state.lock().unwrap(), SamplingBase::default(), 1.0)
    }

    fn has_changed(&self) -> bool {
        self.changed.load(Ordering::SeqCst)
    }
}
