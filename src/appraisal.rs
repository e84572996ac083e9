//! Reading feelings from text: the model's replies and the user's messages.
//!
//! Pure: a text goes in, an [`EmotionEvent`] with the words that it was read from comes out, if the
//! text stands for one. [`LexicalAppraiser`] is the runtime's own reading, [`ReferenceAppraiser`]
//! that of the reference; the setting `emotion.appraiser` chooses between them. English alone.
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

mod lexical;
mod reference;

pub use lexical::LexicalAppraiser;
pub use reference::ReferenceAppraiser;
