//! Function calling and structured output without a runtime.

mod constraint;
mod random_model;
mod replies;
mod tool_grammar;
mod tool_replies;
mod tools;
