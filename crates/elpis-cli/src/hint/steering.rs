//! Hints on steering vectors and their training.

use super::{ANOTHER_TEMPLATE, Hint, Hinted, say};
use elpis::SteeringError;
use elpis::steering::{FormatError, LibraryError, VectorError};
use elpis::training::{PairsError, TrainingError};

const INSPECT: &str = "`elpis vectors inspect FILE` shows width, layers and norms of a file";

impl Hinted for VectorError {}
impl Hinted for PairsError {}

impl Hinted for SteeringError {
    fn computed(&self) -> Hint {
        match self {
            Self::Library(error) => error.hint(),
            Self::FolderMissing { folder } => Some(format!(
                "correct the path, or train vectors with `elpis vectors train --output {folder}`"
            )),
            _ => None,
        }
    }
}

impl Hinted for LibraryError {
    fn computed(&self) -> Hint {
        match self {
            Self::Format { source, .. } => source.hint(),
            Self::Vector { source, .. } => source.hint(),
            Self::Width { .. } => Some(format!(
                "it was made for another model; `elpis vectors train` makes vectors for this one, {INSPECT}"
            )),
            Self::LayerOutOfRange { .. } | Self::MissingRow { .. } => say(INSPECT),
            Self::TooStrong { .. } => Some(format!(
                "lower scale or cap in vectors.toml, or let `elpis vectors calibrate` find the caps; {INSPECT}"
            )),
            _ => None,
        }
    }
}

impl Hinted for FormatError {
    fn computed(&self) -> Hint {
        match self {
            Self::Vector(error) => error.hint(),
            _ => None,
        }
    }
}

impl Hinted for TrainingError {
    fn computed(&self) -> Hint {
        match self {
            Self::Backend(error) => error.hint(),
            Self::Template(_) => say(ANOTHER_TEMPLATE),
            Self::Vector { source, .. } => source.hint(),
            Self::Format { source, .. } => source.hint(),
            Self::Library(error) => error.hint(),
            _ => None,
        }
    }
}
