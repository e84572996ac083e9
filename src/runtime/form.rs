//! Turns the requested format of a reply into the parts that enforce it.

use std::sync::Arc;

use crate::engine::{LoadedModel, ReplyParser, ThinkingSplitter};
use crate::error::EngineError;
use crate::inference::{
    ConstraintError, ControlToken, GenerationOptions, Grammar, Guide, Preface, ResponseFormat,
    Scope, ToolChoice, ToolDefinition, ToolParser, ToolSet,
};

/// The requested format of a reply.
#[derive(Debug)]
pub(super) enum Form {
    Free,
    Calls(ToolSet, ToolChoice),
    Answer(Grammar),
}

impl Form {
    /// Reads the format from validated options.
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

    /// Control tokens with a meaning in a free reply: they separate thinking from the answer.
    pub fn visible(&self, model: &LoadedModel) -> Vec<ControlToken> {
        let format = model.template.tool_format();
        match self {
            Self::Free => {
                let markers = model.tool_markers.iter();
                let marks = markers.filter(|token| format.marks(token.text));
                marks.copied().collect()
            }
            Self::Calls(..) | Self::Answer(_) => Vec::new(),
        }
    }

    /// Whether the whole reply has a requested format.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_))
    }

    /// Creates the parser of the reply. `seed` determines the ids of calls; `thinking` tells
    /// whether the template has opened the model's thinking, `allow_unfinished` whether the reply
    /// may end within a call.
    pub fn parser(
        &self,
        model: &LoadedModel,
        thinking: bool,
        seed: u64,
        allow_unfinished: bool,
    ) -> Option<ReplyParser> {
        let format = model.template.tool_format();
        let parser = match self {
            Self::Calls(tools, _) => ToolParser::new(format, seed, thinking).with_tools(tools),
            Self::Answer(_) => {
                let preface = Preface::new(format, &model.tool_markers, thinking)?;
                return Some(ReplyParser::Answer(ThinkingSplitter::new(preface)));
            }
            Self::Free if self.visible(model).is_empty() => return None,
            Self::Free => ToolParser::of_texts(format, thinking),
        };
        let parser = parser.allow_unfinished(allow_unfinished);
        Some(ReplyParser::Calls(Box::new(parser)))
    }

    /// Compiles the guide of the reply on a blocking thread, because grammars and vocabularies can
    /// be large.
    pub async fn guide(
        self,
        model: &Arc<LoadedModel>,
        parallel: bool,
        thinking: bool,
    ) -> Result<Option<Guide>, EngineError> {
        if matches!(self, Self::Free) {
            return Ok(None);
        }
        let model = Arc::clone(model);
        let compile = move || self.compile(&model, parallel, thinking);
        let compiled = tokio::task::spawn_blocking(compile).await;
        let compiled = compiled.unwrap_or_else(|error| {
            Err(ConstraintError::refused(
                "the constraint",
                error.to_string(),
            ))
        });
        Ok(compiled?)
    }

    fn compile(
        self,
        model: &LoadedModel,
        parallel: bool,
        thinking: bool,
    ) -> Result<Option<Guide>, ConstraintError> {
        let format = model.template.tool_format();
        let control = model.tool_markers.to_vec();
        let vocabulary = model.vocabulary()?;
        let (tools, choice) = match self {
            Self::Free => return Ok(None),
            Self::Answer(grammar) => {
                let scope = Scope::AfterThinking {
                    format,
                    control,
                    thinking,
                    calls: false,
                };
                return vocabulary.compile(&grammar, scope).map(Some);
            }
            Self::Calls(tools, choice) => (tools, choice),
        };
        // The choice has been validated against the tools.
        let chosen = tools.chosen(&choice).unwrap_or(tools.tools());
        let parallel = parallel && !matches!(choice, ToolChoice::Named(_));
        let grammar = |tools: &[ToolDefinition]| -> Result<Grammar, ConstraintError> {
            let lark = format.grammar(tools, parallel, &control)?;
            Ok(Grammar::of_tools(lark))
        };
        let scope = match choice {
            ToolChoice::Auto => Scope::FromOpening {
                format,
                names: tools.names().map(str::to_owned).collect(),
                control: control.clone(),
                thinking,
            },
            _ => Scope::AfterThinking {
                format,
                control: control.clone(),
                thinking,
                calls: true,
            },
        };
        let compiled = vocabulary.compile(&grammar(chosen)?, scope);
        let Err(refused @ ConstraintError::Refused { .. }) = compiled else {
            return compiled.map(Some);
        };
        // The compiler's error does not tell which tool caused it.
        for tool in chosen {
            let alone = vocabulary.compile(
                &grammar(std::slice::from_ref(tool))?,
                Scope::Calls(Vec::new()),
            );
            alone.map_err(|error| error.of_tool(&tool.name))?;
        }
        Err(refused)
    }
}
