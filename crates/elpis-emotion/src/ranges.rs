//! The range of a number of an [`EmotionConfig`](crate::EmotionConfig).

use std::time::Duration;

use super::error::EmotionError;

/// A streak's effect saturates after `1/factor` events, so this bounds the times that a tracker
/// has to remember for an exact result: 101 for each of eight events.
pub const MIN_STREAK_FACTOR: f64 = 0.01;

/// The range of a single field, without constraints between fields.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The name of the field.
    pub field: &'static str,
    /// The minimum.
    pub min: f64,
    /// The maximum; infinite if there is none.
    pub max: f64,
    /// Whether 0 is also allowed, which then disables something.
    pub or_zero: bool,
}

impl Range {
    pub(super) const fn new(field: &'static str, min: f64, max: f64, or_zero: bool) -> Self {
        Self {
            field,
            min,
            max,
            or_zero,
        }
    }

    /// The range of a field. In a constant, the program does not compile if the field has none.
    ///
    /// # Panics
    /// If no number of [`EmotionConfig`](crate::EmotionConfig) has this name.
    pub const fn of(field: &str) -> Self {
        let mut at = 0;
        while at < RANGES.len() {
            if same(RANGES[at].field.as_bytes(), field.as_bytes()) {
                return RANGES[at];
            }
            at += 1;
        }
        panic!("a number without a range");
    }

    /// Checks a value of this field, if it is set.
    pub(super) fn check_number(&self, value: impl Number) -> Result<(), EmotionError> {
        value
            .number()
            .map_or(Ok(()), |value| self.check(value).map(drop))
    }

    /// Checks a value of this field.
    pub(super) fn check(&self, value: f64) -> Result<f64, EmotionError> {
        let within = (self.min..=self.max).contains(&value) && value.is_finite();
        if within || (self.or_zero && value == 0.0) {
            return Ok(value);
        }
        let (min, max) = (self.min, self.max);
        let limit = match (self.or_zero, max.is_finite()) {
            (false, true) => format!("in {min}..={max}"),
            (false, false) => format!("at least {min}"),
            (true, _) => format!("0 or in {min}..={max}"),
        };
        Err(EmotionError::OutOfRange {
            field: self.field,
            value,
            limit: limit.into(),
        })
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Selects the rows that have a range.
macro_rules! ranges {
    ($(
        $(#[doc = $doc:literal])+ $name:ident : $ty:ty = $default:expr
        $(, in [$min:expr, $max:expr $(, $zero:ident)?] $(as $Unit:ident $key:literal)?)? $(, unset $unset:literal)?
        $(, serde $serde:tt)?;
    )+) => {
        &[$($(Range::new(ranges!(@key $name $($key)?), $min, $max, ranges!(@zero $($zero)?)),)?)+]
    };
    (@key $name:ident) => { stringify!($name) };
    (@key $name:ident $key:literal) => { $key };
    (@zero) => { false };
    (@zero or_zero) => { true };
}

/// The range of each number.
const RANGES: &[Range] = emotion_fields!(ranges);

/// The value that a range is checked against; `None` if unset.
pub(super) trait Number {
    fn number(self) -> Option<f64>;
}

macro_rules! number {
    ($($ty:ty: $value:ident => $number:expr;)+) => {
        $(impl Number for $ty {
            fn number(self) -> Option<f64> {
                let $value = self;
                $number
            }
        })+
    };
}

number! {
    f64: value => Some(value);
    usize: value => Some(value as f64);
    u32: value => Some(f64::from(value));
    Option<u32>: value => value.map(f64::from);
    Duration: value => Some(value.as_secs_f64());
}
