//! Multiples of a number, as far as a grammar can recognise them.

use serde_json::{Map, Value, json};

use super::{Bound, Numbers, Refused, SAFE};
use crate::schema::decimal::Decimal;
use crate::schema::regex::Regex;

/// Maximum number of multiples that are listed one by one.
const MAX_LISTED: usize = 5000;

/// Largest divisor whose multiples llguidance recognises digit by digit.
const MAX_DIVISOR: u32 = u32::MAX;

pub(super) fn untold(of: &Decimal) -> Refused {
    let reason = format!(
        "is {of}, which cannot be enforced: a divisor may be at most {MAX_DIVISOR} with bounds up \
         to 2^53, or have at most {MAX_LISTED} multiples between the bounds or in 64 bits"
    );
    ("multipleOf", reason)
}

/// Whether llguidance, which multiplies a divisor by 10 until it is an integer, gets its exact digits.
fn is_found(mut divisor: f64, exact: &Decimal) -> bool {
    let mut places = 0;
    while divisor.fract() != 0.0 {
        divisor *= 10.0;
        places += 1;
        if places > 20 {
            return false;
        }
    }
    if divisor > f64::from(MAX_DIVISOR) {
        return false;
    }
    let digits = Decimal::parse(&format!("{divisor:.0}"));
    digits.is_some_and(|digits| digits.shifted(-places) == *exact)
}

/// The numbers whose last digits are those of a multiple. This decides for divisors of powers of 10.
/// `None` for other divisors, and if there are too many endings.
pub(super) fn endings(of: &Decimal, integer: bool) -> Option<Regex> {
    let places = of.places() as i64;
    let mut power = Decimal::integer(1);
    let mut width = 0;
    while power.is_multiple_of(of) != Some(true) {
        width += 1;
        power = power.shifted(1);
        if width > 9 {
            return None;
        }
    }
    let scaled = |number: &Decimal| -> Option<u64> {
        number.clone().shifted(places).integer_text()?.parse().ok()
    };
    let (step, all) = (scaled(of)?, scaled(&power)?);
    if all / step > 1000 {
        return None;
    }
    let zero_point = |number: &Decimal| {
        let (_, fraction) = number.parts()?;
        let digits: String = fraction
            .iter()
            .map(|digit| char::from(b'0' + digit))
            .collect();
        Some(match (integer, digits.as_str()) {
            (true, _) => String::new(),
            (false, "") => "(\\.0+)?".to_owned(),
            (false, digits) => format!("\\.{digits}0*"),
        })
    };
    let (mut ends, mut small) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < all {
        let number = Decimal::parse(&at.to_string())?.shifted(-places);
        let (whole, _) = number.parts()?;
        let whole: String = whole.iter().map(|digit| char::from(b'0' + digit)).collect();
        let tail = zero_point(&number)?;
        if !integer || number.is_integer() {
            small.push(format!("{whole}{tail}"));
            let padded = if width == 0 {
                String::new()
            } else {
                format!("{whole:0>width$}")
            };
            ends.push(format!("{padded}{tail}"));
        }
        at += step;
    }
    let ends = ends.join("|");
    let small = small.join("|");
    Some(Regex::Raw(format!("-?([1-9][0-9]*({ends})|{small})")))
}

impl Numbers {
    /// All multiples between the bounds. `None` if there are too many.
    pub(super) fn listed(
        &self,
        of: &Decimal,
        low: Option<&Bound>,
        high: Option<&Bound>,
    ) -> Option<Regex> {
        let (low, high) = (low?, high?);
        let places = of.places().max(low.at.places()).max(high.at.places()) as i64;
        let scaled = |number: &Decimal| -> Option<i128> {
            number.clone().shifted(places).integer_text()?.parse().ok()
        };
        let (of, first, last) = (scaled(of)?, scaled(&low.at)?, scaled(&high.at)?);
        let mut ways = Vec::new();
        let mut at = first.div_euclid(of).checked_mul(of)?;
        if (last.checked_sub(at)?).div_euclid(of) > 10 * MAX_LISTED as i128 {
            return None;
        }
        while at <= last {
            let number = Decimal::parse(&at.to_string())?.shifted(-places);
            if self.contains(&number)? {
                if ways.len() == MAX_LISTED {
                    return None;
                }
                let sign = if number.is_zero() { "-?" } else { "" };
                let text = format!("{sign}{}", number.to_string().replace('.', "\\."));
                ways.push(if self.integer {
                    text
                } else if number.is_integer() {
                    format!("{text}(\\.0+)?")
                } else {
                    format!("{text}0*")
                });
            }
            at = at.checked_add(of)?;
        }
        Some(if ways.is_empty() {
            Regex::Nothing
        } else {
            Regex::Raw(ways.join("|"))
        })
    }

    /// A schema that llguidance enforces exactly, although it computes in doubles.
    pub(super) fn embedded(
        &self,
        of: &Decimal,
        low: Option<&Bound>,
        high: Option<&Bound>,
        kept: bool,
    ) -> Option<Value> {
        let divisor: f64 = of.to_string().parse().ok()?;
        if !is_found(divisor, of) {
            return None;
        }
        let kind = if self.integer { "integer" } else { "number" };
        let mut schema = Map::from_iter([
            ("type".to_owned(), json!(kind)),
            ("multipleOf".to_owned(), json!(divisor)),
        ]);
        let safe = Decimal::integer(SAFE);
        for (bound, included, excluded) in [
            (low, "minimum", "exclusiveMinimum"),
            (high, "maximum", "exclusiveMaximum"),
        ] {
            let Some(bound) = bound else { continue };
            let double: f64 = bound.at.to_string().parse().ok()?;
            let text = serde_json::Number::from_f64(double)?.to_string();
            if bound.at.clone().abs() > safe || Decimal::parse(&text)? != bound.at {
                return None;
            }
            let key = if bound.included { included } else { excluded };
            schema.insert(key.to_owned(), json!(double));
        }
        if kept {
            let safe = |key: &str, value: i64, schema: &mut Map<String, Value>| {
                schema.entry(key).or_insert_with(|| json!(value));
            };
            safe("minimum", -SAFE, &mut schema);
            safe("maximum", SAFE, &mut schema);
        }
        Some(Value::Object(schema))
    }
}
