//! The bound on a figure's value.

use std::fmt;

/// The bound of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// The geometric mean over the models must be at least this. The value of one model has no bound.
    MeanAtLeast(f64),
    /// No bound; the value is only reported.
    None,
}

impl Bound {
    /// Whether a value is within the bound.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::MeanAtLeast(_) | Self::None => true,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
            Self::MeanAtLeast(bound) => write!(f, "mean >= {bound}"),
            Self::None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_up_to_their_value() {
        assert!(Bound::AtLeast(0.98).holds(0.98) && !Bound::AtLeast(0.98).holds(0.97));
        assert!(Bound::AtMost(1.0).holds(1.0) && !Bound::AtMost(1.0).holds(f64::NAN));
        assert_eq!(Bound::AtMost(300.0).to_string(), "<= 300");
    }
}
