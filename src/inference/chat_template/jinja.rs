//! The Jinja dialect of Hugging Face chat templates, on minijinja.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, escape_formatter};
use minijinja_contrib::pycompat;
use thiserror::Error as ThisError;

use super::{MAX_RENDERED_BYTES, python};

/// Bounds nested loops, macros and conditions; fits a thread's usual 2 MiB stack.
const RECURSION_LIMIT: usize = 150;
/// The most code in one tag, in characters, string literals not counted.
const MAX_TAG_CODE: usize = 2048;
/// The most `elif` tags in a template.
const MAX_ELIFS: usize = 256;
/// The longest number, in digits, in a format string: a width pads to that many characters.
const MAX_FORMAT_DIGITS: usize = 3;

/// What a template said with `raise_exception`.
#[derive(Debug, ThisError)]
#[error("{0}")]
pub(super) struct Raised(pub String);

/// Creates the environment that transformers gives chat templates: `trim_blocks`,
/// `lstrip_blocks`, loop controls, Python methods, its own `tojson`, and `raise_exception`.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_recursion_limit(RECURSION_LIMIT);
    env.set_unknown_method_callback(method);
    env.remove_global("debug");
    env.remove_filter("pprint");
    env.set_formatter(|out, state, value| {
        check_text_of(state, value)?;
        escape_formatter(out, state, value)
    });
    env.add_filter("string", |state: &State, value: &Value| {
        check_text_of(state, value)?;
        Ok::<_, Error>(Value::from(value.to_string()))
    });
    env.add_filter("tojson", python::tojson);
    env.add_function("raise_exception", raise_exception);
    // In Jinja a string, a mapping and undefined are iterable, and sequences.
    let iterable = |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::Undefined
                | ValueKind::String
                | ValueKind::Seq
                | ValueKind::Map
                | ValueKind::Iterable
        )
    };
    env.add_test("iterable", iterable);
    env.add_test("sequence", move |value: &Value| {
        iterable(value) && value.len().is_some() || value.is_undefined()
    });
    Ok(env)
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    // A container is not written out: one that holds itself many times could be endless.
    let message = if is_container(message) {
        "a value that is not a text".to_owned()
    } else {
        message.to_string().chars().take(2048).collect()
    };
    Err(Error::new(ErrorKind::InvalidOperation, "raised").with_source(Raised(message)))
}

/// Rewrites `{% generation %}` … `{% endgeneration %}`, which marks the assistant's tokens for
/// training, to a `with` block: the same text, and the same scope for variables.
pub(super) fn without_generation_tags(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') => tag_length(tag, "}}"),
            Some(b'%') => match block_name(tag) {
                "raw" => tag.find("endraw").unwrap_or(tag.len()),
                _ => tag_length(tag, "%}"),
            },
            _ => 1,
        };
        let (tag, after) = tag.split_at(length);
        match block_name(tag) {
            "generation" => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns the first word of a block tag, or nothing when this is not one.
fn block_name(tag: &str) -> &str {
    let Some(inside) = tag.strip_prefix("{%") else {
        return "";
    };
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    inside
        .trim_start()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default()
}

/// Returns the length of a tag up to and with its `end`, which does not count inside a string.
fn tag_length(tag: &str, end: &str) -> usize {
    let mut literals = Literals::default();
    for (at, c) in tag.char_indices().skip(2) {
        if !literals.holds(c) && tag[at..].starts_with(end) {
            return at + end.len();
        }
    }
    tag.len()
}

/// Finds the first tag with more code than [`MAX_TAG_CODE`] characters outside string literals,
/// or the first `elif` past [`MAX_ELIFS`]. Returns its line.
///
/// The parser and the code generator recurse once per chained operator and per `elif`, without a
/// limit of their own: `not not not …` would overflow the stack.
pub(super) fn overlong_tag(source: &str) -> Option<usize> {
    let mut at = 0;
    let mut elifs = 0;
    while let Some(found) = source.get(at..).and_then(|rest| rest.find('{')) {
        let start = at + found;
        let tag = &source[start..];
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') => tag_length(tag, "}}"),
            Some(b'%') => tag_length(tag, "%}"),
            _ => 1,
        };
        if !tag.starts_with("{#") {
            let mut literals = Literals::default();
            let code = tag[..length]
                .chars()
                .filter(|&c| !literals.holds(c))
                .count();
            elifs += usize::from(block_name(tag) == "elif");
            if code > MAX_TAG_CODE || elifs > MAX_ELIFS {
                return Some(source[..start].matches('\n').count() + 1);
            }
        }
        at = start + length;
    }
    None
}

/// Follows string literals through code, character by character.
#[derive(Default)]
struct Literals {
    quote: Option<char>,
    escaped: bool,
}

impl Literals {
    /// Returns whether the next character belongs to a literal or opens one.
    fn holds(&mut self, c: char) -> bool {
        let inside = self.quote.is_some();
        match self.quote {
            Some(_) if self.escaped => self.escaped = false,
            Some(_) if c == '\\' => self.escaped = true,
            Some(open) if c == open => self.quote = None,
            None if c == '"' || c == '\'' => self.quote = Some(c),
            _ => {}
        }
        inside || self.quote.is_some()
    }
}

/// Python's methods on strings, lists and dicts. Those whose result can be much larger than
/// their input are checked before they allocate; the engine charges fuel only afterwards.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "replace") => check_replace(text, args)?,
        (Some(text), "format") => check_format(text, args)?,
        (Some(text), "join") => return join(state, text, args),
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
        }
        (Some(text), "partition" | "rpartition") => return partition(text, name, args),
        (Some(text), "rsplit") => {
            let (separator, limit): (&str, Option<usize>) = from_args(args)?;
            let limit = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
            let mut parts: Vec<&str> = text.rsplitn(limit, separator).collect();
            parts.reverse();
            return Ok(parts.into_iter().map(Value::from).collect());
        }
        (None, "count") if args.iter().any(is_container) => {
            return Err(invalid(
                "count: only texts, numbers and none can be counted",
            ));
        }
        _ => {}
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

fn check_replace(text: &str, args: &[Value]) -> Result<(), Error> {
    let (old, new, _count): (&str, &str, Option<i64>) = from_args(args)?;
    let times = if old.is_empty() {
        text.len() + 1
    } else {
        text.matches(old).count()
    };
    check_size(times.saturating_mul(new.len()).saturating_add(text.len()))
}

fn check_format(text: &str, args: &[Value]) -> Result<(), Error> {
    let mut digits = 0;
    for byte in text.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > MAX_FORMAT_DIGITS {
            return Err(invalid("format: a width is too large"));
        }
    }
    let mut longest = 10_usize.pow(MAX_FORMAT_DIGITS as u32);
    for arg in args {
        if is_container(arg) && !arg.is_kwargs() {
            return Err(invalid(
                "format: only texts, numbers and none can be formatted",
            ));
        }
        if arg.is_kwargs() {
            for key in arg.try_iter()? {
                let value = arg.get_item(&key)?;
                if is_container(&value) {
                    return Err(invalid(
                        "format: only texts, numbers and none can be formatted",
                    ));
                }
                longest = longest.max(value.as_str().map_or(0, str::len));
            }
        }
        longest = longest.max(arg.as_str().map_or(0, str::len));
    }
    let fields = text.bytes().filter(|&byte| byte == b'{').count();
    check_size(fields.saturating_mul(longest).saturating_add(text.len()))
}

fn join(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        state.consume_fuel(1)?;
        let text = item
            .as_str()
            .ok_or_else(|| invalid(format!("join: item {index} is not a text")))?;
        check_size(out.len().saturating_add(separator.len() + text.len()))?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(Value::from(out))
}

fn partition(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    let parts = if name == "partition" {
        text.split_once(separator)
            .map_or([text, "", ""], |(head, tail)| [head, separator, tail])
    } else {
        text.rsplit_once(separator)
            .map_or(["", "", text], |(head, tail)| [head, separator, tail])
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn is_container(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain
    )
}

/// Pays for every part of a container before it is written out, because a list that holds itself
/// many times over is small to build and endless to write.
fn check_text_of(state: &State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable if value.len().is_some() => {
            for item in value.try_iter()? {
                state.consume_fuel(1)?;
                check_text_of(state, &item)?;
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                state.consume_fuel(1)?;
                check_text_of(state, &value.get_item(&key)?)?;
            }
        }
        _ => state.consume_fuel(value.as_str().map_or(0, str::len) as u64 / 16)?,
    }
    Ok(())
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_RENDERED_BYTES {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    Ok(())
}

fn invalid(words: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}
