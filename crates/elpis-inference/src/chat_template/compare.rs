//! Equality, order and membership as in Python.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::bounds::{invalid, unsupported};
use super::cost::{is_container, weigh};
use super::number::Number;

pub(super) fn equal(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            #[expect(clippy::float_cmp, reason = "Python compares exactly")]
            (a, b) => a.float() == b.float(),
        });
    }
    if a.kind() != b.kind() && !(is_container(a) && is_container(b)) {
        return Ok(false);
    }
    weigh(state, a)?;
    weigh(state, b)?;
    Ok(a == b)
}

pub(super) fn order(state: &State, a: &Value, b: &Value) -> Result<Ordering, Error> {
    if let (Some(left), Some(right)) = (Number::of(a), Number::of(b)) {
        return match (left, right) {
            (Number::Int(a), Number::Int(b)) => Ok(a.cmp(&b)),
            (a, b) => {
                let order = a.float().partial_cmp(&b.float());
                order.ok_or_else(|| invalid("NaN has no order"))
            }
        };
    }
    let alike = a.kind() == b.kind() && matches!(a.kind(), ValueKind::String | ValueKind::Seq);
    if !alike {
        return Err(unsupported("<", a, b));
    }
    weigh(state, a)?;
    weigh(state, b)?;
    Ok(a.cmp(b))
}

pub(super) fn is_in(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    match b.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::String => {
            weigh(state, b)?;
            match (b.as_str(), a.as_str()) {
                (Some(text), Some(part)) => Ok(text.contains(part)),
                _ => Err(unsupported("in", a, b)),
            }
        }
        ValueKind::Map => {
            weigh(state, a)?;
            let found = b.as_object().and_then(|object| object.get_value(a));
            Ok(found.is_some_and(|value| !value.is_undefined()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in b.try_iter()? {
                state.consume_fuel(1)?;
                if equal(state, a, &item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(unsupported("in", a, b)),
    }
}
