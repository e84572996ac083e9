//! Steering vectors from a model's own activations.
//!
//! [`train`] evaluates contrasting sentences with any [`Backend`], takes the
//! difference of the residual streams as a direction for each emotion, and
//! judges every layer by how well held-out sentences separate along it.
//! [`calibrate`] finds how strongly each vector may be added before the text
//! suffers. Both are synchronous, tell of their progress and can be
//! interrupted between two evaluations.
//!
//! [`Backend`]: elpis_backend::Backend

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod calibrate;
mod capture;
mod error;
mod fit;
mod generate;
mod options;
mod pairs;
mod quality;
mod rows;

pub use calibrate::{CalibrateOptions, Calibration, EmotionCalibration, Measured, calibrate};
pub use capture::ReadAt;
pub use error::TrainingError;
pub use fit::{Trained, train};
pub use options::{Evidence, LayerScore, Method, TrainOptions};
pub use pairs::{ContrastPairs, MAX_PAIRS_BYTES, MAX_SENTENCE_BYTES, Pair, PairsError};

/// The progress of some work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The current stage.
    pub stage: String,
    /// Steps that are done.
    pub done: usize,
    /// Steps in all; may grow.
    pub total: usize,
}

/// Is told of the progress; returns `false` to interrupt the work.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// Counts the steps of some work and tells of them.
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

    /// Tells what is worked on from now on.
    fn begin(&mut self, stage: impl Into<String>) -> Result<(), TrainingError> {
        self.progress.stage = stage.into();
        self.look()
    }

    /// Another step is done.
    fn step(&mut self) -> Result<(), TrainingError> {
        self.reach(self.progress.done + 1)
    }

    /// So many steps are done.
    fn reach(&mut self, done: usize) -> Result<(), TrainingError> {
        self.progress.done = done.min(self.progress.total);
        self.look()
    }

    /// Tells the same again, for the answer: within a step that takes long.
    fn look(&mut self) -> Result<(), TrainingError> {
        if (self.on_progress)(self.progress.clone()) {
            Ok(())
        } else {
            Err(TrainingError::Interrupted)
        }
    }
}
