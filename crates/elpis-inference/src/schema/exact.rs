//! Detects numbers that a JSON value may have rounded.

use std::sync::LazyLock;

use serde_json::{Number, Value};

use super::decimal::Decimal;
#[cfg(feature = "tools")]
use super::digits::Form;
#[cfg(feature = "tools")]
use super::regex::Regex;

/// Doubles that mean no bound: the largest of 64 and of 32 bits.
const EXTREMES: [f64; 3] = [f64::MAX, f32::MAX as f64, 3.402_823_5e38];

/// Number of decimal digits that a double always keeps.
const SAFE_DIGITS: usize = 15;

/// The number up to which every integer is a distinct double.
const SAFE_INTEGER: u64 = 1 << 53;

/// Whether the program keeps numbers as written, with the feature `arbitrary_precision` of the
/// crate `serde_json`.
static KEEPS_DIGITS: LazyLock<bool> = LazyLock::new(|| {
    let number = "100000000000000000000000000000001";
    let read = serde_json::from_str::<Value>(number);
    let written = read.map(|read| read.to_string());
    written.is_ok_and(|written| written == number)
});

/// The explanation for a number that cannot be kept.
pub(crate) const LIMIT: &str = "numbers are kept to the digit up to 64 bits \
     (-9223372036854775808 to 18446744073709551615), beyond them up to 15 digits";

/// The exact value of a number.
///
/// # Errors
/// The reason if it is unknown, because it was rounded from one with more digits than a double.
pub(crate) fn decimal(number: &Number) -> Result<Decimal, String> {
    let text = number.to_string();
    let decimal = Decimal::parse(&text).ok_or_else(|| format!("is {text}, which is too large"))?;
    let is_extreme = || {
        let double = number.as_f64().unwrap_or(0.0).abs();
        EXTREMES
            .iter()
            .any(|extreme| double.to_bits() == extreme.to_bits())
    };
    let rounded = !*KEEPS_DIGITS
        && !number.is_i64()
        && !number.is_u64()
        && decimal.clone().abs() >= safe_integer()
        && decimal.significant_digits() > SAFE_DIGITS
        && !is_extreme();
    if rounded {
        return Err(format!("is {text} after rounding: {LIMIT}"));
    }
    Ok(decimal)
}

/// Numbers that a [`Value`] keeps exactly.
#[cfg(feature = "tools")]
pub(super) fn kept(integer: bool) -> Regex {
    if *KEEPS_DIGITS {
        return Regex::any();
    }
    let up_to = |most: u64| {
        let most = Decimal::parse(&most.to_string());
        let text = most.and_then(|most| Form::Integer.at_most(&most, true));
        Regex::Raw(text.unwrap_or_default())
    };
    let sign = || Regex::Raw("-".to_owned());
    let below = Regex::concat([sign(), up_to(i64::MIN.unsigned_abs())]);
    let whole = Regex::alt([up_to(u64::MAX), below]);
    if integer {
        return whole;
    }
    let short = "-?(0|[1-9][0-9]{0,14})(\\.[0-9]+)?|-?[0-9](\\.[0-9]{1,14})?[eE][+-]?[0-9]{1,2}";
    Regex::alt([whole, Regex::Raw(short.to_owned())])
}

fn safe_integer() -> Decimal {
    Decimal::integer(SAFE_INTEGER as i64)
}

/// The first number in a JSON text that a [`Value`] does not keep exactly: its place as a JSON
/// pointer, and its text. Below 2^53, fractional digits may be rounded like any double. `None` also
/// if the text is not JSON.
pub(crate) fn first_rounded(json: &str) -> Option<(String, String)> {
    let mut places: Vec<Place> = Vec::new();
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => places.push(Place::Object(String::new(), false)),
            b'[' => places.push(Place::Array(0)),
            b'}' | b']' => drop(places.pop()),
            b',' => match places.last_mut() {
                Some(Place::Array(index)) => *index += 1,
                Some(Place::Object(_, value)) => *value = false,
                None => {}
            },
            b':' => {
                if let Some(Place::Object(_, value)) = places.last_mut() {
                    *value = true;
                }
            }
            b'"' => {
                let from = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if let Some(Place::Object(key, false)) = places.last_mut() {
                    let text = json.get(from..=at).unwrap_or_default();
                    *key = serde_json::from_str(text).unwrap_or_default();
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                let text = &json[at..at + length];
                if !is_kept(text) {
                    let path = places.iter().map(Place::part).collect();
                    return Some((path, text.to_owned()));
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

enum Place {
    /// The last key, and whether its value comes next.
    Object(String, bool),
    Array(usize),
}

impl Place {
    fn part(&self) -> String {
        match self {
            Self::Object(key, _) => format!("/{}", super::uri::pointer_part(key)),
            Self::Array(index) => format!("/{index}"),
        }
    }
}

fn is_kept(text: &str) -> bool {
    let Some(exact) = Decimal::parse(text) else {
        return false;
    };
    let Ok(number) = serde_json::from_str::<Number>(text) else {
        return false;
    };
    let small = !exact.is_integer() && exact.clone().abs() < safe_integer();
    small || Decimal::parse(&number.to_string()) == Some(exact)
}

/// Whether two values are equal, comparing numbers by value and not by notation.
#[cfg(feature = "tools")]
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || matches!((decimal(one), decimal(other)), (Ok(one), Ok(other)) if one == other)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_value_rounds_are_found_with_their_place() {
        for kept in [
            "[18446744073709551615, -9223372036854775808, 9007199254740993]",
            "{\"a\": {\"b\": [1, 0.1, 1e3, 1.5e-7, 1e30, 123456789012345e10]}}",
            "[0.1000000000000000055511151231257827]",
            "\"18446744073709551616\"",
            "{\"18446744073709551616\": \"\\\"18446744073709551616\"}",
            "[-0, 0.0, 1.7976931348623157e308, 9007199254740992.0]",
        ] {
            assert_eq!(first_rounded(kept), None, "{kept}");
        }
        if *KEEPS_DIGITS {
            return;
        }
        for (json, path, text) in [
            ("18446744073709551616", "", "18446744073709551616"),
            (
                "{\"a/b\": [1, {\"c~\": -9223372036854775809}]}",
                "/a~1b/1/c~0",
                "-9223372036854775809",
            ),
            ("[9007199254740993.0]", "/0", "9007199254740993.0"),
            (
                "[[], {\"x\": 1}, 123456789012345678901234567890]",
                "/2",
                "123456789012345678901234567890",
            ),
            ("[1e999]", "/0", "1e999"),
        ] {
            assert_eq!(
                first_rounded(json),
                Some((path.to_owned(), text.to_owned())),
                "{json}"
            );
        }
    }

    #[test]
    fn numbers_of_values_are_known_to_the_digit_or_refused() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        for text in [
            "0.1",
            "1e20",
            "-9223372036854775808",
            "18446744073709551615",
            "1.7976931348623157e308",
            "3.4028234663852886e38",
            "0.1234567890123456",
        ] {
            assert_eq!(
                decimal(&number(text)),
                Ok(Decimal::parse(text).unwrap()),
                "{text}"
            );
        }
        let long = "123456789012345678901234567890";
        match decimal(&number(long)) {
            Ok(exact) => assert_eq!(exact.to_string(), long),
            Err(reason) => {
                assert!(reason.contains("1.2345678901234568e") && reason.contains("64 bits"));
            }
        }
    }
}
