//! The parts of the loaded model that callers need to prepare a prompt.

use std::sync::{Arc, OnceLock};

use super::failure::EngineFailure;
use crate::backend::{Backend, ModelFacts, Tokenizer};
use crate::inference::{
    ChatFormat, ChatTemplate, ConstraintError, ControlTexts, ControlToken, SpecialTokens,
    Vocabulary,
};

/// The parts of the loaded model that callers need to prepare a prompt.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// Facts about the model.
    pub facts: Arc<ModelFacts>,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The chat template in force.
    pub template: Arc<ChatTemplate>,
    /// The texts of its control tokens.
    pub controls: Arc<ControlTexts>,
    /// The markers of the model's tool format that are tokens without text of their own.
    pub tool_markers: Arc<[ControlToken]>,
    /// The vocabulary as constraints need it, built on first use.
    vocabulary: Arc<OnceLock<Result<Arc<Vocabulary>, ConstraintError>>>,
}

impl LoadedModel {
    /// Takes from a backend the parts that prompts are made with. `chat_format` is the configured
    /// choice.
    ///
    /// # Errors
    /// [`EngineFailure`] if the chat template is unusable.
    pub(super) fn new(
        backend: &dyn Backend,
        chat_format: Option<&str>,
    ) -> Result<Self, EngineFailure> {
        let facts = Arc::clone(backend.facts());
        let template = chat_template(&facts, chat_format)?;
        let tokenizer = backend.tokenizer();
        let controls = tokenizer.control_tokens().iter();
        Ok(Self {
            tool_markers: tool_markers(&template, tokenizer.as_ref()).into(),
            controls: Arc::new(ControlTexts::new(controls.map(|token| token.text.as_str()))),
            tokenizer,
            template: Arc::new(template),
            vocabulary: Arc::default(),
            facts,
        })
    }

    /// The vocabulary as constraints need it. The first call takes a few tenths of a second.
    ///
    /// # Errors
    /// [`ConstraintError::Vocabulary`], or [`ConstraintError::NotBuilt`] without the feature.
    pub fn vocabulary(&self) -> Result<Arc<Vocabulary>, ConstraintError> {
        let make = || {
            let tokenizer = &self.tokenizer;
            let piece = |token, out: &mut Vec<u8>| tokenizer.append_piece(token, out);
            let is_end = |token| tokenizer.is_end(token);
            Vocabulary::new(self.facts.n_vocab, piece, is_end).map(Arc::new)
        };
        self.vocabulary.get_or_init(make).clone()
    }
}

/// The markers of a template's tool format that are tokens without text.
fn tool_markers(template: &ChatTemplate, tokenizer: &dyn Tokenizer) -> Vec<ControlToken> {
    let markers = template.tool_format().markers();
    let mut piece = Vec::new();
    let control = |text: &'static str| {
        let tokens = tokenizer.encode(text, true).ok()?;
        let (&id, before) = tokens.split_last()?;
        // Some tokenizers put a beginning-of-sequence token first.
        if before.len() > 1 {
            return None;
        }
        piece.clear();
        tokenizer.append_piece(id, &mut piece);
        let control = piece.is_empty() && !tokenizer.is_end(id);
        control.then_some(ControlToken { text, id })
    };
    markers.filter_map(control).collect()
}

/// The chat template in force: the configured one, otherwise the model's own, otherwise `ChatML`.
#[doc(hidden)]
pub fn chat_template(
    facts: &ModelFacts,
    chat_format: Option<&str>,
) -> Result<ChatTemplate, EngineFailure> {
    let special = || {
        let text = |token: &str| (!token.is_empty()).then(|| token.to_owned());
        SpecialTokens {
            bos: text(&facts.bos_token),
            eos: text(&facts.eos_token),
            ..SpecialTokens::default()
        }
    };
    match (chat_format, &facts.chat_template) {
        (Some(name), _) => match name.parse::<ChatFormat>() {
            Ok(format) => Ok(ChatTemplate::named(format)?.with_special_tokens(special())),
            Err(unknown) if !std::path::Path::new(name).exists() => Err(unknown.into()),
            Err(_) => {
                let source =
                    std::fs::read_to_string(name).map_err(|error| EngineFailure::TemplateFile {
                        path: name.to_owned(),
                        source: Arc::new(error),
                    })?;
                Ok(ChatTemplate::from_source(name, &source, special())?)
            }
        },
        (None, Some(source)) => Ok(ChatTemplate::from_source(&facts.name, source, special())?),
        (None, None) => {
            tracing::warn!(
                model = facts.name,
                "the model has no chat template and none is set; using chatml"
            );
            Ok(ChatTemplate::named(ChatFormat::ChatMl)?.with_special_tokens(special()))
        }
    }
}
