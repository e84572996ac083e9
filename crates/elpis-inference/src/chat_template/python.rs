//! Python's `str`, `repr` and `json.dumps` for template values.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::cost::{MAX_VALUE_DEPTH, too_deep};

/// Number of bytes written into a text per unit of fuel.
const BYTES_PER_FUEL: usize = 16;

/// A text that is charged as it grows, so that a value which repeats shared parts cannot fill
/// memory.
struct Paid<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    out: String,
    /// Number of bytes charged so far.
    settled: usize,
}

impl<'a, 'b, 'c> Paid<'a, 'b, 'c> {
    fn new(state: &'a State<'b, 'c>) -> Self {
        Self {
            state,
            out: String::new(),
            settled: 0,
        }
    }

    /// Charges for one more value and for the text written before it.
    fn step(&mut self, depth: usize) -> Result<(), Error> {
        if depth > MAX_VALUE_DEPTH {
            return Err(too_deep());
        }
        let fuel = (self.out.len() - self.settled) / BYTES_PER_FUEL;
        self.settled += fuel * BYTES_PER_FUEL;
        self.state.consume_fuel(fuel as u64 + 1)
    }
}

/// `str(value)`; an undefined value is the empty text, as Jinja2 prints it.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        _ => repr(state, value),
    }
}

/// `repr(value)`.
pub(super) fn repr(state: &State, value: &Value) -> Result<String, Error> {
    let mut paid = Paid::new(state);
    write_repr(&mut paid, value, 0)?;
    Ok(paid.out)
}

fn write_repr(paid: &mut Paid<'_, '_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    paid.step(depth)?;
    match value.kind() {
        ValueKind::Undefined => paid.out.push_str("Undefined"),
        ValueKind::None => paid.out.push_str("None"),
        ValueKind::Bool if value.is_true() => paid.out.push_str("True"),
        ValueKind::Bool => paid.out.push_str("False"),
        ValueKind::Number => match float_of(value) {
            Some(number) => paid.out.push_str(&float(number)),
            None => paid.out.push_str(&value.to_string()),
        },
        ValueKind::String => {
            write_quoted(&mut paid.out, value.as_str().unwrap_or_default());
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            paid.out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter()? {
                if count > 0 {
                    paid.out.push_str(", ");
                }
                count += 1;
                write_repr(paid, &item, depth + 1)?;
            }
            paid.out.push_str(match (tuple, count) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            });
        }
        ValueKind::Map => {
            paid.out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    paid.out.push_str(", ");
                }
                write_repr(paid, &key, depth + 1)?;
                paid.out.push_str(": ");
                write_repr(paid, &value.get_item(&key)?, depth + 1)?;
            }
            paid.out.push('}');
        }
        _ => paid.out.push_str(&value.to_string()),
    }
    Ok(())
}

/// Writes a text as Python's `repr` does: in single quotes unless it only contains those, with
/// unprintable characters escaped.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == quote => {
                out.push('\\');
                out.push(letter);
            }
            letter if is_printable(letter) => out.push(letter),
            letter => {
                let code = u32::from(letter);
                let _ = match code {
                    0..=0xFF => write!(out, "\\x{code:02x}"),
                    0x100..=0xFFFF => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// As `str.isprintable` for one character.
fn is_printable(letter: char) -> bool {
    // Rust escapes the same categories, but a combining mark only at the beginning.
    let pair = String::from_iter(['a', letter]);
    matches!(letter, '\'' | '"' | '\\') || pair.escape_debug().nth(1) == Some(letter)
}

/// Returns the number of a value that is a float.
pub(super) fn float_of(value: &Value) -> Option<f64> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    f64::try_from(value.clone()).ok()
}

/// Formats a number as Python's `repr` does: the shortest digits that read back the same, with an
/// exponent below 10⁻⁴ and from 10¹⁶.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let mut plain = number.to_string();
        if !plain.contains('.') {
            plain.push_str(".0");
        }
        return plain;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

struct Style {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

/// The `tojson` filter of transformers: `json.dumps` with `ensure_ascii=False` and no HTML
/// escaping. Its arguments in order: `ensure_ascii`, `indent`, `separators`, `sort_keys`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine passes arguments so"
)]
pub(super) fn tojson(
    state: &State,
    value: &Value,
    positional: Rest<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let argument = |index: usize, name: &'static str| -> Result<Option<Value>, Error> {
        let value = match positional.get(index) {
            Some(value) => Some(value.clone()),
            None => named.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let flag = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let ensure_ascii = flag(argument(0, "ensure_ascii")?);
    let indent = match argument(1, "indent")? {
        None => None,
        Some(value) => Some(match (value.as_str(), value.as_i64()) {
            (Some(text), _) => text.chars().take(16).collect(),
            (None, Some(width)) => " ".repeat(width.clamp(0, 16) as usize),
            (None, None) if value.kind() == ValueKind::Bool => " ".repeat(value.is_true().into()),
            (None, None) => return Err(invalid("tojson: indent is neither a number nor a text")),
        }),
    };
    let (item_separator, key_separator) = match argument(2, "separators")? {
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
        Some(pair) => {
            let part = |index: i64| -> Result<String, Error> {
                let part = pair.get_item(&Value::from(index))?;
                let text = part.as_str().filter(|text| text.len() <= 16);
                text.map(str::to_owned)
                    .ok_or_else(|| invalid("tojson: separators are not two short texts"))
            };
            (part(0)?, part(1)?)
        }
    };
    let sort_keys = flag(argument(3, "sort_keys")?);
    named.assert_all_used()?;
    let style = Style {
        indent,
        item_separator,
        key_separator,
        ensure_ascii,
        sort_keys,
    };
    let mut writer = JsonWriter {
        paid: Paid::new(state),
        style: &style,
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.paid.out))
}

struct JsonWriter<'a, 'b, 'c> {
    paid: Paid<'a, 'b, 'c>,
    style: &'a Style,
}

impl JsonWriter<'_, '_, '_> {
    fn push(&mut self, text: &str) {
        self.paid.out.push_str(text);
    }

    fn text(&mut self, text: &str) {
        write_json_text(&mut self.paid.out, text, self.style.ensure_ascii);
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.paid.step(depth)?;
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool if value.is_true() => self.push("true"),
            ValueKind::Bool => self.push("false"),
            ValueKind::Number => self.push(&json_number(value)),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?;
                self.container(['[', ']'], items, depth, |writer, item| {
                    writer.value(&item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.style.sort_keys {
                    keys.sort();
                }
                self.container(['{', '}'], keys.into_iter(), depth, |writer, key| {
                    match (key.as_str(), key.kind()) {
                        (Some(text), _) => writer.text(text),
                        (None, ValueKind::None) => writer.push("\"null\""),
                        (None, ValueKind::Bool) if key.is_true() => writer.push("\"true\""),
                        (None, ValueKind::Bool) => writer.push("\"false\""),
                        _ => writer.push(&format!("\"{}\"", json_number(&key))),
                    }
                    writer.paid.out.push_str(&writer.style.key_separator);
                    writer.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            kind => {
                let message = format!("tojson: a value of kind {kind} is not JSON");
                return Err(invalid(message));
            }
        }
        Ok(())
    }

    fn container(
        &mut self,
        [open, close]: [char; 2],
        items: impl Iterator<Item = Value>,
        depth: usize,
        mut write_item: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.paid.out.push(open);
        let mut empty = true;
        for item in items {
            if !empty {
                self.paid.out.push_str(&self.style.item_separator);
            }
            empty = false;
            self.line(depth + 1);
            write_item(self, item)?;
        }
        if !empty {
            self.line(depth);
        }
        self.paid.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.paid.out.push('\n');
            for _ in 0..depth {
                self.paid.out.push_str(indent);
            }
        }
    }
}

fn invalid(words: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

fn json_number(value: &Value) -> String {
    match float_of(value) {
        Some(number) if number.is_nan() => "NaN".to_owned(),
        Some(number) if number == f64::INFINITY => "Infinity".to_owned(),
        Some(number) if number == f64::NEG_INFINITY => "-Infinity".to_owned(),
        Some(number) => float(number),
        None => value.to_string(),
    }
}

fn write_json_text(out: &mut String, text: &str, ensure_ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || (ensure_ascii && u32::from(c) > 0x7E) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
