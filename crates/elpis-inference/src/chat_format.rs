//! The built-in chat formats.

use std::str::FromStr;

use thiserror::Error;

use super::special_tokens::SpecialTokens;

/// Errors of chat formats.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ChatFormatError {
    /// A name is not one of [`ChatFormat::ALL`].
    #[error(
        "unknown chat format {name:?}, the nearest is {nearest}; known formats: llama-3, chatml, mistral, gemma, phi-3, zephyr"
    )]
    #[strum(to_string = "unknown_chat_format")]
    Unknown {
        /// The given name, shortened to 64 characters.
        name: String,
        /// The known format whose name is nearest by edit distance.
        nearest: ChatFormat,
    },
}

impl ChatFormatError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// A chat format with a built-in template, for models without one.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[non_exhaustive]
pub enum ChatFormat {
    /// Llama 3 Instruct: headers and `<|eot_id|>`. Tool results take the role `ipython`.
    #[strum(to_string = "llama-3")]
    Llama3,
    /// `ChatML`: `<|im_start|>` and `<|im_end|>`, as used by Qwen, Hermes and many fine-tunes.
    ChatMl,
    /// Mistral Instruct from tokenizer version 3 on: `[INST]` and `[/INST]`, with the system text
    /// in the last user turn.
    Mistral,
    /// Gemma 2 and 3, with the system text in the first user turn and the assistant as `model`.
    Gemma,
    /// Phi-3 Instruct: `<|user|>` and `<|end|>`.
    #[strum(to_string = "phi-3")]
    Phi3,
    /// Zephyr: `<|user|>`, each turn ended by `</s>`.
    Zephyr,
}

impl ChatFormat {
    /// Every built-in format.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Returns the name that [`FromStr`] reads.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the Jinja source of the format's template.
    pub fn source(self) -> &'static str {
        match self {
            Self::Llama3 => include_str!("chat_format/llama-3.jinja"),
            Self::ChatMl => include_str!("chat_format/chatml.jinja"),
            Self::Mistral => include_str!("chat_format/mistral.jinja"),
            Self::Gemma => include_str!("chat_format/gemma.jinja"),
            Self::Phi3 => include_str!("chat_format/phi-3.jinja"),
            Self::Zephyr => include_str!("chat_format/zephyr.jinja"),
        }
    }

    /// Returns the special tokens that the format's models have.
    pub fn special_tokens(self) -> SpecialTokens {
        match self {
            Self::Llama3 => SpecialTokens::new("<|begin_of_text|>", "<|eot_id|>"),
            Self::ChatMl => SpecialTokens {
                eos: Some("<|im_end|>".into()),
                ..Default::default()
            },
            Self::Gemma => SpecialTokens::new("<bos>", "<eos>"),
            Self::Phi3 => SpecialTokens::new("<s>", "<|endoftext|>"),
            Self::Mistral | Self::Zephyr => SpecialTokens::new("<s>", "</s>"),
        }
    }

    /// Returns the text that ends an assistant turn, for use as a stop string.
    pub fn end_of_turn(self) -> &'static str {
        match self {
            Self::Llama3 => "<|eot_id|>",
            Self::ChatMl => "<|im_end|>",
            Self::Mistral | Self::Zephyr => "</s>",
            Self::Gemma => "<end_of_turn>",
            Self::Phi3 => "<|end|>",
        }
    }
}

impl FromStr for ChatFormat {
    type Err = ChatFormatError;

    /// Parses a format's name, in any case, with or without `-` and `_`.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wanted: String = name.chars().take(64).collect();
        let mut nearest = (usize::MAX, Self::ChatMl);
        for &format in Self::ALL {
            let distance = strsim::levenshtein(&plain(&wanted), &plain(format.as_str()));
            if distance == 0 && wanted == name {
                return Ok(format);
            }
            if distance < nearest.0 {
                nearest = (distance, format);
            }
        }
        Err(ChatFormatError::Unknown {
            name: wanted,
            nearest: nearest.1,
        })
    }
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}
