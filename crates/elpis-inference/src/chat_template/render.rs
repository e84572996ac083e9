//! One rendering of a template: its input, its budget, and its errors.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use minijinja::{ErrorKind, Value};
use serde_json::Value as Json;

use super::cost::{Given, MAX_VALUE_DEPTH};
use super::expression::PREFIX;
use super::{
    ChatTemplate, MAX_RENDERED_BYTES, RenderOptions, SOURCE_NAME, TemplateError, jinja, words,
};
use crate::special_tokens::SpecialTokens;

/// Work that any rendering may do. One unit is about one Jinja instruction or 64 bytes of text.
const BASE_FUEL: u64 = 400_000;
const FUEL_PER_MESSAGE: u64 = 1_000;
const FUEL_PER_BYTE: u64 = 4;

/// Maximum nesting of messages, tools and variables. Templates may add to it.
const MAX_INPUT_DEPTH: usize = MAX_VALUE_DEPTH / 2;

const RESERVED: [&str; 5] = [
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "strftime_now",
];

/// The work that several renderings may do together.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    /// The budget of a rendering of a small conversation.
    pub fn small() -> Self {
        Self {
            left: Cell::new(BASE_FUEL),
        }
    }

    /// The budget of a rendering of this conversation.
    pub fn of(messages: &[Json], options: &RenderOptions<'_>) -> Self {
        let variables = options.variables.into_iter().flatten();
        let mut bytes: u64 = variables
            .map(|(name, value)| name.len() as u64 + weight(value))
            .sum();
        for value in [options.tools, options.documents].into_iter().flatten() {
            bytes += weight(value);
        }
        bytes += messages.iter().map(weight).sum::<u64>();
        let fuel = BASE_FUEL
            .saturating_add(FUEL_PER_MESSAGE.saturating_mul(messages.len() as u64))
            .saturating_add(FUEL_PER_BYTE.saturating_mul(bytes));
        Self {
            left: Cell::new(fuel),
        }
    }

    /// A budget for some further renderings as expensive as the previous one, but at most
    /// [`small`](Self::small) if that one was expensive.
    pub fn for_more_like(used: u64) -> Self {
        Self {
            left: Cell::new(
                used.saturating_mul(16)
                    .clamp(BASE_FUEL / 8, BASE_FUEL.max(used * 4)),
            ),
        }
    }

    /// Whether another rendering may begin.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}

impl ChatTemplate {
    /// Renders on this thread, whose stack must be large enough.
    pub(super) fn render_here(
        &self,
        messages: &[Json],
        options: &RenderOptions<'_>,
        budget: &Budget,
    ) -> Result<String, TemplateError> {
        self.render_counted(messages, options, budget)
            .map(|(text, _)| text)
    }

    /// As [`render_here`](Self::render_here), and returns the work done.
    pub(super) fn render_counted(
        &self,
        messages: &[Json],
        options: &RenderOptions<'_>,
        budget: &Budget,
    ) -> Result<(String, u64), TemplateError> {
        let context = self.context(messages, options)?;
        let given = budget.left.replace(0);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(given));
        let mut out = Bounded::default();
        let rendered = environment.get_template(SOURCE_NAME).and_then(|template| {
            let captured = template.render_captured_to(context, &mut out)?;
            let levels = captured.state().fuel_levels();
            Ok(levels.map_or(given, |(used, _)| used))
        });
        if out.full {
            return Err(TemplateError::TooLong {
                template: self.name.clone(),
            });
        }
        let used = rendered.map_err(|error| {
            let error = self.render_error(&error);
            if !matches!(error, TemplateError::TooMuchWork { .. }) {
                // The engine does not report how much work was done before.
                budget.left.set(given - given / 8);
            }
            error
        })?;
        budget.left.set(given.saturating_sub(used));
        let text = String::from_utf8(out.bytes).map_err(|error| TemplateError::Render {
            template: self.name.clone(),
            line: 0,
            message: error.to_string(),
        })?;
        Ok((text, used))
    }

    fn context(
        &self,
        messages: &[Json],
        options: &RenderOptions<'_>,
    ) -> Result<BTreeMap<String, Value>, TemplateError> {
        let mut context = BTreeMap::new();
        let SpecialTokens { bos, eos, pad, unk } = &self.special_tokens;
        let tokens = [
            ("bos_token", bos),
            ("eos_token", eos),
            ("pad_token", pad),
            ("unk_token", unk),
        ];
        for (name, token) in tokens {
            if let Some(token) = token {
                context.insert(name.to_owned(), Value::from(token.as_str()));
            }
        }
        let add = |context: &mut BTreeMap<String, Value>, name: &str, json: &Json| {
            let value = self.value(json)?;
            context.insert(name.to_owned(), value);
            Ok(())
        };
        for (name, value) in options.variables.into_iter().flatten() {
            if RESERVED.contains(&name.as_str()) || name.starts_with(PREFIX) {
                return Err(TemplateError::ReservedVariable { name: name.clone() });
            }
            add(&mut context, name, value)?;
        }
        for (name, value) in [("tools", options.tools), ("documents", options.documents)] {
            add(&mut context, name, value.unwrap_or(&Json::Null))?;
        }
        let mut list = Vec::with_capacity(messages.len());
        for message in messages {
            let value = self.value(message)?;
            list.push(if message.is_object() {
                Given::wrap(value)
            } else {
                value
            });
        }
        context.insert("messages".to_owned(), Value::from(list));
        context.insert(
            "add_generation_prompt".to_owned(),
            options.add_generation_prompt.into(),
        );
        if let Some(now) = options.now {
            let strftime = move |format: &str| now.strftime(format);
            context.insert("strftime_now".to_owned(), Value::from_function(strftime));
        }
        Ok(context)
    }

    /// Turns JSON into a value of the engine.
    fn value(&self, json: &Json) -> Result<Value, TemplateError> {
        from_json(json, 0).ok_or_else(|| TemplateError::Render {
            template: self.name.clone(),
            line: 0,
            message: format!("a value is nested more than {MAX_INPUT_DEPTH} deep"),
        })
    }

    fn render_error(&self, error: &minijinja::Error) -> TemplateError {
        let template = self.name.clone();
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = source {
            if let Some(raised) = inner.downcast_ref::<jinja::Raised>() {
                return TemplateError::Raised {
                    template,
                    message: raised.0.clone(),
                };
            }
            if let Some(inner) = inner.downcast_ref::<minijinja::Error>()
                && inner.kind() == ErrorKind::OutOfFuel
            {
                return TemplateError::TooMuchWork { template };
            }
            source = inner.source();
        }
        let line = error.line().unwrap_or(0);
        TemplateError::Render {
            template,
            line,
            message: words(error),
        }
    }
}

/// `None` if the value is nested too deeply for a template.
fn from_json(json: &Json, depth: usize) -> Option<Value> {
    if depth > MAX_INPUT_DEPTH {
        return None;
    }
    Some(match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            let items = items.iter().map(|item| from_json(item, depth + 1));
            Value::from(items.collect::<Option<Vec<_>>>()?)
        }
        Json::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(key, value)| Some((key.as_str(), from_json(value, depth + 1)?)));
            Value::from_pairs(pairs.collect::<Option<Vec<_>>>()?)
        }
    })
}

#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_RENDERED_BYTES {
            self.full = true;
            return Err(io::Error::other("the rendered text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Approximate size of a JSON value, in bytes.
fn weight(value: &Json) -> u64 {
    match value {
        Json::String(text) => text.len() as u64 + 8,
        Json::Array(items) => items.iter().map(weight).sum::<u64>() + 8,
        Json::Object(fields) => {
            fields
                .iter()
                .map(|(key, value)| key.len() as u64 + weight(value))
                .sum::<u64>()
                + 8
        }
        _ => 8,
    }
}
