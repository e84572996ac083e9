//! The model that comes with the crate.

use elpis_steering::LibraryFile;

/// The bundled model's files.
#[derive(Debug, Clone, Copy)]
pub struct BundledModel;

impl BundledModel {
    /// The model's name.
    pub const NAME: &'static str = "elpis-tiny";

    /// The GGUF file, if the feature `bundled-model` is enabled.
    pub const fn gguf() -> Option<&'static [u8]> {
        #[cfg(feature = "bundled-model")]
        return Some(include_bytes!("../models/elpis-tiny/elpis-tiny.gguf"));
        #[cfg(not(feature = "bundled-model"))]
        return None;
    }

    /// The files of its Hugging Face folder as (file name, bytes), if the feature
    /// `bundled-checkpoint` is enabled.
    pub const fn checkpoint() -> &'static [(&'static str, &'static [u8])] {
        #[cfg(feature = "bundled-checkpoint")]
        return &[
            (
                "config.json",
                include_bytes!("../models/elpis-tiny/config.json"),
            ),
            (
                "generation_config.json",
                include_bytes!("../models/elpis-tiny/generation_config.json"),
            ),
            (
                "model.safetensors",
                include_bytes!("../models/elpis-tiny/model.safetensors"),
            ),
            (
                "tokenizer.json",
                include_bytes!("../models/elpis-tiny/tokenizer.json"),
            ),
            (
                "tokenizer_config.json",
                include_bytes!("../models/elpis-tiny/tokenizer_config.json"),
            ),
        ];
        #[cfg(not(feature = "bundled-checkpoint"))]
        return &[];
    }

    /// Its steering vectors as files of a library; empty without the feature.
    pub fn library_files() -> Vec<LibraryFile> {
        Self::vectors()
            .iter()
            .map(|(name, bytes)| LibraryFile {
                name: (*name).to_owned(),
                bytes: bytes.to_vec(),
            })
            .collect()
    }

    /// Its steering vectors as (file name, bytes), empty without the feature.
    pub const fn vectors() -> &'static [(&'static str, &'static [u8])] {
        #[cfg(feature = "bundled-model")]
        return &[
            (
                "vectors.toml",
                include_bytes!("../models/elpis-tiny/vectors/vectors.toml"),
            ),
            (
                "excited.safetensors",
                include_bytes!("../models/elpis-tiny/vectors/excited.safetensors"),
            ),
            (
                "calm.safetensors",
                include_bytes!("../models/elpis-tiny/vectors/calm.safetensors"),
            ),
            (
                "frustrated.safetensors",
                include_bytes!("../models/elpis-tiny/vectors/frustrated.safetensors"),
            ),
            (
                "depleted.safetensors",
                include_bytes!("../models/elpis-tiny/vectors/depleted.safetensors"),
            ),
        ];
        #[cfg(not(feature = "bundled-model"))]
        return &[];
    }
}
