//! Errors of chat templates.

use thiserror::Error;

use super::{MAX_RENDERED_BYTES, MAX_TEMPLATE_BYTES};

/// Why a template was refused or could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum TemplateError {
    /// The source is longer than [`MAX_TEMPLATE_BYTES`].
    #[error(
        "chat template {template:?} has {bytes} bytes, at most {MAX_TEMPLATE_BYTES} are allowed"
    )]
    SourceTooLong {
        /// The name of the template.
        template: String,
        /// The length of its source.
        bytes: usize,
    },
    /// The source is not valid Jinja.
    #[error("chat template {template:?}, line {line}: {message}")]
    Syntax {
        /// The name of the template.
        template: String,
        /// The line, from 1.
        line: usize,
        /// The reason.
        message: String,
    },
    /// The template called `raise_exception`, so it does not accept this conversation.
    #[error("chat template {template:?} refused the conversation: {message}")]
    Raised {
        /// The name of the template.
        template: String,
        /// The template's message, at most 2,048 characters.
        message: String,
    },
    /// An operation of the template failed, such as reading a field of an undefined value.
    #[error("chat template {template:?}, line {line}: {message}")]
    Render {
        /// The name of the template.
        template: String,
        /// The line, from 1; 0 when it is not known.
        line: usize,
        /// The reason.
        message: String,
    },
    /// The rendered text exceeded [`MAX_RENDERED_BYTES`].
    #[error("chat template {template:?} gives more than {MAX_RENDERED_BYTES} bytes")]
    TooLong {
        /// The name of the template.
        template: String,
    },
    /// The template used up its work budget, for example in an endless loop.
    #[error("chat template {template:?} does too much work")]
    TooMuchWork {
        /// The name of the template.
        template: String,
    },
    /// An extra variable has a name that rendering sets itself.
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
