//! Hints on steering vectors and how they are made.

use super::{ANOTHER_TEMPLATE, Hint, model, say};
use elpis::error::SteeringError;
use elpis::steering::{FormatError, LibraryError, VectorError};
use elpis::training::{PairsError, TrainingError};

const INSPECT: &str = "`elpis vectors inspect FILE` shows width, layers and norms of a file";

pub(super) fn steering(error: &SteeringError) -> Hint {
    match error {
        SteeringError::Library(error) => library(error),
        SteeringError::FolderMissing { folder } => Some(format!(
            "correct the path, or make vectors with `elpis vectors train --output {folder}`"
        )),
        SteeringError::Unreadable { .. } => say("check the path, and who may read it"),
        SteeringError::TooLarge { .. } => {
            say("it is no file of vectors: take it out of the folder, or name another")
        }
        _ => None,
    }
}

pub(super) fn library(error: &LibraryError) -> Hint {
    match error {
        LibraryError::Format { source, .. } => format(source),
        LibraryError::Vector { source, .. } => vector(source),
        LibraryError::Width { .. } => Some(format!(
            "it was made for another model; `elpis vectors train` makes vectors for this one, {INSPECT}"
        )),
        LibraryError::LayerOutOfRange { .. } | LibraryError::MissingRow { .. } => say(INSPECT),
        LibraryError::Manifest { .. } => say(
            "docs/vectors.md describes vectors.toml; it must stand beside the vectors, or be absent",
        ),
        LibraryError::MissingFile { .. } => {
            say("correct `file` of that emotion in vectors.toml, or remove the emotion")
        }
        LibraryError::TooStrong { .. } => Some(format!(
            "lower scale or cap in vectors.toml, or let `elpis vectors calibrate` find the caps; {INSPECT}"
        )),
        LibraryError::Unsteerable { .. } => {
            say("use another model, or leave model.emotion_vectors_dir away")
        }
        LibraryError::TooManyEmotions { .. } => say("take some files out of the folder"),
        // They name the way out, or are met by a program alone.
        _ => None,
    }
}

pub(super) fn format(error: &FormatError) -> Hint {
    match error {
        FormatError::RefusedGlobal { .. }
        | FormatError::RefusedOpcode { .. }
        | FormatError::RefusedEntry { .. } => say(
            "save the tensor or array alone with torch.save, or as .safetensors or .npz: nothing in a .pt file is run",
        ),
        FormatError::Truncated { .. } | FormatError::Malformed { .. } | FormatError::NoTensors => {
            say(
                "the file may be damaged, or have the ending of another format: save or fetch it again",
            )
        }
        FormatError::LfsPointer { .. } => {
            say("`git lfs pull` in its repository fetches the file, or download the file itself")
        }
        FormatError::NoLayer => say(
            "give a single row one with --layer, counted from 0; say with --rows what the rows of a matrix are",
        ),
        FormatError::NoNames => say("write .npz, .safetensors or .pt"),
        FormatError::Pack { .. } => say(
            "--emotion NAME takes one out; in a folder of vectors a pack is read as a whole, or as vectors.toml maps it",
        ),
        FormatError::LayerConflict { .. }
        | FormatError::LayerCount { .. }
        | FormatError::DeclaredSize { .. } => {
            say("correct or remove what the file declares beside its arrays")
        }
        FormatError::NotAControlVector { .. } => {
            say("it may be a model: a control vector is made by `elpis vectors convert` or `train`")
        }
        FormatError::Vector(error) => vector(error),
        // They name what is allowed.
        _ => None,
    }
}

pub(super) fn vector(error: &VectorError) -> Hint {
    match error {
        VectorError::Empty | VectorError::NotFinite { .. } | VectorError::ZeroNorm => {
            say("the vector is of no use as it is; `elpis vectors train` makes new ones")
        }
        VectorError::StackHeight { .. } => say(
            "it was made for another model; or save the rows under their layers, such as a dict from layers to tensors",
        ),
        // They name what is allowed.
        _ => None,
    }
}

pub(super) fn training(error: &TrainingError) -> Hint {
    match error {
        TrainingError::Backend(error) => model::backend(error),
        TrainingError::Template(_) => say(ANOTHER_TEMPLATE),
        TrainingError::Contrast { .. } => say(
            "give that emotion pairs whose sentences differ, or leave --pairs out for the shipped ones",
        ),
        TrainingError::Vector { source, .. } => vector(source),
        TrainingError::Format { source, .. } => format(source),
        TrainingError::Library(error) => library(error),
        TrainingError::NotRendered { .. } => {
            say("choose another template with model.chat_format: it must show what is said")
        }
        TrainingError::TooLong { .. } => say("shorten it, or raise model.batch_size"),
        TrainingError::Silent => {
            say("take an instruction-tuned model, or another template with model.chat_format")
        }
        TrainingError::NoVectors => say(
            "make some first: `elpis vectors train --output DIR`, then name that folder with --vectors",
        ),
        // They name what is allowed, or were asked for.
        _ => None,
    }
}

pub(super) fn pairs(error: &PairsError) -> Hint {
    match error {
        PairsError::TooLarge { .. } => say("a few hundred pairs for each emotion are enough"),
        PairsError::Syntax { .. } | PairsError::Value { .. } => say(
            "a line of JSONL is {\"emotion\": …, \"positive\": …, \"negative\": …} or {\"question\": …}; \
             docs/vectors.md describes both forms",
        ),
        PairsError::TooFew { .. } | PairsError::Empty => {
            say("add pairs, or leave --pairs out for the shipped ones")
        }
        _ => None,
    }
}
