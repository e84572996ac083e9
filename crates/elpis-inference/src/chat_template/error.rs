//! Errors of chat templates.

use thiserror::Error;

use super::{MAX_RENDERED_BYTES, MAX_TEMPLATE_BYTES};

/// Says why a template was refused or could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum TemplateError {
    /// A template source longer than [`MAX_TEMPLATE_BYTES`].
    #[error(
        "chat template {template:?} has {bytes} bytes, at most {MAX_TEMPLATE_BYTES} are allowed"
    )]
    SourceTooLong {
        /// The name of the template.
        template: String,
        /// The length of its source.
        bytes: usize,
    },
    /// A source that is not Jinja.
    #[error("chat template {template:?}, line {line}: {message}")]
    Syntax {
        /// The name of the template.
        template: String,
        /// The line, from 1.
        line: usize,
        /// The reason.
        message: String,
    },
    /// The template called `raise_exception`: it does not take this conversation.
    #[error("chat template {template:?} refused the conversation: {message}")]
    Raised {
        /// The name of the template.
        template: String,
        /// The template's own words, at most 2,048 characters.
        message: String,
    },
    /// The template asked for something that failed, such as a field of an undefined value.
    #[error("chat template {template:?}, line {line}: {message}")]
    Render {
        /// The name of the template.
        template: String,
        /// The line, from 1; 0 when it is not known.
        line: usize,
        /// The reason.
        message: String,
    },
    /// The rendered text passed [`MAX_RENDERED_BYTES`].
    #[error("chat template {template:?} gives more than {MAX_RENDERED_BYTES} bytes")]
    TooLong {
        /// The name of the template.
        template: String,
    },
    /// The template used up its work budget, as one that loops for ever does.
    #[error("chat template {template:?} does too much work")]
    TooMuchWork {
        /// The name of the template.
        template: String,
    },
    /// An extra variable with a name that rendering sets itself.
    #[error("the template variable {name:?} is set by rendering itself")]
    ReservedVariable {
        /// The name.
        name: String,
    },
}

impl TemplateError {
    /// Returns a short constant label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}
