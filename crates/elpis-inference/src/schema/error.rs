//! Parts of a schema that cannot be enforced.

use super::document::{Document, NodeId};

/// A part of a schema that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaError {
    /// The keyword's place: a URI fragment with a JSON pointer.
    pub path: String,
    /// The whole reason.
    pub reason: String,
}

/// A result that may be such an error.
pub(super) type Found<T = ()> = Result<T, SchemaError>;

/// An error at a keyword.
pub(super) fn error(
    document: &Document<'_>,
    node: NodeId,
    key: &str,
    reason: impl Into<String>,
) -> SchemaError {
    let path = document.path(node);
    let slash = if key.is_empty() { "" } else { "/" };
    SchemaError {
        path: format!("{path}{slash}{key}"),
        reason: reason.into(),
    }
}
