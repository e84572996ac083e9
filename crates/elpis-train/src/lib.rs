//! Steering vectors from a model's own activations.
//!
//! [`train`] evaluates contrasting sentences with any [`Backend`], takes the difference of the
//! residual streams as a direction for each emotion, and judges every layer by how well held-out
//! sentences separate along it. [`calibrate`] finds how strongly each vector may be added before
//! the text degrades. Both are synchronous, report their progress and can be interrupted between
//! two evaluations.
//!
//! [`Backend`]: elpis_backend::Backend

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "no emotional state depends on it"
)]

mod calibrate;
mod capture;
mod error;
mod evaluate;
mod fit;
mod generate;
mod options;
mod pairs;
mod quality;
mod random;
mod reading;
mod rows;
mod skill;

pub use calibrate::{CalibrateOptions, Calibration, EmotionCalibration, Measured, calibrate};
pub use capture::ReadAt;
pub use error::TrainingError;
pub use evaluate::{EvaluateOptions, Evaluated, Influence, evaluate};
pub use fit::{Trained, train};
pub use options::{Evidence, LayerScore, Method, TrainOptions};
pub use pairs::{
    ContrastPairs, EmotionalReply, Form, MAX_PAIRS_BYTES, MAX_SENTENCE_BYTES, NEUTRAL, Pair,
    PairsError,
};

/// The progress of some work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The current stage.
    pub stage: String,
    /// Number of finished steps.
    pub done: usize,
    /// Total number of steps, which may grow.
    pub total: usize,
}

/// Receives the progress. Returns `false` to interrupt the work.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// Counts the steps of some work and reports them.
struct ProgressReporter<'a> {
    on_progress: OnProgress<'a>,
    progress: Progress,
}

impl<'a> ProgressReporter<'a> {
    fn new(on_progress: OnProgress<'a>, total: usize) -> Self {
        let progress = Progress {
            stage: String::new(),
            done: 0,
            total,
        };
        Self {
            on_progress,
            progress,
        }
    }

    /// Begins a stage.
    fn begin(&mut self, stage: impl Into<String>) -> Result<(), TrainingError> {
        self.progress.stage = stage.into();
        self.look()
    }

    /// Reports a finished step.
    fn step(&mut self) -> Result<(), TrainingError> {
        self.reach(self.progress.done + 1)
    }

    /// Reports that `done` steps are finished.
    fn reach(&mut self, done: usize) -> Result<(), TrainingError> {
        self.progress.done = done.min(self.progress.total);
        self.look()
    }

    /// Reports the same progress again during a long step, to check for an interruption.
    fn look(&mut self) -> Result<(), TrainingError> {
        if (self.on_progress)(self.progress.clone()) {
            Ok(())
        } else {
            Err(TrainingError::Interrupted)
        }
    }
}
