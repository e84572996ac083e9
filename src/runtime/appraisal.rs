//! Appraises texts: the model's replies and the user's messages.

mod appraiser;
mod felt;
mod model;
mod reply;
mod reported_outcomes;

pub(super) use appraiser::chosen;
pub use appraiser::{AppraisalError, AppraisedText, Appraiser};
pub(super) use felt::{AppraisalBudget, message};
pub use model::ModelAppraiser;
pub(super) use reply::finish_hook;
pub(super) use reported_outcomes::ReportedOutcomes;
