//! Python's `json.dumps` and number formatting for template values.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

const MAX_DEPTH: usize = 64;

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
        state,
        style: &style,
        out: String::new(),
        charged: 0,
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.out))
}

struct JsonWriter<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    style: &'a Style,
    out: String,
    charged: usize,
}

impl JsonWriter<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("tojson: the value is nested too deeply"));
        }
        // Paid as it grows, so that a value which contains itself many times cannot fill memory.
        if self.out.len() >= self.charged + 1024 {
            self.state
                .consume_fuel((self.out.len() - self.charged) as u64 / 16)?;
            self.charged = self.out.len();
        }
        self.state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                write_text(&mut self.out, text, self.style.ensure_ascii);
            }
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
                        (Some(text), _) => {
                            write_text(&mut writer.out, text, writer.style.ensure_ascii);
                        }
                        (None, ValueKind::None) => writer.out.push_str("\"null\""),
                        (None, ValueKind::Bool) => {
                            let name = if key.is_true() { "true" } else { "false" };
                            let _ = write!(writer.out, "\"{name}\"");
                        }
                        _ => {
                            let _ = write!(writer.out, "\"{}\"", number(&key));
                        }
                    }
                    writer.out.push_str(&writer.style.key_separator);
                    writer.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            kind => {
                return Err(invalid(format!(
                    "tojson: a value of kind {kind} is not JSON"
                )));
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
        self.out.push(open);
        let mut empty = true;
        for item in items {
            if !empty {
                self.out.push_str(&self.style.item_separator);
            }
            empty = false;
            self.line(depth + 1);
            write_item(self, item)?;
        }
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }
}

fn invalid(words: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => {
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}Infinity")
        }
        Ok(number) => float(number),
        Err(_) => value.to_string(),
    }
}

/// Formats a finite number as Python's `repr` does: the shortest digits that read back the same,
/// with an exponent below 10⁻⁴ and from 10¹⁶.
pub(super) fn float(number: f64) -> String {
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

fn write_text(out: &mut String, text: &str, ensure_ascii: bool) {
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
