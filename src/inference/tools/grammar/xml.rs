//! The grammar of Qwen3-Coder's calls.

use serde_json::Value;

use super::{Rules, quote};
use crate::inference::tools::definition::ToolDefinition;
use crate::inference::tools::schema::{Notation, PARAMETER_END, Text, divisible, fields};

const VALUE_END: &str = "\n</parameter>\n";

pub(super) struct XmlRules;

impl XmlRules {
    /// The rules of one tool, from `tool_n` on. `None` if its arguments have to be JSON as a whole.
    pub fn of(n: usize, tool: &ToolDefinition) -> Option<String> {
        let whole = tool.parameters.as_object()?;
        let fields = fields(whole)?;
        let name = |name: &str| !name.is_empty() && !name.contains(['<', '>', '\n']);
        if !divisible(&tool.parameters) || !fields.iter().all(|field| name(field.name)) {
            return None;
        }
        let mut rules = Rules::new(n, whole);
        let mut body = quote(&format!("<function={}>\n", tool.name));
        for field in fields {
            let value = value(&mut rules, field.schema)?;
            let key = quote(&format!("<parameter={}>\n", field.name));
            let rule = rules.rule(&format!("{key} {value}"));
            let often = if field.required { "" } else { "?" };
            body = format!("{body} {rule}{often}");
        }
        Some(format!("tool_{n}: {body} \"</function>\"\n{}", rules.text))
    }
}

/// A value and its end, which are one lexeme where the end says how long the value is.
fn value(rules: &mut Rules<'_>, schema: &Value) -> Option<String> {
    let notation = Notation::of(schema);
    let text = Text::of(schema).filter(|_| notation != Notation::Json);
    let Some(text) = text else {
        let json = rules.json(schema)?;
        return Some(format!("{json} {}", quote(VALUE_END)));
    };
    let ended = |text: &str| quote(&format!("{text}{VALUE_END}"));
    let mut ways: Vec<String> = if let Some(choices) = &text.choices {
        choices.iter().map(|text| ended(text)).collect()
    } else {
        let any = rules.text(&text, text.least, PARAMETER_END);
        vec![rules.terminal(&format!("{any} {}", quote(VALUE_END)))]
    };
    if text.nullable {
        ways.push(ended("null"));
    }
    Some(format!("({})", ways.join(" | ")))
}
