//! Chat templates turn messages into the text format that a model was trained on.
//!
//! A template is Jinja in the dialect of Hugging Face `transformers` (`tokenizer.chat_template`,
//! GGUF `tokenizer.chat_template`). The text contains the begin-of-text token where the template
//! writes it, so tokenise it with special tokens parsed and none added.

mod adapt;
mod arguments;
mod arithmetic;
mod bounds;
mod capabilities;
mod civil;
mod compare;
mod cost;
mod error;
mod expression;
mod filters;
mod formatting;
mod jinja;
mod lexer;
mod marks;
mod methods;
mod number;
mod operators;
mod python;
mod render;
mod source;
mod stack;
mod strings;

use std::io;

use minijinja::Environment;
use serde_json::Value as Json;

use super::chat_format::ChatFormat;
use super::message::ChatMessage;
use super::special_tokens::SpecialTokens;
use super::tools::{ToolFormat, ToolSet, recognise};
use render::Budget;

pub use capabilities::{ArgumentsForm, TemplateCapabilities};
pub use civil::CivilDateTime;
pub use error::TemplateError;
pub use marks::{ControlTexts, MarkedText, PromptText};

/// Maximum length of a template's source, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;

/// Maximum length of the rendered text, in bytes.
pub const MAX_RENDERED_BYTES: usize = 16 * 1024 * 1024;

const SOURCE_NAME: &str = "chat_template";

/// Options of a rendering besides the messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct RenderOptions<'a> {
    /// Whether the text ends with the opening of an assistant turn.
    pub add_generation_prompt: bool,
    /// The offered tools, as a list of JSON schemas of functions. `None` becomes `none` in a
    /// template.
    pub tools: Option<&'a Json>,
    /// Documents for retrieval, as a list of objects with `title` and `text`.
    pub documents: Option<&'a Json>,
    /// Further variables, such as `enable_thinking`. They may replace special tokens.
    pub variables: Option<&'a serde_json::Map<String, Json>>,
    /// The date and time that `strftime_now` formats. Without it that function is undefined, and
    /// templates fall back to a built-in date.
    pub now: Option<CivilDateTime>,
}

/// A compiled chat template with its special tokens. Cloning is cheap; rendering is pure.
///
/// Work, memory and output are bounded, so a malicious template ends with a typed error.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
    special_tokens: SpecialTokens,
    tool_format: ToolFormat,
    capabilities: TemplateCapabilities,
}

impl ChatTemplate {
    /// Compiles a template. `name` is only used in errors.
    ///
    /// # Errors
    /// [`TemplateError::SourceTooLong`], [`TemplateError::Syntax`].
    pub fn from_source(
        name: impl Into<String>,
        source: &str,
        special_tokens: SpecialTokens,
    ) -> Result<Self, TemplateError> {
        let name = name.into();
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::SourceTooLong {
                template: name,
                bytes: source.len(),
            });
        }
        stack::with_room(|| Self::compile(name.clone(), source, special_tokens))
            .unwrap_or_else(|error| Err(no_thread(name, &error)))
    }

    fn compile(
        name: String,
        source: &str,
        special_tokens: SpecialTokens,
    ) -> Result<Self, TemplateError> {
        let rewritten = source::rewrite(source).map_err(|error| TemplateError::Syntax {
            template: name.clone(),
            line: error.line,
            message: error.message,
        })?;
        let compile = || {
            let mut environment = jinja::environment()?;
            environment.add_template_owned(SOURCE_NAME, rewritten)?;
            Ok(environment)
        };
        let environment = compile().map_err(|error| syntax_error(name.clone(), &error))?;
        let mut template = Self {
            name,
            environment,
            special_tokens,
            tool_format: ToolFormat::Json,
            capabilities: TemplateCapabilities::UNKNOWN,
        };
        template.capabilities = TemplateCapabilities::of(&template);
        template.tool_format = template.recognised(source);
        Ok(template)
    }

    /// Recognises how the models of this template write calls, from the template's own output.
    fn recognised(&self, source: &str) -> ToolFormat {
        let budget = Budget::small();
        recognise(source, |messages, tools, add_generation_prompt| {
            if budget.is_spent() {
                return None;
            }
            let messages = messages.iter().cloned();
            let adapted = adapt::Adapted {
                messages: if self.capabilities.parts {
                    messages.map(capabilities::in_parts).collect()
                } else {
                    messages.collect()
                },
                tools: Some(tools.clone()),
            };
            let options = RenderOptions {
                add_generation_prompt,
                ..RenderOptions::default()
            };
            let rendered = self.render_conversation(&adapted, &options, &budget);
            rendered.ok().map(|(text, _)| text)
        })
    }

    /// Returns the built-in template of a format, with that format's special tokens.
    ///
    /// # Errors
    /// None in practice: the built-in templates compile.
    pub fn named(format: ChatFormat) -> Result<Self, TemplateError> {
        Self::from_source(format.as_str(), format.source(), format.special_tokens())
    }

    /// Returns the name used in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the special tokens in use.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// Returns the format in which the models of this template write tool calls.
    pub fn tool_format(&self) -> ToolFormat {
        self.tool_format
    }

    /// Returns the parts of a conversation that the template can show.
    pub fn capabilities(&self) -> &TemplateCapabilities {
        &self.capabilities
    }

    /// Replaces the special tokens, for example by those of the loaded model.
    #[must_use]
    pub fn with_special_tokens(mut self, special_tokens: SpecialTokens) -> Self {
        self.special_tokens = special_tokens;
        self
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// [`TemplateError::Raised`] if the template refuses the conversation,
    /// [`TemplateError::Render`] if it fails, [`TemplateError::TooLong`] and
    /// [`TemplateError::TooMuchWork`] if a bound is exceeded, [`TemplateError::ReservedVariable`].
    pub fn render(
        &self,
        messages: &[ChatMessage],
        options: &RenderOptions<'_>,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Json> = messages.iter().map(ChatMessage::to_template_json).collect();
        self.render_json(&messages, options)
    }

    /// Adapts a conversation to the template and renders it: parts that the template cannot show
    /// are moved to where it can ([`capabilities`](Self::capabilities)). A system message goes into
    /// the first user turn, tools are described in the system message, calls and results in the
    /// history become text, and consecutive messages of one role are joined. `tools` of the options
    /// is ignored.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_adapted(
        &self,
        messages: &[ChatMessage],
        tools: Option<&ToolSet>,
        options: &RenderOptions<'_>,
    ) -> Result<String, TemplateError> {
        stack::with_room(|| {
            let (_, text, _) = self.adapted(messages, tools, options)?;
            Ok(text)
        })
        .unwrap_or_else(|error| Err(no_thread(self.name.clone(), &error)))
    }

    /// Adapts a conversation, more strongly if the template refuses it, and renders it. Returns the
    /// adapted conversation, the text, and the work done.
    fn adapted(
        &self,
        messages: &[ChatMessage],
        tools: Option<&ToolSet>,
        options: &RenderOptions<'_>,
    ) -> Result<(adapt::Adapted, String, u64), TemplateError> {
        let mut first_error = None;
        let mut budget = None;
        for can in self.capabilities.and_smaller() {
            let adapted = adapt::adapt(messages, tools, self.tool_format, &can);
            let budget = budget.get_or_insert_with(|| {
                let tools = adapted.tools.as_ref();
                Budget::of(&adapted.messages, &RenderOptions { tools, ..*options })
            });
            match self.render_conversation(&adapted, options, budget) {
                Ok((text, used)) => return Ok((adapted, text, used)),
                Err(error @ (TemplateError::Raised { .. } | TemplateError::Render { .. })) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(first_error.unwrap_or(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| TemplateError::TooMuchWork {
            template: self.name.clone(),
        }))
    }

    fn render_conversation(
        &self,
        adapted: &adapt::Adapted,
        options: &RenderOptions<'_>,
        budget: &Budget,
    ) -> Result<(String, u64), TemplateError> {
        let tools = adapted.tools.as_ref();
        let mut variables = options.variables.cloned();
        if self.capabilities.functions_variable {
            let own = capabilities::functions_variables(tools, options.now);
            let given = variables.unwrap_or_default();
            variables = Some(own.into_iter().chain(given).collect());
        }
        let options = RenderOptions {
            tools,
            variables: variables.as_ref(),
            ..*options
        };
        self.render_counted(&adapted.messages, &options, budget)
    }

    /// Renders as [`render_adapted`](Self::render_adapted) and distinguishes the template's control
    /// tokens from look-alikes in the contents.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_marked(
        &self,
        messages: &[ChatMessage],
        tools: Option<&ToolSet>,
        options: &RenderOptions<'_>,
        controls: &ControlTexts,
    ) -> Result<PromptText, TemplateError> {
        stack::with_room(|| {
            let (adapted, text, used) = self.adapted(messages, tools, options)?;
            let budget = Budget::for_more_like(used);
            let render = |adapted: &adapt::Adapted| {
                let rendered = self.render_conversation(adapted, options, &budget);
                rendered.map(|(text, _)| text)
            };
            let last = |adapted: &adapt::Adapted| {
                let budget = Budget::of(&adapted.messages, options);
                let rendered = self.render_conversation(adapted, options, &budget);
                rendered.map(|(text, _)| text)
            };
            marks::prompt(&adapted, text, controls, render, last)
        })
        .unwrap_or_else(|error| Err(no_thread(self.name.clone(), &error)))
    }

    /// Finds the first control token in the contents of a conversation. Returns a description of
    /// its place, and its text.
    pub fn find_control(
        &self,
        messages: &[ChatMessage],
        tools: Option<&ToolSet>,
        controls: &ControlTexts,
    ) -> Option<(String, String)> {
        let as_they_are = adapt::Adapted {
            messages: messages.iter().map(ChatMessage::to_template_json).collect(),
            tools: tools.map(ToolSet::to_json),
        };
        marks::find(&as_they_are, controls)
    }

    /// Renders messages as raw JSON objects with arbitrary keys.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_json(
        &self,
        messages: &[Json],
        options: &RenderOptions<'_>,
    ) -> Result<String, TemplateError> {
        stack::with_room(|| self.render_here(messages, options, &Budget::of(messages, options)))
            .unwrap_or_else(|error| Err(no_thread(self.name.clone(), &error)))
    }
}

fn no_thread(template: String, error: &io::Error) -> TemplateError {
    TemplateError::Render {
        template,
        line: 0,
        message: format!("no thread could be started: {error}"),
    }
}

fn syntax_error(template: String, error: &minijinja::Error) -> TemplateError {
    TemplateError::Syntax {
        template,
        line: error.line().unwrap_or(0),
        message: words(error),
    }
}

fn words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind())
            .chars()
            .take(2048)
            .collect(),
        None => error.kind().to_string(),
    }
}
