//! The tokenizer of a Hugging Face folder.

mod pieces;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use serde::de::IgnoredAny;
use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::checkpoint::Files;
use super::fields::Fields;
use elpis_backend::{BackendError, ControlToken, Token, Tokenizer};
use pieces::pieces;

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
/// A token that occurs in no text. It precedes a later part of a text, so that the tokenizer does not
/// treat the part's beginning as the beginning of a text.
const GUARD: &str = "\u{10FFFE}elpis\u{10FFFE}";

const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// Control tokens that end a turn in the known chat formats. If a vocabulary contains one of them, it
/// ends a turn even if the folder does not say so.
const ENDS_OF_TURN: [&str; 10] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|end_of_text|>",
    "<|endofturn|>",
    "<|return|>",
    "<EOT>",
];

/// A tokenizer that follows `tokenizer.json`.
#[derive(Debug)]
pub(super) struct FolderTokenizer {
    /// Recognises control tokens.
    special: HfTokenizer,
    /// Treats control tokens as plain text.
    plain: HfTokenizer,
    /// Like `plain`, with [`GUARD`] as an additional token.
    guarded: HfTokenizer,
    control_tokens: Vec<ControlToken>,
    /// The bytes of each token. Control tokens have none.
    pieces: Vec<Box<[u8]>>,
    ends: HashSet<Token>,
    /// The token that begins every text, if the model expects one.
    start: Option<Token>,
}

/// Text settings of a folder that are not part of the tokenizer.
#[derive(Debug, Default)]
pub(super) struct TextFacts {
    pub chat_template: Option<String>,
    pub bos_token: String,
    pub eos_token: String,
}

impl FolderTokenizer {
    /// Reads the tokenizer and the text settings.
    ///
    /// # Errors
    /// [`BackendError::Unreadable`] if a file cannot be read, or [`BackendError::Checkpoint`] with the
    /// file and the field that is missing or wrong.
    pub fn read(files: &Files, config: &Fields<'_>) -> Result<(Self, TextFacts), BackendError> {
        let wrong = |reason: String| BackendError::Checkpoint {
            path: files.path(TOKENIZER),
            item: "the file".to_owned(),
            reason,
        };
        let bytes = files.read(TOKENIZER)?.ok_or_else(|| {
            wrong("is missing; older folders have to be converted by transformers".to_owned())
        })?;
        // The library panics on some texts that are not JSON.
        serde_json::from_slice::<IgnoredAny>(&bytes)
            .map_err(|error| wrong(format!("is not JSON: {error}")))?;
        let special = caught(|| HfTokenizer::from_bytes(&bytes))
            .map_err(|reason| wrong(format!("is not a tokenizer: {reason}")))?;
        let (special, plain, guarded) = caught(|| variants(special)).map_err(wrong)?;

        let texts = read_texts(files)?;
        let ends = ends(files, config, &special, &texts)?;
        // The post-processor adds the token that begins every text, if there is one.
        let start = caught(|| special.encode_fast("", true))
            .map_err(wrong)?
            .get_ids()
            .first()
            .copied()
            .filter(|first| {
                !ends.contains(first) || special.token_to_id(&texts.bos_token) == Some(*first)
            });
        let pieces = pieces(&special).map_err(wrong)?;
        let control_tokens = control_tokens(&special);
        Ok((
            Self {
                special,
                plain,
                guarded,
                control_tokens,
                pieces,
                ends,
                start,
            },
            texts,
        ))
    }
}

impl Tokenizer for FolderTokenizer {
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError> {
        let tokens = self.encode_part(text, parse_special, true)?;
        let missing = self.start.filter(|start| tokens.first() != Some(start));
        Ok(missing.into_iter().chain(tokens).collect())
    }

    fn encode_part(
        &self,
        text: &str,
        parse_special: bool,
        first: bool,
    ) -> Result<Vec<Token>, BackendError> {
        if !parse_special && !first {
            let tokens = tokens_of(&self.guarded, &format!("{GUARD}{text}"));
            return Ok(tokens.into_iter().skip(1).collect());
        }
        let tokenizer = if parse_special {
            &self.special
        } else {
            &self.plain
        };
        Ok(tokens_of(tokenizer, text))
    }

    fn control_tokens(&self) -> &[ControlToken] {
        &self.control_tokens
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        if let Some(piece) = self.pieces.get(token as usize) {
            out.extend_from_slice(piece);
        }
    }

    fn is_end(&self, token: Token) -> bool {
        self.ends.contains(&token)
    }
}

/// The three variants of a tokenizer: `special`, `plain` and `guarded` of [`FolderTokenizer`].
fn variants(
    mut special: HfTokenizer,
) -> tokenizers::Result<(HfTokenizer, HfTokenizer, HfTokenizer)> {
    special.with_truncation(None)?;
    special.with_padding(None);
    let mut plain = special.clone();
    plain.set_encode_special_tokens(true);
    let mut guarded = plain.clone();
    let guard = AddedToken::from(GUARD, false).normalized(false);
    guarded.add_tokens([guard])?;
    Ok((special, plain, guarded))
}

/// Calls the library and catches panics, because it panics on some files.
///
/// # Errors
/// The message of the library's error or panic.
fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(panic
            .downcast_ref::<&str>()
            .map(|&text| text.to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "the tokenizers library panicked".to_owned())),
    }
}

fn tokens_of(tokenizer: &HfTokenizer, text: &str) -> Vec<Token> {
    match caught(|| tokenizer.encode_fast(text, false)) {
        Ok(encoding) => encoding.get_ids().to_vec(),
        Err(error) => {
            // This only happens with vocabularies that have no token for unknown text.
            tracing::warn!(%error, "cannot tokenise a text; treating it as empty");
            Vec::new()
        }
    }
}

/// The tokens that are recognised only if special tokens are parsed.
fn control_tokens(tokenizer: &HfTokenizer) -> Vec<ControlToken> {
    let added = tokenizer.get_added_tokens_decoder();
    let special = added
        .into_iter()
        .filter(|(_, token)| token.special && !token.content.is_empty());
    let mut tokens: Vec<_> = special
        .map(|(id, token)| ControlToken {
            token: id,
            text: token.content,
            strips_left: token.lstrip,
            strips_right: token.rstrip,
        })
        .collect();
    tokens.sort_unstable_by_key(|token| token.token);
    tokens
}

fn read_texts(files: &Files) -> Result<TextFacts, BackendError> {
    let config = files.json(TOKENIZER_CONFIG)?.unwrap_or_default();
    let text_of = |name: &str| match config.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(token)) => token
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    };
    let own_file = files
        .read(CHAT_TEMPLATE)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(TextFacts {
        chat_template: own_file.or_else(|| template(config.get("chat_template")?)),
        bos_token: text_of("bos_token"),
        eos_token: text_of("eos_token"),
    })
}

/// The chat template. If there are several, the one named `default`, or else the first.
fn template(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let named = value.as_array()?.iter();
    let mut texts = named.filter_map(|entry| {
        let name = entry.get("name").and_then(Value::as_str);
        Some((name, entry.get("template")?.as_str()?))
    });
    let all: Vec<_> = texts.by_ref().collect();
    all.iter()
        .find(|(name, _)| *name == Some("default"))
        .or(all.first())
        .map(|(_, text)| (*text).to_owned())
}

/// The tokens that end a generation.
fn ends(
    files: &Files,
    config: &Fields<'_>,
    tokenizer: &HfTokenizer,
    texts: &TextFacts,
) -> Result<HashSet<Token>, BackendError> {
    let mut ends = HashSet::new();
    if let Some(generation) = files.json(GENERATION_CONFIG)? {
        let path = files.path(GENERATION_CONFIG);
        add_ids(&Fields::new(&path, &generation)?, &mut ends)?;
    }
    add_ids(config, &mut ends)?;
    ends.extend(tokenizer.token_to_id(&texts.eos_token));
    let added = tokenizer.get_added_tokens_decoder();
    ends.extend(
        added
            .iter()
            .filter(|(_, token)| token.special && ENDS_OF_TURN.contains(&token.content.as_str()))
            .map(|(id, _)| *id),
    );
    Ok(ends)
}

/// Adds the tokens of `eos_token_id`, which is a number or a list of numbers.
fn add_ids(fields: &Fields<'_>, ends: &mut HashSet<Token>) -> Result<(), BackendError> {
    let Some(value) = fields.get("eos_token_id") else {
        return Ok(());
    };
    let ids = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    for id in ids {
        let id = id
            .as_u64()
            .and_then(|id| Token::try_from(id).ok())
            .ok_or_else(|| {
                fields.error("eos_token_id", format!("holds {id}, which is not a token"))
            })?;
        ends.insert(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_files_are_refused_and_nothing_worse() {
        let good = include_str!("../../../tests/data/checkpoints/llama/tokenizer.json");
        let read = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(TOKENIZER), text).unwrap();
            let files = Files::Folder(folder.path().to_owned());
            let config = serde_json::json!({});
            let path = files.path("config.json");
            let fields = Fields::new(&path, &config).unwrap();
            FolderTokenizer::read(&files, &fields).map(|_| ())
        };
        read(good).unwrap();
        // The library panics on a decoder that is not JSON, and would allocate 16 bytes for each number
        // below the largest.
        let broken = good.replacen("\"Fuse\"", "}", 1);
        let many = good.replacen(": 5", &format!(": {}", u32::MAX - 1), 1);
        let added = good.replacen("\"id\": 0", &format!("\"id\": {}", u32::MAX - 1), 1);
        for (text, reason) in [
            ("", "not JSON"),
            (&broken, "not JSON"),
            ("{\"decoder\": [", "not JSON"),
            ("{}", "not a tokenizer"),
            (&many, "names token 4294967294"),
            (
                r#"{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AA=="}}"#,
                "not a tokenizer",
            ),
        ] {
            assert_ne!(text, good);
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:.60}: {error}");
        }
        // The library decides which number an added token gets.
        let _ = read(&added);
    }

    #[test]
    fn the_default_template_is_taken_of_several() {
        let several = serde_json::json!([
            {"name": "tool_use", "template": "T"},
            {"name": "default", "template": "D"},
        ]);
        assert_eq!(template(&several).as_deref(), Some("D"));
        assert_eq!(template(&serde_json::json!("S")).as_deref(), Some("S"));
        assert_eq!(template(&Value::Null), None);
    }
}
