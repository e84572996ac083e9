//! Regular expressions for decimal numbers up to or from a bound, digit by digit.

use std::fmt::Write;

use super::decimal::Decimal;

/// Any fractional digits, or no point.
const ANY_FRACTION: &str = "(\\.[0-9]+)?";

/// Maximum exponent that is written if a number has a bound.
const MAX_EXPONENT: i64 = 99;

/// Expressions for the absolute values of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Integer,
    /// With digits behind the point.
    Plain,
    /// With fractional digits, or with one integer digit and an exponent.
    Number,
}

impl Form {
    /// Every absolute value.
    pub fn any(self) -> String {
        let whole = "(0|[1-9][0-9]*)";
        match self {
            Self::Integer => whole.to_owned(),
            Self::Plain => format!("{whole}{ANY_FRACTION}"),
            Self::Number => format!("{whole}{ANY_FRACTION}([eE][+-]?[0-9]+)?"),
        }
    }

    /// Absolute values of at least, or above, a nonnegative bound. `None` if the bound has too many
    /// digits.
    pub fn at_least(self, bound: &Decimal, included: bool) -> Option<String> {
        let (whole, fraction) = bound.parts()?;
        let longer = format!("[1-9][0-9]{{{},}}", whole.len());
        if self == Self::Integer {
            // The bound is an integer that is included.
            return Some(format!("({}|{longer})", whole_from(&whole)));
        }
        let equal = fraction_from(&fraction, included);
        let above = bound.floor()?.successor()?;
        let (next, _) = above.parts()?;
        let (low, any) = (whole_from(&next), ANY_FRACTION);
        let longer = format!("[1-9][0-9]{{{},}}", next.len());
        let exact = text(&whole);
        let plain = format!("{exact}{equal}|({low}|{longer}){any}");
        if self == Self::Plain {
            return Some(format!("({plain})"));
        }
        let Some((exponent, mantissa)) = scientific(bound) else {
            let zero = format!("0{any}[eE][+-]?[0-9]{{1,2}}|");
            let zero = if included { zero.as_str() } else { "" };
            return Some(format!("({plain}|{zero}[1-9]{any}[eE][+-]?[0-9]{{1,2}})"));
        };
        let at = |exponent: i64| exponents(exponent, exponent);
        let equal = mantissa_from(&mantissa, included);
        let higher = exponents(exponent + 1, MAX_EXPONENT)
            .map(|higher| format!("|[1-9]{any}[eE]{higher}"))
            .unwrap_or_default();
        let same = at(exponent)
            .map(|same| format!("|({equal})[eE]{same}"))
            .unwrap_or_default();
        Some(format!("({plain}{same}{higher})"))
    }

    /// Absolute values of at most, or below, a nonnegative bound; `None` as above, and the empty
    /// text if there are none.
    pub fn at_most(self, bound: &Decimal, included: bool) -> Option<String> {
        let (whole, fraction) = bound.parts()?;
        let shorter = match whole.len() {
            1 => String::new(),
            2 => "|(0|[1-9])".to_owned(),
            length => format!("|(0|[1-9][0-9]{{0,{}}})", length - 2),
        };
        if self == Self::Integer {
            return Some(format!("({}{shorter})", whole_to(&whole)));
        }
        let any = ANY_FRACTION;
        let mut ways = Vec::new();
        if let Some(equal) = fraction_to(&fraction, included) {
            ways.push(format!("{}{equal}", text(&whole)));
        }
        if whole != [0] {
            let below = bound.floor()?.predecessor()?;
            let (previous, _) = below.parts()?;
            let shorter = match previous.len() {
                1 => String::new(),
                2 => "|(0|[1-9])".to_owned(),
                length => format!("|(0|[1-9][0-9]{{0,{}}})", length - 2),
            };
            ways.push(format!("({}{shorter}){any}", whole_to(&previous)));
        }
        if self == Self::Plain {
            // No exponents.
        } else if let Some((exponent, mantissa)) = scientific(bound) {
            ways.push("0(\\.0+)?[eE][+-]?[0-9]{1,2}".to_owned());
            if let Some(lower) = exponents(-MAX_EXPONENT, exponent - 1) {
                ways.push(format!("[1-9]{any}[eE]{lower}"));
            }
            if let Some(same) = exponents(exponent, exponent)
                && let Some(equal) = mantissa_to(&mantissa, included)
            {
                ways.push(format!("({equal})[eE]{same}"));
            }
        } else if included {
            ways.push("0(\\.0+)?[eE][+-]?[0-9]{1,2}".to_owned());
        }
        Some(if ways.is_empty() {
            String::new()
        } else {
            format!("({})", ways.join("|"))
        })
    }
}

/// The exponent of a number with one digit before the point, and its digits; `None` for 0.
fn scientific(bound: &Decimal) -> Option<(i64, Vec<u8>)> {
    let (whole, fraction) = bound.parts()?;
    let digits: Vec<u8> = whole.iter().chain(&fraction).copied().collect();
    let first = digits.iter().position(|digit| *digit != 0)?;
    let last = digits.iter().rposition(|digit| *digit != 0)?;
    let exponent = whole.len() as i64 - 1 - first as i64;
    Some((exponent, digits[first..=last].to_vec()))
}

/// Exponents within bounds, as far as they are written; `None` if there are none.
fn exponents(low: i64, high: i64) -> Option<String> {
    let (low, high) = (low.max(-MAX_EXPONENT), high.min(MAX_EXPONENT));
    if low > high {
        return None;
    }
    let mut ways = Vec::new();
    let range = |from: i64, to: i64| {
        let all: Vec<_> = (from..=to).map(|exponent| exponent.to_string()).collect();
        format!("0?({})", all.join("|"))
    };
    if high >= 0 {
        ways.push(format!("\\+?{}", range(low.max(0), high)));
    }
    if low < 0 {
        ways.push(format!("-{}", range((-high).max(1), -low)));
    }
    if low <= 0 && high >= 0 {
        ways.push("-00?".to_owned());
    }
    Some(format!("({})", ways.join("|")))
}

/// Numbers with one nonzero integer digit, from the one with these digits on.
fn mantissa_from(digits: &[u8], included: bool) -> String {
    let (first, rest) = (digits[0], &digits[1..]);
    let equal = format!("{first}{}", fraction_from(rest, included));
    match first {
        9 => equal,
        8 => format!("{equal}|9{ANY_FRACTION}"),
        _ => format!("{equal}|[{}-9]{ANY_FRACTION}", first + 1),
    }
}

/// Numbers with one nonzero integer digit, up to the one with these digits; `None` if there are
/// none.
fn mantissa_to(digits: &[u8], included: bool) -> Option<String> {
    let (first, rest) = (digits[0], &digits[1..]);
    let mut ways = Vec::new();
    if let Some(equal) = fraction_to(rest, included) {
        ways.push(format!("{first}{equal}"));
    }
    if first > 1 {
        ways.push(format!("[1-{}]{ANY_FRACTION}", first - 1));
    }
    (!ways.is_empty()).then(|| ways.join("|"))
}

/// Digits, with long runs of one digit written as a repetition.
fn text(digits: &[u8]) -> String {
    let mut out = String::new();
    for run in digits.chunk_by(|one, next| one == next) {
        // Writing to a string does not fail.
        let _ = match run.len() {
            length @ 5.. => write!(out, "{}{{{length}}}", run[0]),
            length => write!(out, "{}", run[0].to_string().repeat(length)),
        };
    }
    out
}

fn any_digits(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "[0-9]".to_owned(),
        _ => format!("[0-9]{{{count}}}"),
    }
}

/// Integers of the same length that are not less.
fn whole_from(digits: &[u8]) -> String {
    let end = digits
        .iter()
        .rposition(|digit| *digit != 0)
        .map_or(0, |at| at + 1);
    let end = end.max(1);
    let mut ways = vec![format!(
        "{}{}",
        text(&digits[..end]),
        any_digits(digits.len() - end)
    )];
    for (at, digit) in digits[..end].iter().enumerate() {
        let rest = any_digits(digits.len() - at - 1);
        match digit {
            9 => {}
            8 => ways.push(format!("{}9{rest}", text(&digits[..at]))),
            digit => ways.push(format!("{}[{}-9]{rest}", text(&digits[..at]), digit + 1)),
        }
    }
    format!("({})", ways.join("|"))
}

/// Integers of the same length that are not greater.
fn whole_to(digits: &[u8]) -> String {
    let end = digits
        .iter()
        .rposition(|digit| *digit != 9)
        .map_or(0, |at| at + 1);
    let end = end.max(1);
    let mut ways = vec![format!(
        "{}{}",
        text(&digits[..end]),
        any_digits(digits.len() - end)
    )];
    for (at, digit) in digits[..end].iter().enumerate() {
        // The first of several digits is not 0.
        let least = u8::from(at == 0 && digits.len() > 1);
        if *digit > least {
            let rest = any_digits(digits.len() - at - 1);
            ways.push(format!(
                "{}[{least}-{}]{rest}",
                text(&digits[..at]),
                digit - 1
            ));
        }
    }
    format!("({})", ways.join("|"))
}

/// Fractions after an equal integer part that are not less, or are greater.
fn fraction_from(digits: &[u8], included: bool) -> String {
    let more = if included {
        "[0-9]*"
    } else {
        "[0-9]*[1-9][0-9]*"
    };
    if digits.is_empty() {
        return if included {
            ANY_FRACTION.to_owned()
        } else {
            format!("\\.{more}")
        };
    }
    let mut ways = vec![format!("{}{more}", text(digits))];
    for (at, digit) in digits.iter().enumerate() {
        if *digit < 9 {
            ways.push(format!("{}[{}-9][0-9]*", text(&digits[..at]), digit + 1));
        }
    }
    format!("\\.({})", ways.join("|"))
}

/// Fractions after an equal integer part that are not greater, or are less; `None` if there are
/// none.
fn fraction_to(digits: &[u8], included: bool) -> Option<String> {
    if digits.is_empty() {
        return included.then(|| "(\\.0+)?".to_owned());
    }
    let mut ways = Vec::new();
    if included {
        ways.push(format!("{}0*", text(digits)));
    }
    for (at, digit) in digits.iter().enumerate() {
        if at > 0 {
            ways.push(text(&digits[..at]));
        }
        if *digit > 0 {
            ways.push(format!("{}[0-{}][0-9]*", text(&digits[..at]), digit - 1));
        }
    }
    Some(if ways.is_empty() {
        String::new()
    } else {
        format!("(\\.({}))?", ways.join("|"))
    })
}

#[cfg(test)]
mod tests;
