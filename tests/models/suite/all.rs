//! What every backend must do, written once.
//!
//! Each module that includes it names its backend as `BACKEND` and adds
//! what only that backend can be asked.

#[cfg(feature = "tools")]
mod appraisal;
#[cfg(feature = "tools")]
mod noise;
mod reading;
pub mod runtime;
mod steering_rows;
#[cfg(feature = "tools")]
mod tools;
mod training;
pub mod turns;
mod vectors;

use super::BACKEND;
