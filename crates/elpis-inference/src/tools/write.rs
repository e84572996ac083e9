//! Writes tools, calls and results down for templates that do not.

use serde_json::{Value, json};

use super::family::{Family, Layout, Part};
use super::name::ToolFormat;
use super::set::ToolSet;
use crate::schema::{Arguments, Kind, Style, is_bare};

impl ToolFormat {
    /// What tells a model of the tools whose chat template does not.
    pub(crate) fn instructions(self, tools: &ToolSet) -> String {
        let list: Vec<_> = tools
            .to_json()
            .as_array()
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let list = list.join("\n");
        let family = Family::of(self);
        let list = match self {
            Self::Hermes | Self::Qwen3Coder => format!("<tools>\n{list}\n</tools>"),
            _ => list,
        };
        let how = match family.layouts.first() {
            Some(layout) => write(layout, &[Call::described(layout)]),
            None => String::new(),
        };
        let alone = if family.unmarked || family.framed {
            " nothing but"
        } else {
            ""
        };
        format!("You can call these functions:\n{list}\nTo call one, write{alone}:\n{how}")
    }

    /// Writes the calls of an earlier assistant message down, as the model would have.
    pub(crate) fn write_calls(self, calls: &[Value]) -> String {
        let Some(layout) = Family::of(self).layouts.first() else {
            return String::new();
        };
        let call = |call: &Value| {
            let function = call.get("function").unwrap_or(call);
            let name = function.get("name").and_then(Value::as_str);
            let arguments = function.get("arguments").unwrap_or(&Value::Null);
            Call {
                name: name.unwrap_or_default().to_owned(),
                id: call.get("id").and_then(Value::as_str).map(str::to_owned),
                arguments: arguments_in(layout, arguments),
            }
        };
        let calls: Vec<_> = calls.iter().map(call).collect();
        write(layout, &calls)
    }

    /// Writes the result of a tool down, for templates that have no turn for it.
    pub(crate) fn write_result(self, name: Option<&str>, content: &str) -> String {
        match self {
            Self::Hermes | Self::Qwen3Coder => {
                format!("<tool_response>\n{content}\n</tool_response>")
            }
            Self::Mistral => format!("[TOOL_RESULTS] {content}[/TOOL_RESULTS]"),
            Self::MistralV11 => format!("[TOOL_RESULTS]{content}[/TOOL_RESULTS]"),
            Self::FunctionGemma => {
                let name = name.unwrap_or("function");
                let value = marked(&Value::from(content), "<escape>");
                format!(
                    "<start_function_response>response:{name}{{value:{value}}}<end_function_response>"
                )
            }
            _ => {
                let name = name.unwrap_or("the function");
                format!("Result of {name}: {content}")
            }
        }
    }
}

/// A call that is to be written.
struct Call {
    name: String,
    id: Option<String>,
    arguments: String,
}

impl Call {
    /// What a call looks like, in words.
    fn described(layout: &Layout) -> Self {
        let key = "parameter name";
        let arguments = match layout.arguments {
            Arguments::Object => match layout.style {
                Style::Marked(mark, _) => format!("{{key:{mark}text{mark},key:number}}"),
                Style::Json | Style::Python => "<arguments as JSON>".to_owned(),
            },
            Arguments::Keywords => "key=\"text\", key=number".to_owned(),
            Arguments::Params(params) => {
                let middle = params.middle.text(Kind::String);
                [params.open, key, &middle, "value", params.close].concat()
            }
            Arguments::Elements(mark) => format!("{mark}<key>value{mark}</key>"),
        };
        Self {
            name: "function name".to_owned(),
            id: None,
            arguments,
        }
    }
}

/// Writes calls with what stands around them.
fn write(layout: &Layout, calls: &[Call]) -> String {
    let several = |around: &&super::family::Around| calls.len() < 2 || around.between.is_some();
    let around = layout.around.iter().find(several);
    let Some(around) = around.or(layout.around.first()) else {
        return String::new();
    };
    let parts = layout.calls.first().copied().unwrap_or_default();
    let mut out = String::new();
    let nothing = Call {
        name: String::new(),
        id: None,
        arguments: String::new(),
    };
    write_parts(&mut out, around.before, &nothing, 0);
    for (at, call) in calls.iter().enumerate() {
        if at > 0 {
            out.push_str(around.between.unwrap_or("\n"));
        }
        write_parts(&mut out, parts, call, at as u32);
    }
    out.push_str(around.after);
    out
}

fn write_parts(out: &mut String, parts: &[Part], call: &Call, at: u32) {
    for part in parts {
        match part {
            Part::Text(text) | Part::Gap(text) => out.push_str(text),
            Part::Name => out.push_str(&call.name),
            Part::Arguments => out.push_str(&call.arguments),
            Part::Index(first) => out.push_str(&(first + at).to_string()),
            Part::Id(length) => {
                let zeros = "0".repeat(*length as usize);
                out.push_str(call.id.as_deref().unwrap_or(&zeros));
            }
            Part::Maybe(_) | Part::Here | Part::Ahead(_) => {}
        }
    }
}

/// Arguments in the notation of a layout.
pub(super) fn arguments_in(layout: &Layout, arguments: &Value) -> String {
    let fields = || arguments.as_object().into_iter().flatten();
    match layout.arguments {
        Arguments::Object => match layout.style {
            Style::Marked(mark, _) => marked(arguments, mark),
            Style::Json | Style::Python => spaced(arguments),
        },
        Arguments::Keywords => {
            let field = |(key, value): (&String, &Value)| {
                let word = |letter: char| letter.is_alphanumeric() || letter == '_';
                if key.chars().all(word) && !key.is_empty() {
                    format!("{key}={}", python(value))
                } else {
                    format!("{}={}", json!(key), python(value))
                }
            };
            fields().map(field).collect::<Vec<_>>().join(", ")
        }
        Arguments::Params(params) => fields()
            .map(|(key, value)| {
                let written = match value {
                    Value::String(text) => text.clone(),
                    other => spaced(other),
                };
                let middle = params.middle.text(Kind::of(value));
                [params.open, key, &middle, &written, params.close].concat()
            })
            .collect(),
        Arguments::Elements(mark) => elements(arguments, mark),
    }
}

/// JSON with a space after `:` and `,`.
pub(super) fn spaced(value: &Value) -> String {
    joined(value, &|value| value.to_string())
}

/// A value as Python writes it.
fn python(value: &Value) -> String {
    joined(value, &|value| match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    })
}

fn joined(value: &Value, simple: &impl Fn(&Value) -> String) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| joined(item, simple)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                format!("{}: {}", json!(key), joined(value, simple))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => simple(other),
    }
}

/// A value whose texts stand between marks.
fn marked(value: &Value, mark: &str) -> String {
    match value {
        Value::String(text) if !text.contains(mark) => format!("{mark}{text}{mark}"),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| marked(item, mark)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                let key = if is_bare(key) {
                    key.clone()
                } else {
                    json!(key).to_string()
                };
                format!("{key}:{}", marked(value, mark))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

/// A value as elements behind a mark.
fn elements(value: &Value, mark: &str) -> String {
    let element = |name: &str, value: &Value| {
        format!("{mark}<{name}>{}{mark}</{name}>", elements(value, mark))
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| element("item", item)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| element(key, value))
            .collect(),
        other => other.to_string(),
    }
}
