//! The numbers that a schema allows, as regular expressions.

use serde_json::Value;

use super::decimal::{Decimal, MAX_DIGITS};
use super::digits::Form;
use super::exact;
use super::regex::Regex;
use multiple::{endings, untold};

/// Maximum absolute value of a bound that is given to llguidance, which computes in doubles.
const SAFE: i64 = 1 << 53;

/// The constraints of a schema on numbers.
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

/// The notation of the allowed numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// The texts that all of these match.
    All(Vec<Regex>),
    /// A schema with `multipleOf`, which llguidance enforces.
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

    /// Whether a number is allowed. `None` if that cannot be computed.
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

    /// Whether the bounds exclude every number.
    pub fn is_empty(&self) -> bool {
        match self.narrowed() {
            Some((Some(low), Some(high))) => {
                low.at > high.at || low.at == high.at && !(low.included && high.included)
            }
            _ => false,
        }
    }

    /// The bounds. Those of integers are rounded to inclusive integers. `None` if they have too many
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

    /// The notation of these numbers. With `kept`, only those that a [`Value`] represents exactly.
    ///
    /// # Errors
    /// The keyword that cannot be enforced, and the reason.
    pub fn written(&self, kept: bool) -> Result<Written, Refused> {
        let (low, high) = self
            .narrowed()
            .ok_or_else(|| too_long(self.longer_bound()))?;
        if self.is_empty() {
            return Ok(Written::All(vec![Regex::Nothing]));
        }
        // A divisor of 1 excludes no integer.
        let one = Decimal::integer(1);
        let says = |of: &&Decimal| !self.integer || one.is_multiple_of(of) != Some(true);
        let multiples: Vec<&Decimal> = self.multiples.iter().filter(says).collect();
        let mut all = vec![self.ranged(low.as_ref(), high.as_ref(), multiples.is_empty())?];
        if kept {
            all.push(exact::kept(self.integer));
        }
        // Divisors that the last digits do not decide are combined into one.
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
            // llguidance cannot combine them with another expression.
            let alone = all.len() == 1 + usize::from(kept);
            let schema = self.embedded(&of, low.as_ref(), high.as_ref(), kept);
            if let Some(schema) = schema.filter(|_| alone) {
                return Ok(Written::Multiples(schema));
            }
        }
        // Large divisors have few multiples in 64 bits.
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
        // The absolute values of positive and of negative numbers. Both contain 0.
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
}

fn too_long(key: &'static str) -> Refused {
    (key, format!("has more than {MAX_DIGITS} digits"))
}

mod multiple;
#[cfg(test)]
mod tests;
