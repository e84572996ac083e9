//! Python's arithmetic on template values.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine's interface requires it"
)]

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Error, State, Value};

use super::bounds::{invalid, pay_for, pay_for_items, unsupported};
use super::number::Number;
use super::{formatting, python};

fn too_large() -> Error {
    invalid("an integer has more than 127 bits")
}

/// Applies operators of one precedence from left to right. `signs` lists them, separated by spaces.
fn fold(
    state: &State,
    signs: &str,
    operands: &[Value],
    apply: fn(&State, &str, &Value, &Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let Some((first, rest)) = operands.split_first() else {
        return Ok(Value::UNDEFINED);
    };
    let mut result = first.clone();
    for (sign, operand) in signs.split(' ').zip(rest) {
        result = apply(state, sign, &result, operand)?;
    }
    Ok(result)
}

/// The operands of a chain of operators. They are passed by value, as the engine does.
pub(super) type Operands = Rest<Value>;

pub(super) fn sum(state: &State, signs: &str, operands: Operands) -> Result<Value, Error> {
    fold(state, signs, &operands, |state, sign, a, b| {
        if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
            return add_numbers(sign, a, b);
        }
        match (a.as_str(), b.as_str(), sign) {
            (Some(left), Some(right), "+") => add_texts(state, a, left, b, right),
            (None, None, "+") if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq => {
                add_lists(state, a, b)
            }
            _ => Err(unsupported(sign, a, b)),
        }
    })
}

fn add_numbers(sign: &str, a: Number, b: Number) -> Result<Value, Error> {
    let add = sign == "+";
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => {
            let result = if add {
                a.checked_add(b)
            } else {
                a.checked_sub(b)
            };
            Ok(Number::Int(result.ok_or_else(too_large)?).into())
        }
        (a, b) if add => Ok(Value::from(a.float() + b.float())),
        (a, b) => Ok(Value::from(a.float() - b.float())),
    }
}

/// Joins texts. If one is marked as safe, the other is escaped, as in Jinja2.
fn add_texts(state: &State, a: &Value, left: &str, b: &Value, right: &str) -> Result<Value, Error> {
    pay_for(state, left.len() + right.len())?;
    if a.is_safe() || b.is_safe() {
        let part = |text: &str, value: &Value| {
            if value.is_safe() {
                text.to_owned()
            } else {
                escape(text)
            }
        };
        return Ok(Value::from_safe_string(part(left, a) + &part(right, b)));
    }
    Ok(Value::from(format!("{left}{right}")))
}

/// Escapes as `MarkupSafe` does.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            letter => out.push(letter),
        }
    }
    out
}

fn add_lists(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if a.is_tuple() != b.is_tuple() {
        return Err(unsupported("+", a, b));
    }
    let length = a.len().unwrap_or(0) + b.len().unwrap_or(0);
    pay_for_items(state, length)?;
    let items: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
    Ok(if a.is_tuple() {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    })
}

pub(super) fn concat(state: &State, _signs: &str, operands: Operands) -> Result<Value, Error> {
    let mut out = String::new();
    for operand in operands.iter() {
        match operand.as_str() {
            Some(text) => {
                pay_for(state, text.len())?;
                out.push_str(text);
            }
            None => out.push_str(&python::text(state, operand)?),
        }
    }
    Ok(Value::from(out))
}

pub(super) fn product(state: &State, signs: &str, operands: Operands) -> Result<Value, Error> {
    fold(state, signs, &operands, |state, sign, a, b| {
        if sign == "%"
            && let Some(text) = a.as_str()
        {
            return formatting::percent(state, text, b);
        }
        if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
            return multiply(sign, a, b);
        }
        match (sign, Number::of(a), Number::of(b)) {
            ("*", Some(Number::Int(times)), None) => repeat(state, b, times),
            ("*", None, Some(Number::Int(times))) => repeat(state, a, times),
            _ => Err(unsupported(sign, a, b)),
        }
    })
}

fn multiply(sign: &str, a: Number, b: Number) -> Result<Value, Error> {
    let zero = match b {
        Number::Int(number) => number == 0,
        Number::Float(number) => number == 0.0,
    };
    if zero && sign != "*" {
        return Err(invalid("division by zero"));
    }
    match (sign, a, b) {
        ("/", a, b) => Ok(Value::from(a.float() / b.float())),
        (_, Number::Int(a), Number::Int(b)) => {
            let result = match sign {
                "*" => a.checked_mul(b),
                "//" => a.checked_div(b).map(|quotient| {
                    let inexact = a % b != 0 && (a < 0) != (b < 0);
                    quotient - i128::from(inexact)
                }),
                _ => a.checked_rem(b).map(|rest| {
                    // Python's remainder has the sign of the divisor.
                    if rest != 0 && (rest < 0) != (b < 0) {
                        rest + b
                    } else {
                        rest
                    }
                }),
            };
            Ok(Number::Int(result.ok_or_else(too_large)?).into())
        }
        ("*", a, b) => Ok(Value::from(a.float() * b.float())),
        ("//", a, b) => Ok(Value::from((a.float() / b.float()).floor())),
        (_, a, b) => {
            let (a, b) = (a.float(), b.float());
            let rest = a % b;
            let wrong_sign = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            Ok(Value::from(if wrong_sign { rest + b } else { rest }))
        }
    }
}

fn repeat(state: &State, value: &Value, times: i128) -> Result<Value, Error> {
    let times = usize::try_from(times.max(0)).map_err(|_| too_large())?;
    if let Some(text) = value.as_str() {
        pay_for(state, text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    if value.kind() != ValueKind::Seq {
        return Err(unsupported("*", value, &Value::from(times)));
    }
    let length = value.len().unwrap_or(0).saturating_mul(times);
    pay_for_items(state, length)?;
    let once: Vec<Value> = value.try_iter()?.collect();
    let items: Vec<Value> = std::iter::repeat_n(once, times).flatten().collect();
    Ok(if value.is_tuple() {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    })
}

pub(super) fn powers(state: &State, signs: &str, operands: Operands) -> Result<Value, Error> {
    fold(state, signs, &operands, |_, sign, a, b| {
        match (Number::of(a), Number::of(b)) {
            (Some(Number::Int(base)), Some(Number::Int(exponent))) if exponent >= 0 => {
                let exponent = u32::try_from(exponent).map_err(|_| too_large())?;
                let power = base.checked_pow(exponent).ok_or_else(too_large)?;
                Ok(Number::Int(power).into())
            }
            #[allow(clippy::disallowed_methods, reason = "no state depends on it")]
            (Some(base), Some(exponent)) => Ok(Value::from(base.float().powf(exponent.float()))),
            _ => Err(unsupported(sign, a, b)),
        }
    })
}

pub(super) fn positive(value: &Value) -> Result<Value, Error> {
    let number = Number::of(value).ok_or_else(|| invalid("unary + needs a number"))?;
    Ok(number.into())
}
