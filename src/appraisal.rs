//! Reads feelings from text: the model's replies and the user's messages.
//!
//! The appraisers are pure functions from a text to an [`EmotionEvent`], if the text expresses one,
//! with the words that it was derived from. [`LexicalAppraiser`] is the default and
//! [`ReferenceAppraiser`] follows the reference implementation; both read English alone.
//! [`ExpressedAppraiser`] takes replies from the residual stream instead of their words. The setting
//! `emotion.appraiser` chooses among them.
//!
//! ```
//! use elpis::LexicalAppraiser;
//! use elpis::EventSource;
//!
//! let appraiser = LexicalAppraiser::default();
//! let read = |text| appraiser.appraise(text, EventSource::Message);
//! let felt = read("Thank you so much, you saved my evening!").unwrap();
//! assert_eq!(felt.name(), "user_positive");
//! assert_eq!(read("My mother died.").unwrap().name(), "sadness");
//! assert_eq!(read("No problem at all, see you again."), None);
//! ```
//!
//! [`EmotionEvent`]: crate::emotion::EmotionEvent

mod expressed;
mod lexical;
mod reference;

pub use expressed::ExpressedAppraiser;
pub use lexical::LexicalAppraiser;
pub use reference::ReferenceAppraiser;
