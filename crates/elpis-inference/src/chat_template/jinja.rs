//! The environment that Hugging Face transformers provides to chat templates, built on minijinja.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use thiserror::Error as ThisError;

use super::cost::is_container;
use super::{arithmetic, filters, operators, python};

/// Bounds nested loops, macros and conditions.
const RECURSION_LIMIT: usize = 150;

/// The message that a template raised with `raise_exception`.
#[derive(Debug, ThisError)]
#[error("{0}")]
pub(super) struct Raised(pub String);

/// Creates the environment: `trim_blocks`, `lstrip_blocks`, loop controls, Python's operators and
/// methods, transformers' `tojson`, and `raise_exception`. Templates go through
/// [`source::rewrite`](super::source::rewrite) first.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_recursion_limit(RECURSION_LIMIT);
    env.remove_global("debug");
    env.set_formatter(|out, state, value| {
        let escapes = *state.auto_escape() != AutoEscape::None && !value.is_safe();
        match value.as_str() {
            Some(text) if escapes => out.write_str(&arithmetic::escape(text))?,
            Some(text) => out.write_str(text)?,
            None => out.write_str(&python::text(state, value)?)?,
        }
        Ok(())
    });
    operators::register(&mut env);
    filters::register(&mut env);
    env.add_function("raise_exception", raise_exception);
    Ok(env)
}

fn raise_exception(state: &State, message: &Value) -> Result<Value, Error> {
    // A container is not printed, because it could be huge.
    let message = if is_container(message) {
        "a value that is not a text".to_owned()
    } else {
        python::text(state, message)?.chars().take(2048).collect()
    };
    Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(Raised(message)))
}
