//! What the tests of models share.

#[cfg(feature = "bundled-model")]
pub mod grammar;
pub mod hardware;
#[cfg(feature = "bundled-model")]
pub mod mood;
pub mod reference;
