//! GGUF files that are not language models.

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
    /// An importance matrix, with which a quantiser weighs errors.
    ImportanceMatrix,
    /// A vocabulary without weights.
    Vocabulary,
    /// A model without a vocabulary, which only reads and writes token ids.
    NoVocabulary,
    /// A shard of a model in several files, but not the first.
    Part {
        /// Number of the shard, from 1.
        number: u64,
        /// The number of files.
        count: u64,
    },
    /// An embedding model.
    Embedder,
    /// An encoder-decoder model.
    EncoderDecoder,
    /// A model that generates audio.
    AudioDecoder,
    /// A diffusion model, which generates a whole text at once by removing noise.
    Diffuser,
    /// A draft model for speculative decoding.
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
