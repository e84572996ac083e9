//! Exact decimal numbers of JSON, without rounding.

use std::cmp::Ordering;
use std::fmt;

/// Maximum number of digits of a number in full: the largest double has 309.
pub const MAX_DIGITS: usize = 1000;

/// A decimal number: its digits and the position of the point.
///
/// The digits have no zeros at either end. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    /// The value is `0.d₁d₂… · 10^point`.
    point: i64,
}

impl Decimal {
    /// Parses a JSON number. `None` if it is not one, or if its exponent does not fit 32 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
                (mantissa, i64::from(exponent.parse::<i32>().ok()?))
            }
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(is_digit) {
            return None;
        }
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|byte| byte - b'0');
        let point = exponent + whole.len() as i64;
        Some(Self::new(negative, digits.collect(), point))
    }

    /// An integer.
    pub fn integer(value: i64) -> Self {
        let digits = value.unsigned_abs().to_string();
        let point = digits.len() as i64;
        let digits = digits.bytes().map(|byte| byte - b'0').collect();
        Self::new(value < 0, digits, point)
    }

    fn new(negative: bool, mut digits: Vec<u8>, mut point: i64) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        point -= zeros as i64;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            point = 0;
        }
        Self {
            negative: negative && !digits.is_empty(),
            digits,
            point,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it has no fractional digits.
    pub fn is_integer(&self) -> bool {
        self.point >= self.digits.len() as i64
    }

    #[must_use]
    pub fn negated(mut self) -> Self {
        self.negative = !self.negative && !self.is_zero();
        self
    }

    #[must_use]
    pub fn abs(mut self) -> Self {
        self.negative = false;
        self
    }

    /// The number times `10^places`.
    #[must_use]
    pub fn shifted(mut self, places: i64) -> Self {
        if !self.is_zero() {
            self.point += places;
        }
        self
    }

    /// Digits without the zeros at either end.
    pub fn significant_digits(&self) -> usize {
        self.digits.len()
    }

    /// Digits behind the point.
    pub fn places(&self) -> usize {
        usize::try_from(self.digits.len() as i64 - self.point).unwrap_or(0)
    }

    /// The integer part and the fractional digits, without the sign. `None` for more than
    /// [`MAX_DIGITS`].
    pub fn parts(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let length = self.digits.len() as i64;
        let written = self.point.max(length).max(length - self.point);
        if usize::try_from(written).is_ok_and(|written| written <= MAX_DIGITS) {
            let mut whole: Vec<u8> = (0..self.point)
                .map(|at| self.digits.get(at as usize).copied().unwrap_or(0))
                .collect();
            if whole.is_empty() {
                whole.push(0);
            }
            let fraction = (self.point..length)
                .map(|at| usize::try_from(at).map_or(0, |at| self.digits[at]))
                .collect();
            Some((whole, fraction))
        } else {
            None
        }
    }

    /// The digits of an integer, with its sign. `None` for other numbers and for more than
    /// [`MAX_DIGITS`].
    pub fn integer_text(&self) -> Option<String> {
        let (whole, fraction) = self.parts()?;
        let sign = if self.negative { "-" } else { "" };
        let digits = whole.iter().map(|digit| char::from(b'0' + digit));
        fraction
            .is_empty()
            .then(|| sign.chars().chain(digits).collect())
    }

    /// The largest integer that is not above the number. `None` as for
    /// [`parts`](Self::parts).
    pub fn floor(&self) -> Option<Self> {
        if self.is_integer() {
            return Some(self.clone());
        }
        let (whole, _) = self.parts()?;
        let whole = Self::whole(whole);
        Some(if self.negative {
            whole.successor()?.negated()
        } else {
            whole
        })
    }

    /// The smallest integer that is not below the number. `None` as for
    /// [`parts`](Self::parts).
    pub fn ceiling(&self) -> Option<Self> {
        Some(self.clone().negated().floor()?.negated())
    }

    /// The integer that follows an integer. `None` for more than [`MAX_DIGITS`].
    pub fn successor(&self) -> Option<Self> {
        let (mut digits, _) = self.parts()?;
        if self.negative {
            // The predecessor of a positive integer.
            let place = digits.iter().rposition(|digit| *digit != 0)?;
            digits[place] -= 1;
            digits[place + 1..].fill(9);
            return Some(Self::whole(digits).negated());
        }
        if let Some(place) = digits.iter().rposition(|digit| *digit != 9) {
            digits[place] += 1;
            digits[place + 1..].fill(0);
        } else {
            digits.fill(0);
            digits.insert(0, 1);
        }
        Some(Self::whole(digits))
    }

    /// The integer before an integer. `None` for more than [`MAX_DIGITS`].
    pub fn predecessor(&self) -> Option<Self> {
        Some(self.clone().negated().successor()?.negated())
    }

    fn whole(digits: Vec<u8>) -> Self {
        let point = digits.len() as i64;
        Self::new(false, digits, point)
    }

    /// The smallest number that is a multiple of both; `None` if it does not fit 64 bits.
    pub fn common_multiple(&self, other: &Self) -> Option<Self> {
        let places = self.places().max(other.places()) as i64;
        let scaled = |number: &Self| -> Option<u64> {
            number
                .clone()
                .abs()
                .shifted(places)
                .integer_text()?
                .parse()
                .ok()
        };
        let (one, two) = (scaled(self)?, scaled(other)?);
        let (mut divisor, mut rest) = (one, two);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let common = one.checked_div(divisor)?.checked_mul(two)?;
        Some(Self::parse(&common.to_string())?.shifted(-places))
    }

    /// Whether the number is a multiple of another, nonzero one. `None` if that cannot be computed
    /// in 128 bits.
    pub fn is_multiple_of(&self, of: &Self) -> Option<bool> {
        let places = self.places().max(of.places()) as i64;
        let scaled = |number: &Self| number.clone().abs().shifted(places).integer_text();
        let divisor: u128 = scaled(of)?.parse().ok()?;
        let mut rest = 0_u128;
        for digit in scaled(self)?.bytes() {
            let ten = rest
                .checked_mul(10)?
                .checked_add(u128::from(digit - b'0'))?;
            rest = ten.checked_rem(divisor)?;
        }
        Some(rest == 0)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = |number: &Self| (number.point, number.digits.clone());
        sign(self).cmp(&sign(other)).then_with(|| {
            let order = size(self).cmp(&size(other));
            if self.negative {
                order.reverse()
            } else {
                order
            }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |digits: &[u8]| -> String {
            digits
                .iter()
                .map(|digit| char::from(b'0' + digit))
                .collect()
        };
        let sign = if self.negative { "-" } else { "" };
        match self.parts() {
            Some((whole, fraction)) if fraction.is_empty() => {
                write!(f, "{sign}{}", digits(&whole))
            }
            Some((whole, fraction)) => write!(f, "{sign}{}.{}", digits(&whole), digits(&fraction)),
            None => write!(f, "{sign}0.{}e{}", digits(&self.digits), self.point),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_read_in_every_spelling_and_compared_exactly() {
        for (one, other) in [
            ("0", "-0.00e7"),
            ("10", "1e1"),
            ("1.50", "15e-1"),
            ("100", "1.00E+2"),
            ("0.001", "1e-3"),
        ] {
            assert_eq!(number(one), number(other));
        }
        let rising = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.1000000000000000055511151231257827",
            "1",
            "9007199254740992",
            "9007199254740993",
            "123456789012345678901234567890",
            "1e400",
        ];
        for pair in rising.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        for text in [
            "",
            "-",
            ".5",
            "1.",
            "1e",
            "e1",
            "0x1",
            "1e99999999999",
            "NaN",
            "--1",
            "1 ",
        ] {
            let read = Decimal::parse(text);
            // A point without digits is not JSON, but does no harm here.
            assert!(read.is_none() || text == "1.", "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_rounded_and_counted() {
        for (text, floor, ceiling) in [
            ("1.5", "1", "2"),
            ("-1.5", "-2", "-1"),
            ("0.2", "0", "1"),
            ("-0.2", "-1", "0"),
            ("7", "7", "7"),
            ("9.99", "9", "10"),
            ("1e3", "1000", "1000"),
        ] {
            let (low, high) = (
                number(text).floor().unwrap(),
                number(text).ceiling().unwrap(),
            );
            assert_eq!(
                (low.to_string(), high.to_string()),
                (floor.to_owned(), ceiling.to_owned())
            );
        }
        for (text, next) in [
            ("9", "10"),
            ("-1", "0"),
            ("0", "1"),
            ("-10", "-9"),
            ("18446744073709551615", "18446744073709551616"),
        ] {
            assert_eq!(number(text).successor().unwrap(), number(next));
            assert_eq!(number(next).predecessor().unwrap(), number(text));
        }
        assert_eq!(
            Decimal::integer(i64::MIN).to_string(),
            "-9223372036854775808"
        );
        assert_eq!(number("1e1001").parts(), None);
        assert_eq!(number("1e-1001").floor(), None);
    }

    #[test]
    fn multiples_are_exact() {
        for (number_, of, is) in [
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("18014398509481986", "9007199254740993", true),
            ("18014398509481985", "9007199254740993", false),
            ("-14", "7", true),
            ("0", "7", true),
            ("0.07", "0.07", true),
            ("1.5", "1", false),
        ] {
            assert_eq!(
                number(number_).is_multiple_of(&number(of)),
                Some(is),
                "{number_} {of}"
            );
        }
    }
}
