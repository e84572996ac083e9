//! GGUF files that hold something else than a language model.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The content of a GGUF file that is not a language model for conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GgufKind {
    /// Steering vectors.
    ControlVector,
    /// A `LoRA` adapter, which changes another model.
    Adapter,
    /// The part of a model that reads images or sound, which llama.cpp calls `mmproj`.
    Projector,
    /// Measurements that a quantiser weighs errors with.
    ImportanceMatrix,
    /// A vocabulary without weights.
    Vocabulary,
    /// A model without a vocabulary: it takes and gives numbers of tokens alone.
    NoVocabulary,
    /// One part of a model in several files, but not the first.
    Part {
        /// From 1.
        number: u64,
        /// The number of files.
        count: u64,
    },
    /// A model that makes embeddings.
    Embedder,
    /// A model that rewrites a whole text.
    EncoderDecoder,
    /// A model that makes sound.
    AudioDecoder,
    /// A model that writes all of a text at once, by taking noise away.
    Diffuser,
    /// A model that guesses along with a larger one.
    Drafter,
}

impl fmt::Display for GgufKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlVector => "a set of steering vectors",
            Self::Adapter => "a LoRA adapter",
            Self::Projector => "a multimodal projector (mmproj)",
            Self::ImportanceMatrix => "an importance matrix",
            Self::Vocabulary => "a vocabulary without weights",
            Self::NoVocabulary => "a model without a vocabulary",
            Self::Part { number, count } => {
                return write!(f, "part {number} of a model in {count} files");
            }
            Self::Embedder => "a model that makes embeddings",
            Self::EncoderDecoder => "an encoder-decoder model",
            Self::AudioDecoder => "a model that makes sound",
            Self::Diffuser => "a diffusion model",
            Self::Drafter => "a draft model for speculative decoding",
        })
    }
}
