//! Which numbers a schema allows, and how they are written.

use serde_json::{Map, Value, json};

use super::decimal::{Decimal, MAX_DIGITS};
use super::digits::Form;
use super::exact;
use super::regex::Regex;

/// Most values of a multiple that are written down one by one.
const MAX_LISTED: usize = 5000;

/// Largest divisor whose multiples are told apart digit by digit.
const MAX_DIVISOR: u32 = u32::MAX;

/// Bounds of what llguidance, which reckons with doubles, is given.
const SAFE: i64 = 1 << 53;

/// What a schema says of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    pub integer: bool,
    low: Option<Bound>,
    high: Option<Bound>,
    multiples: Vec<Decimal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    at: Decimal,
    included: bool,
}

/// How numbers are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// As all of these have it.
    All(Vec<Regex>),
    /// As llguidance writes multiples: a schema.
    Multiples(Value),
}

type Refused = (&'static str, String);

impl Numbers {
    pub fn set_low(&mut self, at: Decimal, included: bool) {
        let tighter = |old: &Bound| at > old.at || at == old.at && !included;
        if self.low.as_ref().is_none_or(tighter) {
            self.low = Some(Bound { at, included });
        }
    }

    pub fn set_high(&mut self, at: Decimal, included: bool) {
        let tighter = |old: &Bound| at < old.at || at == old.at && !included;
        if self.high.as_ref().is_none_or(tighter) {
            self.high = Some(Bound { at, included });
        }
    }

    pub fn add_multiple(&mut self, of: Decimal) {
        if !self.multiples.contains(&of) {
            self.multiples.push(of);
        }
    }

    /// Whether a number is among them; `None` if that cannot be computed.
    pub fn contains(&self, number: &Decimal) -> Option<bool> {
        let above = |low: &Bound| *number > low.at || low.included && *number == low.at;
        let below = |high: &Bound| *number < high.at || high.included && *number == high.at;
        let within = self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below);
        let mut fits = within && (!self.integer || number.is_integer());
        for of in &self.multiples {
            fits &= number.is_multiple_of(of)?;
        }
        Some(fits)
    }

    /// Whether the bounds leave no number.
    pub fn is_empty(&self) -> bool {
        match self.narrowed() {
            Some((Some(low), Some(high))) => {
                low.at > high.at || low.at == high.at && !(low.included && high.included)
            }
            _ => false,
        }
    }

    /// The bounds, those of integers as integers that are included. `None` if they have too many
    /// digits.
    fn narrowed(&self) -> Option<(Option<Bound>, Option<Bound>)> {
        let (mut low, mut high) = (self.low.clone(), self.high.clone());
        if self.integer {
            if let Some(low) = &mut low {
                let whole = low.at.ceiling()?;
                let passed = !low.included && whole == low.at;
                low.at = if passed { whole.successor()? } else { whole };
                low.included = true;
            }
            if let Some(high) = &mut high {
                let whole = high.at.floor()?;
                let passed = !high.included && whole == high.at;
                high.at = if passed { whole.predecessor()? } else { whole };
                high.included = true;
            }
        }
        Some((low, high))
    }

    /// How these numbers are written. `kept` keeps to those that a [`Value`] holds to the digit.
    ///
    /// # Errors
    /// The keyword and why it cannot be enforced.
    pub fn written(&self, kept: bool) -> Result<Written, Refused> {
        let (low, high) = self
            .narrowed()
            .ok_or_else(|| too_long(self.longer_bound()))?;
        if self.is_empty() {
            return Ok(Written::All(vec![Regex::Nothing]));
        }
        // Every integer is a multiple of what 1 is a multiple of.
        let one = Decimal::integer(1);
        let says = |of: &&Decimal| !self.integer || one.is_multiple_of(of) != Some(true);
        let multiples: Vec<&Decimal> = self.multiples.iter().filter(says).collect();
        let mut all = vec![self.ranged(low.as_ref(), high.as_ref(), multiples.is_empty())?];
        if kept {
            all.push(exact::kept(self.integer));
        }
        // What no end tells is put together.
        let mut rest: Option<Decimal> = None;
        for of in multiples {
            match endings(of, self.integer) {
                Some(endings) => all.push(endings),
                None => {
                    rest = Some(
                        rest.map_or_else(|| Some(of.clone()), |rest| rest.common_multiple(of))
                            .ok_or_else(|| untold(of))?,
                    );
                }
            }
        }
        let Some(of) = rest else {
            return Ok(Written::All(all));
        };
        let listed = self.listed(&of, low.as_ref(), high.as_ref());
        if listed.is_none() {
            // llguidance writes these alone.
            let alone = all.len() == 1 + usize::from(kept);
            let schema = self.embedded(&of, low.as_ref(), high.as_ref(), kept);
            if let Some(schema) = schema.filter(|_| alone) {
                return Ok(Written::Multiples(schema));
            }
        }
        // Of large numbers there are few multiples in 64 bits.
        let within = || {
            let bound = |text| {
                let at = Decimal::parse(text)?;
                Some(Bound { at, included: true })
            };
            let least = bound("-9223372036854775808");
            let most = bound("18446744073709551615");
            let low = low.as_ref().or(least.as_ref());
            self.listed(&of, low, high.as_ref().or(most.as_ref()))
        };
        all.push(listed.or_else(within).ok_or_else(|| untold(&of))?);
        Ok(Written::All(all))
    }

    fn longer_bound(&self) -> &'static str {
        let long = |bound: &Option<Bound>| {
            bound
                .as_ref()
                .is_some_and(|bound| bound.at.parts().is_none())
        };
        if long(&self.low) {
            "minimum"
        } else {
            "maximum"
        }
    }

    fn ranged(
        &self,
        low: Option<&Bound>,
        high: Option<&Bound>,
        exponents: bool,
    ) -> Result<Regex, Refused> {
        let form = match (self.integer, exponents) {
            (true, _) => Form::Integer,
            (false, true) => Form::Number,
            (false, false) => Form::Plain,
        };
        let side = |bound: &Bound, from: bool, key| {
            let size = bound.at.clone().abs();
            let text = if from {
                form.at_least(&size, bound.included)
            } else {
                form.at_most(&size, bound.included)
            };
            match text {
                None => Err(too_long(key)),
                Some(text) if text.is_empty() => Ok(Regex::Nothing),
                Some(text) => Ok(Regex::Raw(text)),
            }
        };
        // The sizes of positive numbers and of negative ones, 0 among both.
        let mut positive = vec![Regex::Raw(form.any())];
        let mut negative = positive.clone();
        let zero = Bound {
            at: Decimal::integer(0),
            included: true,
        };
        if let Some(low) = low {
            if low.at.is_negative() {
                negative.push(side(low, false, "minimum")?);
            } else {
                positive.push(side(low, true, "minimum")?);
                let has_zero = low.at.is_zero() && low.included;
                negative.push(if has_zero {
                    side(&zero, false, "minimum")?
                } else {
                    Regex::Nothing
                });
            }
        }
        if let Some(high) = high {
            if high.at.is_negative() || high.at.is_zero() && !high.included {
                negative.push(side(high, true, "maximum")?);
                positive.push(Regex::Nothing);
            } else {
                positive.push(side(high, false, "maximum")?);
            }
        }
        let sign = Regex::Raw("-".to_owned());
        let negative = Regex::concat([sign, Regex::and(negative)]);
        Ok(Regex::alt([Regex::and(positive), negative]))
    }

    /// Every multiple between the bounds; `None` if there are too many.
    fn listed(&self, of: &Decimal, low: Option<&Bound>, high: Option<&Bound>) -> Option<Regex> {
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

    /// A schema whose numbers llguidance, which reckons with doubles, writes exactly.
    fn embedded(
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

fn untold(of: &Decimal) -> Refused {
    let reason = format!(
        "is {of}, which cannot be enforced: multiples are told apart of numbers up to \
         {MAX_DIVISOR} between bounds up to 2^53, and others where the bounds or 64 bits leave at \
         most {MAX_LISTED} of them"
    );
    ("multipleOf", reason)
}

fn too_long(key: &'static str) -> Refused {
    (key, format!("has more than {MAX_DIGITS} digits"))
}

/// Whether llguidance finds the digits of a divisor by its multiplications.
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

/// Numbers that end like a multiple, where the end tells: the divisors of powers of 10. `None`
/// for other divisors, and if there are too many ends.
fn endings(of: &Decimal, integer: bool) -> Option<Regex> {
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

#[cfg(test)]
mod tests;
