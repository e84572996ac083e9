//! The chat template in force, and how tools reach the model through it.

use serde::Serialize;

use elpis::backend::ModelFacts;
use elpis::inference::ChatFormat;
use elpis::internal::{EngineFailure, chat_template};

/// The origin of a chat template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TemplateOrigin {
    /// The model file has it.
    Own,
    /// `model.chat_format` names a known one.
    BuiltIn,
    /// `model.chat_format` names a file.
    File,
    /// The model has none and none is set, so `ChatML` is assumed.
    Guessed,
}

/// Facts about the template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TemplateSeen {
    pub(super) name: String,
    pub(super) origin: TemplateOrigin,
    /// The notation of tool calls in a reply.
    pub(super) tool_format: &'static str,
    /// Whether the template itself describes tools to the model; otherwise a message does.
    pub(super) native_tools: bool,
}

impl TemplateSeen {
    pub(super) fn of(facts: &ModelFacts, chat_format: Option<&str>) -> Result<Self, EngineFailure> {
        let template = chat_template(facts, chat_format)?;
        let origin = match (chat_format, &facts.chat_template) {
            (Some(name), _) if name.parse::<ChatFormat>().is_ok() => TemplateOrigin::BuiltIn,
            (Some(_), _) => TemplateOrigin::File,
            (None, Some(_)) => TemplateOrigin::Own,
            (None, None) => TemplateOrigin::Guessed,
        };
        Ok(Self {
            name: template.name().to_owned(),
            origin,
            tool_format: template.tool_format().as_str(),
            native_tools: template.capabilities().tools,
        })
    }

    /// A one-line summary.
    pub(super) fn line(&self) -> String {
        let Self { name, .. } = self;
        let template = match self.origin {
            TemplateOrigin::Own => "the model's own".to_owned(),
            TemplateOrigin::BuiltIn => format!("built-in {name}"),
            TemplateOrigin::File => format!("file {name}"),
            TemplateOrigin::Guessed => format!("none, {name} instead"),
        };
        let way = if self.native_tools {
            "by the template"
        } else {
            "described in text"
        };
        format!(
            "template: {template}; tools as {} ({way})",
            self.tool_format
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_the_template_comes_from_and_what_becomes_of_tools() {
        let seen = |origin, native_tools| TemplateSeen {
            name: "chatml".to_owned(),
            origin,
            tool_format: "hermes",
            native_tools,
        };
        for (seen, line) in [
            (
                seen(TemplateOrigin::Own, true),
                "template: the model's own; tools as hermes (by the template)",
            ),
            (
                seen(TemplateOrigin::BuiltIn, false),
                "template: built-in chatml; tools as hermes (described in text)",
            ),
            (
                seen(TemplateOrigin::Guessed, false),
                "template: none, chatml instead; tools as hermes (described in text)",
            ),
        ] {
            assert_eq!(seen.line(), line);
        }
    }
}
