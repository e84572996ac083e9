//! Errors of reading and writing files.

use thiserror::Error;

use crate::vector::{MAX_LAYERS, VectorError};
use elpis_files::cursor::CursorError;
use elpis_files::gguf::GgufError;
use elpis_files::lfs::LfsPointer;

/// Refusal of a file, or of a vector that a format cannot hold.
///
/// Names from the file are shortened and shown without control characters.
#[derive(
    Debug, Clone, PartialEq, Error, strum::IntoStaticStr, strum::VariantNames, strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end before what the header declares.
    #[error("{what} at byte {offset} needs {needed} bytes, {available} are left")]
    #[strum(props(
        hint = "the file may be damaged, or have the ending of another format: save or fetch it again"
    ))]
    Truncated {
        /// The item that was being read.
        what: &'static str,
        /// Its offset.
        offset: usize,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are left.
        available: usize,
    },
    /// The structure is broken.
    #[error("{what} is malformed: {reason}")]
    #[strum(props(
        hint = "the file may be damaged, or have the ending of another format: save or fetch it again"
    ))]
    Malformed {
        /// The part that is broken.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// A count or size is above what a steering vector can need.
    #[error("{what} is {value}, must be at most {limit}")]
    #[strum(props(
        hint = "the file may be damaged, have the ending of another format, or hold more than a steering vector"
    ))]
    LimitExceeded {
        /// The count or size.
        what: &'static str,
        /// The declared value.
        value: u64,
        /// The maximum.
        limit: u64,
    },
    /// The file is a Git LFS pointer to one that was never downloaded.
    #[error("it is {}", LfsPointer { size: *size })]
    #[strum(props(
        hint = "`git lfs pull` in its repository fetches the file, or download the file itself"
    ))]
    LfsPointer {
        /// The size of the file itself, in bytes, if the pointer tells it.
        size: Option<u64>,
    },
    /// A tensor's element type is not one of f16, bf16, f32, f64.
    #[error("tensor {tensor:?} has type {dtype}, must be f16, bf16, f32 or f64")]
    UnsupportedType {
        /// The tensor's name.
        tensor: String,
        /// The type as the format calls it.
        dtype: String,
    },
    /// A tensor has a shape that is not that of a vector.
    #[error("tensor {tensor:?} has shape {shape:?}, must be {expected}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The expected shape.
        expected: &'static str,
    },
    /// One of several tensors has a name without a layer.
    #[error(
        "tensor {tensor:?} names no layer below {MAX_LAYERS}, \
         must be layer.N, layers.N, direction.N or N"
    )]
    NotALayer {
        /// The tensor's name.
        tensor: String,
    },
    /// A name refers to a layer ambiguously.
    #[error("{tensor:?} does not name a layer clearly: {reason}; rename it to layer.N")]
    UnclearLayer {
        /// The name.
        tensor: String,
        /// The reason.
        reason: &'static str,
    },
    /// Two tensors are for the same layer.
    #[error("layer {layer} occurs twice")]
    DuplicateLayer {
        /// The layer.
        layer: usize,
    },
    /// The layers that the file declares differ from those of its tensors.
    #[error("the file declares layers {declared}, its tensors are for {named}")]
    #[strum(props(hint = "correct or remove what the file declares beside its arrays"))]
    LayerConflict {
        /// Those of `layer` or `layers`.
        declared: String,
        /// Those of the tensors.
        named: String,
    },
    /// The file declares another number of layers than there are rows.
    #[error("the file declares {layers} layers for {rows} rows, must be one for each")]
    #[strum(props(hint = "correct or remove what the file declares beside its arrays"))]
    LayerCount {
        /// The declared number.
        layers: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A number that the file declares does not match its tensors.
    #[error("{key} is {size}, the tensors have shape {shape:?}")]
    #[strum(props(hint = "correct or remove what the file declares beside its arrays"))]
    DeclaredSize {
        /// Its key.
        key: String,
        /// The declared size.
        size: i64,
        /// The shape of the first tensor.
        shape: Vec<u64>,
    },
    /// The file has vectors for several emotions, but one vector is needed.
    #[error("it is a pack of {} emotions ({}), one vector is needed", emotions.len(), few(emotions))]
    #[strum(props(
        hint = "--emotion NAME takes one out; in a folder of vectors a pack is read as a whole, or as vectors.toml maps it"
    ))]
    Pack {
        /// Their names.
        emotions: Vec<String>,
    },
    /// A pack names another number of emotions than it has vectors.
    #[error(
        "the pack names {emotions} emotions for vectors of shape {shape:?}, must be one for each"
    )]
    EmotionCount {
        /// The number of names.
        emotions: usize,
        /// The shape of the vectors, the emotions first.
        shape: Vec<u64>,
    },
    /// A pack's emotion has a name that no emotion can have.
    #[error("the pack's emotion {name:?} must be 1 to 64 of a-z, 0-9, _ and -")]
    EmotionName {
        /// The name.
        name: String,
    },
    /// A pack names an emotion twice.
    #[error("the pack has emotion {emotion:?} twice")]
    DuplicateEmotion {
        /// The emotion.
        emotion: String,
    },
    /// A tensor of a pack is none of the emotions that it names.
    #[error("tensor {tensor:?} is not one of the pack's emotions")]
    NotAnEmotion {
        /// The tensor's name.
        tensor: String,
    },
    /// A format that needs a layer for each row cannot hold a vector without layers.
    #[error("the vector names no layers, a GGUF control vector needs them")]
    #[strum(props(
        hint = "give a single row one with --layer, counted from 0; say with --rows what the rows of a matrix are"
    ))]
    NoLayer,
    /// A `.npy` file is one array: it has no names for layers.
    #[error("a .npy file has no names for the vector's layers")]
    #[strum(props(hint = "write .npz, .safetensors or .pt"))]
    NoNames,
    /// The file holds no tensor.
    #[error("there is no tensor in the file")]
    #[strum(props(
        hint = "the file may be damaged, or have the ending of another format: save or fetch it again"
    ))]
    NoTensors,
    /// A pickle names a Python object that is not needed for numeric arrays.
    #[error("refused global '{global}'")]
    #[strum(props(
        hint = "save the tensor or array alone with torch.save, or as .safetensors or .npz: nothing in a .pt file is run"
    ))]
    RefusedGlobal {
        /// `module.name`.
        global: String,
    },
    /// A pickle uses an instruction that is not needed for numeric arrays.
    #[error("refused pickle instruction {opcode} at byte {offset}")]
    #[strum(props(
        hint = "save the tensor or array alone with torch.save, or as .safetensors or .npz: nothing in a .pt file is run"
    ))]
    RefusedOpcode {
        /// The instruction, by name if known, otherwise in hexadecimal.
        opcode: String,
        /// Its offset in the pickle.
        offset: usize,
    },
    /// A pickle's value is not a tensor.
    #[error("refused entry {entry:?}: {found}, must be a tensor")]
    #[strum(props(
        hint = "save the tensor or array alone with torch.save, or as .safetensors or .npz: nothing in a .pt file is run"
    ))]
    RefusedEntry {
        /// The key in the dict, or `the file` for the whole.
        entry: String,
        /// The content found.
        found: &'static str,
    },
    /// A `.pt` file from before the zip format, or a plain pickle.
    #[error(
        "not a zip archive but a legacy or plain pickle; load it with the program that wrote it \
         and save it again with torch.save of PyTorch 1.6 or later"
    )]
    LegacyPickle,
    /// A GGUF file holds something else.
    #[error("general.architecture is {architecture:?}, must be \"controlvector\"")]
    #[strum(props(
        hint = "it may be a model: a control vector is made by `elpis vectors convert` or `train`"
    ))]
    NotAControlVector {
        /// The file's value; empty if it has none.
        architecture: String,
    },
    /// The rows are not a steering vector.
    #[error(transparent)]
    #[strum(transparent)]
    Vector(#[from] VectorError),
}

impl FormatError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    pub(super) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what,
            reason: reason.into(),
        }
    }
}

impl From<CursorError> for FormatError {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Truncated {
                what,
                offset,
                needed,
                available,
            } => Self::Truncated {
                what,
                offset,
                needed,
                available,
            },
            CursorError::NotUtf8 { what } => Self::malformed(what, "text is not UTF-8"),
        }
    }
}

impl From<GgufError> for FormatError {
    fn from(error: GgufError) -> Self {
        match error {
            GgufError::Truncated(error) => error.into(),
            GgufError::LimitExceeded { what, value, limit } => {
                Self::LimitExceeded { what, value, limit }
            }
            other => Self::malformed("the GGUF header", other.to_string()),
        }
    }
}

/// The first of many names.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut few = names.get(..SHOWN).unwrap_or(names).join(", ");
    if names.len() > SHOWN {
        few.push_str(", …");
    }
    few
}
