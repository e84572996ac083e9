//! Steering vectors from a model's own activations.
//!
//! [`train`] evaluates contrasting sentences with any [`Backend`], takes the
//! difference of the residual streams as a direction for each emotion, and
//! judges every layer by how well held-out sentences separate along it.
//! [`calibrate`] finds how strongly each vector may be added before the text
//! suffers. Both are synchronous, tell of their progress and can be
//! interrupted between two evaluations.
//!
//! [`Backend`]: crate::backend::Backend

mod calibrate;
mod capture;
mod error;
mod fit;
mod generate;
mod pairs;
mod quality;

pub use calibrate::{CalibrateOptions, Calibration, EmotionCalibration, Measured, calibrate};
pub use capture::ReadAt;
pub use error::TrainingError;
pub use fit::{LayerScore, Method, TrainOptions, Trained, train};
pub use pairs::{ContrastPairs, MAX_PAIRS_BYTES, MAX_SENTENCE_BYTES, Pair, PairsError};

/// How far the work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being worked on.
    pub stage: String,
    /// Steps that are done.
    pub done: usize,
    /// Steps in all; may grow.
    pub total: usize,
}

/// Is told of the progress; returns `false` to interrupt the work.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> bool;

fn report(
    on_progress: &mut dyn FnMut(Progress) -> bool,
    stage: &str,
    done: usize,
    total: usize,
) -> Result<(), TrainingError> {
    let progress = Progress {
        stage: stage.to_owned(),
        done,
        total,
    };
    if on_progress(progress) {
        Ok(())
    } else {
        Err(TrainingError::Interrupted)
    }
}
