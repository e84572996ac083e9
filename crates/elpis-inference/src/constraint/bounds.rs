//! Limits that a constraint is checked against before it is compiled.

use super::ConstraintError;

/// Maximum number of repetitions (`?`, `*`, `+`, `{`) in a regular expression, in a Lark grammar or
/// in all patterns of a schema. A chain of them takes time quadratic in its length.
pub const MAX_REPETITIONS: usize = 1000;

pub(super) const FIELD: &str = "response_format";

pub(super) fn limit(field: &'static str, value: String, limit: &'static str) -> ConstraintError {
    ConstraintError::Limit {
        field,
        value,
        limit,
    }
}

pub(super) fn repetitions(text: &str) -> usize {
    text.bytes().filter(|byte| b"?*+{".contains(byte)).count()
}

pub(super) fn check_repetitions(field: &'static str, count: usize) -> Result<(), ConstraintError> {
    if count > MAX_REPETITIONS {
        let value = format!("a pattern of {count} repetitions");
        return Err(limit(field, value, "at most 1000 repetitions"));
    }
    Ok(())
}
