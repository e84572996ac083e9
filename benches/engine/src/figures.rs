//! What is measured, and what it must come to.

mod decode;
mod modulation;
mod prefix;
mod reload;
mod steering;

use std::fmt;

use anyhow::Result;

use crate::measure::{Outcome, Run};
use crate::model::{LARGE, ModelSpec, SMALL};

/// Both models that count.
pub const SMALL_AND_LARGE: &[&ModelSpec] = &[&SMALL, &LARGE];

/// One figure.
pub struct Figure {
    pub name: &'static str,
    pub about: &'static str,
    pub unit: &'static str,
    pub bound: Bound,
    pub models: &'static [&'static ModelSpec],
    pub run: fn(&Run) -> Result<Outcome>,
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    /// Tells whether a value is within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// Every figure, in the order in which they run.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "decode-overhead",
        about: "one session's decode rate over that of bare llama.cpp",
        unit: "ratio",
        bound: Bound::AtLeast(0.98),
        models: SMALL_AND_LARGE,
        run: decode::overhead,
    },
    Figure {
        name: "batching",
        about: "8 sessions' decode rate over that of the same batches in bare llama.cpp",
        unit: "ratio",
        bound: Bound::AtLeast(0.97),
        models: SMALL_AND_LARGE,
        run: decode::batching,
    },
    Figure {
        name: "mixed-steering",
        about: "decode rate of 8 sessions with 8 different vectors over that of 8 unsteered ones",
        unit: "ratio",
        bound: Bound::AtLeast(0.98),
        models: SMALL_AND_LARGE,
        run: steering::eight,
    },
    Figure {
        name: "mixed-steering-64",
        about: "decode rate of 64 sessions with 64 different vectors over that of 64 unsteered ones",
        unit: "ratio",
        bound: Bound::AtLeast(0.97),
        models: &[&SMALL],
        run: steering::sixty_four,
    },
    Figure {
        name: "set-modulation",
        about: "from an event to the first token under it, less that token's time (p99)",
        unit: "ms",
        bound: Bound::AtMost(1.0),
        models: SMALL_AND_LARGE,
        run: modulation::run,
    },
    Figure {
        name: "reload",
        about: "from a written vector file to the library in force, under 8 streams (p99)",
        unit: "ms",
        bound: Bound::AtMost(300.0),
        models: SMALL_AND_LARGE,
        run: reload::run,
    },
    Figure {
        name: "prefix",
        about: "time to the first token of turn 10 over that of turn 1, behind a long system prompt",
        unit: "ratio",
        bound: Bound::AtMost(0.15),
        models: SMALL_AND_LARGE,
        run: prefix::run,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, figure) in FIGURES.iter().enumerate() {
            assert!(
                FIGURES[..index]
                    .iter()
                    .all(|other| other.name != figure.name)
            );
        }
    }

    #[test]
    fn bounds_hold_up_to_their_value() {
        assert!(Bound::AtLeast(0.98).holds(0.98) && !Bound::AtLeast(0.98).holds(0.97));
        assert!(Bound::AtMost(1.0).holds(1.0) && !Bound::AtMost(1.0).holds(f64::NAN));
        assert_eq!(Bound::AtMost(300.0).to_string(), "<= 300");
    }
}
