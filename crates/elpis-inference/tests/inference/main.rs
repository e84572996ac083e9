//! Chat templates, sampling and text from tokens.

mod chat_template;
mod sampling;
mod text_stream;
