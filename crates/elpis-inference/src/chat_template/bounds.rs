//! Limits on the work of a template, and how work is charged against them.

use std::borrow::Cow;

use minijinja::{Error, ErrorKind, State, Value};

use super::MAX_RENDERED_BYTES;

pub(super) fn invalid(words: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

pub(super) fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_RENDERED_BYTES {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    Ok(())
}

/// Charges for bytes before they are allocated.
pub(super) fn pay_for(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// Charges for the items of a list before it is created. An item takes more memory than its own
/// size.
pub(super) fn pay_for_items(state: &State, items: usize) -> Result<(), Error> {
    pay_for(state, items.saturating_mul(2 * size_of::<Value>()))
}

pub(super) fn unsupported(sign: &str, a: &Value, b: &Value) -> Error {
    if a.is_undefined() || b.is_undefined() {
        return Error::from(ErrorKind::UndefinedError);
    }
    let (a, b) = (a.kind(), b.kind());
    invalid(format!("unsupported operands for {sign}: {a} and {b}"))
}
