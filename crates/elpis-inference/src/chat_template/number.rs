//! Numbers of Python.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::python;

/// A number of Python; booleans count as 0 and 1.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Int(value.is_true().into())),
            ValueKind::Number => match python::float_of(value) {
                Some(number) => Some(Self::Float(number)),
                None => i128::try_from(value.clone()).ok().map(Self::Int),
            },
            _ => None,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        match number {
            Number::Int(number) => match i64::try_from(number) {
                Ok(small) => Self::from(small),
                Err(_) => Self::from(number),
            },
            Number::Float(number) => Self::from(number),
        }
    }
}
