//! From what a request asks of the reply's form to what sees to it.

use std::sync::Arc;

use crate::actors::engine::LoadedModel;
use crate::error::EngineError;
use crate::inference::{
    ConstraintError, Extent, GenerationOptions, Grammar, Guide, RequestError, ResponseFormat,
    ToolChoice, ToolParser, ToolSet,
};

/// The form of a reply.
#[derive(Debug)]
pub(super) enum Form {
    Free,
    Calls(ToolSet, ToolChoice),
    Answer(Grammar),
}

impl Form {
    /// Reads what validated options ask for.
    pub fn of(options: &GenerationOptions) -> Result<Self, EngineError> {
        if let Some((tools, choice)) = options.tool_set()? {
            return Ok(Self::Calls(tools, choice));
        }
        let format = options.response_format.as_ref();
        let grammar = format.map(ResponseFormat::grammar);
        Ok(match grammar.transpose()?.flatten() {
            Some(grammar) => Self::Answer(grammar),
            None => Self::Free,
        })
    }

    /// The tools on offer.
    pub fn tools(&self) -> Option<&ToolSet> {
        match self {
            Self::Calls(tools, _) => Some(tools),
            Self::Free | Self::Answer(_) => None,
        }
    }

    /// Whether the whole reply is of a form that was asked for.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_))
    }

    /// Whether the reply begins inside the model's thinking if the template has opened it. One
    /// that has to be of a form does not think.
    pub fn may_think(&self, opened: bool) -> bool {
        let free = match self {
            Self::Free => true,
            Self::Calls(_, choice) => *choice == ToolChoice::Auto,
            Self::Answer(_) => false,
        };
        opened && free
    }

    /// What reads calls out of the reply, once it is given a seed for their ids.
    pub fn reader(
        &self,
        model: &LoadedModel,
        thinking: bool,
    ) -> Option<impl FnOnce(u64) -> ToolParser + use<>> {
        let Self::Calls(tools, _) = self else {
            return None;
        };
        let format = model.template.tool_format();
        let thinking = self.may_think(thinking);
        let tools = tools.clone();
        Some(move |seed| ToolParser::new(format, seed, thinking).with_tools(&tools))
    }

    /// Compiles the guide of the reply. Takes a thread of its own, since grammars and
    /// vocabularies can be large.
    pub async fn guide(
        self,
        model: &Arc<LoadedModel>,
        parallel: bool,
        thinking: bool,
    ) -> Result<Option<Guide>, EngineError> {
        let (grammar, extent) = match self {
            Self::Free => return Ok(None),
            Self::Answer(grammar) => (grammar, Extent::Answer),
            Self::Calls(tools, choice) => {
                let format = model.template.tool_format();
                let control = model.control_tokens();
                let chosen = tools.chosen(&choice).map_err(RequestError::from)?;
                let parallel = parallel && !matches!(choice, ToolChoice::Named(_));
                let grammar = Grammar::of_tools(format.grammar(chosen, parallel, &control));
                let extent = match choice {
                    ToolChoice::Auto => Extent::FromOpening {
                        format,
                        control,
                        thinking,
                    },
                    _ => Extent::Calls(control),
                };
                (grammar, extent)
            }
        };
        let model = Arc::clone(model);
        let compile = move || model.vocabulary()?.compile(&grammar, extent);
        let compiled = tokio::task::spawn_blocking(compile).await;
        let compiled = compiled.unwrap_or_else(|error| {
            Err(ConstraintError::refused(
                "the constraint",
                error.to_string(),
            ))
        });
        Ok(Some(compiled?))
    }
}
