//! The chat formats that are built in.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::special_tokens::SpecialTokens;

/// Says why a chat format was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChatFormatError {
    /// A name that is none of [`ChatFormat::ALL`].
    #[error(
        "unknown chat format {name:?}, the nearest is {nearest}; known formats: llama-3, chatml, mistral, gemma, phi-3, zephyr"
    )]
    Unknown {
        /// The name as given, cut to 64 characters.
        name: String,
        /// The known format whose name is nearest by edit distance.
        nearest: ChatFormat,
    },
}

impl ChatFormatError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_chat_format",
        }
    }
}

/// A chat format with a template of our own, for models that bring none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChatFormat {
    /// Llama 3 Instruct: headers and `<|eot_id|>`. Tool results take the role `ipython`.
    Llama3,
    /// `ChatML`: `<|im_start|>` and `<|im_end|>`, as Qwen, Hermes and many fine-tunes have it.
    ChatMl,
    /// Mistral Instruct from the third tokenizer version on: `[INST]` and `[/INST]`, the system
    /// text in the last user turn.
    Mistral,
    /// Gemma 2 and 3: the system text in the first user turn, the assistant as `model`.
    Gemma,
    /// Phi-3 Instruct: `<|user|>` and `<|end|>`.
    Phi3,
    /// Zephyr: `<|user|>`, each turn ended by `</s>`.
    Zephyr,
}

impl ChatFormat {
    /// Every built-in format.
    pub const ALL: [Self; 6] = [
        Self::Llama3,
        Self::ChatMl,
        Self::Mistral,
        Self::Gemma,
        Self::Phi3,
        Self::Zephyr,
    ];

    /// Returns the name that [`FromStr`] reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llama3 => "llama-3",
            Self::ChatMl => "chatml",
            Self::Mistral => "mistral",
            Self::Gemma => "gemma",
            Self::Phi3 => "phi-3",
            Self::Zephyr => "zephyr",
        }
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

impl fmt::Display for ChatFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChatFormat {
    type Err = ChatFormatError;

    /// Reads a format by its name, in any case, with or without `-` and `_`.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let wanted: String = name.chars().take(64).collect();
        let mut nearest = (usize::MAX, Self::ChatMl);
        for format in Self::ALL {
            let distance = edit_distance(&plain(&wanted), &plain(format.as_str()));
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

fn plain(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Levenshtein's distance, one row at a time.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
