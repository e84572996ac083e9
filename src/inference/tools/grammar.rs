//! Grammars of tool calls.

mod function;
mod xml;

use std::fmt::Write;

use serde_json::{Map, Value, json};

use self::function::FunctionRules;
use self::xml::XmlRules;
use super::call::MAX_PARALLEL_CALLS;
use super::definition::{MAX_SCHEMA_BYTES, ToolDefinition, measure};
use super::format::{ControlToken, ToolFormat};
use super::opening::MAX_GAP;
use super::schema::{Text, part};

impl ToolFormat {
    /// The grammar of a reply, from the beginning of the first call on, in llguidance's dialect
    /// of Lark: up to [`MAX_PARALLEL_CALLS`] calls or, without `parallel`, one. Markers among
    /// `control` are tokens, the others text.
    ///
    /// JSON is written with one space after `:` and `,`, as Python does and as the models have
    /// seen it; no model can then go on writing white space for ever. Only up to the name of a
    /// call that nothing but JSON announces is some other white space taken, since it stands there
    /// before the reply is known to be a call.
    ///
    /// [`FunctionGemma`](Self::FunctionGemma) and [`Qwen3Coder`](Self::Qwen3Coder) have a
    /// notation of their own for arguments. What it cannot say under its schema is JSON in its
    /// place: a value whose schema is more than types, lengths, choices, lists and objects of
    /// declared properties, or all arguments of a tool whose schema cannot be taken apart.
    #[allow(clippy::too_many_lines, reason = "an arm for each format")]
    pub fn grammar(
        self,
        tools: &[ToolDefinition],
        parallel: bool,
        control: &[ControlToken],
    ) -> String {
        let several = |one: &str, between: &str| {
            if parallel {
                let (between, more) = (quote(between), MAX_PARALLEL_CALLS - 1);
                let between = if between == "\"\"" { "" } else { &between };
                format!("{one} ({between} {one}){{0,{more}}}")
            } else {
                one.to_owned()
            }
        };
        let marker = |text: &str| match control.iter().find(|token| token.text == text) {
            Some(token) => format!("<[{}]>", token.id),
            None => quote(text),
        };
        // What a model that was not held to anything yet may have begun with, see `openings`.
        let bare = matches!(self, Self::Llama3 | Self::Gemma | Self::Json);
        let bracket = if bare { spaced_out(&["["]) } else { quote("[") };
        let list = format!("{bracket} {} \"]\"", several("call", ", "));
        let start = match self {
            Self::Hermes | Self::Qwen3Coder => several("block", "\n"),
            Self::FunctionGemma | Self::MistralV11 => several("block", ""),
            Self::Mistral => format!("{} \" \"? {list}", marker("[TOOL_CALLS]")),
            Self::Llama3 => {
                let (tag, calls) = (marker("<|python_tag|>"), several("call", "; "));
                format!("{tag}? ({calls} | {list} | fence)")
            }
            Self::Gemma | Self::Json => format!("call | {list} | fence"),
        };
        let mut text = format!("start: {start}\n");
        let rules = match self {
            Self::Hermes | Self::Qwen3Coder => format!(
                "block: {} \"\\n\" call \"\\n\" {}\n",
                marker("<tool_call>"),
                marker("</tool_call>")
            ),
            Self::MistralV11 => format!(
                "block: {} call\nargs: ({} /[0-9A-Za-z]{{9}}/)? {}\n",
                marker("[TOOL_CALLS]"),
                marker("[CALL_ID]"),
                marker("[ARGS]")
            ),
            Self::FunctionGemma => format!(
                "block: {} \"call:\" call {}\n",
                marker("<start_function_call>"),
                marker("<end_function_call>")
            ),
            Self::Llama3 | Self::Gemma | Self::Json => {
                let code = if self == Self::Gemma {
                    "|tool_code"
                } else {
                    ""
                };
                let open = format!("/```(json{code})?{GAP}/");
                format!("fence: {open} (call | {list}) \"\\n```\"\n")
            }
            Self::Mistral => String::new(),
        };
        text.push_str(&rules);
        let names: Vec<_> = (0..tools.len()).map(|n| format!("tool_{n}")).collect();
        let any = names.join(" | ");
        match self {
            Self::MistralV11 | Self::FunctionGemma | Self::Qwen3Coder => {
                let _ = writeln!(text, "call: {any}");
            }
            _ => {
                let head = if bare {
                    spaced_out(&["{", "\"name\"", ":"])
                } else {
                    quote("{\"name\": ")
                };
                let _ = write!(text, "call: {head} rest \"}}\"");
                if self == Self::Llama3 {
                    let head = ["{", "\"type\"", ":", "\"function\"", ",", "\"name\"", ":"];
                    let _ = write!(text, " | {} rest \"}}\"", spaced_out(&head));
                }
                let _ = write!(text, "\nrest: {any}\n");
            }
        }
        for (n, (name, tool)) in names.iter().zip(tools).enumerate() {
            let schema = || canonical_schema(&tool.parameters);
            let rules = match self {
                Self::MistralV11 => {
                    format!("{name}: {} args %json {}\n", quote(&tool.name), schema())
                }
                Self::FunctionGemma => {
                    let native = FunctionRules::of(n, tool, &marker("<escape>"));
                    native.unwrap_or_else(|| {
                        format!("{name}: {} %json {}\n", quote(&tool.name), schema())
                    })
                }
                Self::Qwen3Coder => XmlRules::of(n, tool).unwrap_or_else(|| {
                    let head = format!("{{\"name\": \"{}\", \"arguments\": ", tool.name);
                    format!("{name}: {} %json {} \"}}\"\n", quote(&head), schema())
                }),
                _ => {
                    let head = format!("\"{}\", \"{}\": ", tool.name, self.arguments_key());
                    format!("{name}: {} %json {}\n", quote(&head), schema())
                }
            };
            text.push_str(&rules);
        }
        text
    }
}

/// Writes the rules of one tool.
struct Rules<'a> {
    /// Begins the names of its rules, so that those of several tools differ.
    tool: usize,
    /// The schema of all arguments, for what others refer to in it.
    whole: &'a Map<String, Value>,
    text: String,
    count: usize,
    /// Bytes of schemas so far; definitions are repeated wherever they are referred to.
    bytes: usize,
}

impl<'a> Rules<'a> {
    fn new(tool: usize, whole: &'a Map<String, Value>) -> Self {
        Self {
            tool,
            whole,
            text: String::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// Adds a rule and returns its name.
    fn rule(&mut self, body: &str) -> String {
        self.count += 1;
        let name = format!("r{}_{}", self.tool, self.count);
        let _ = writeln!(self.text, "{name}: {body}");
        name
    }

    /// Adds a terminal and returns its name.
    fn terminal(&mut self, body: &str) -> String {
        self.count += 1;
        let name = format!("T{}_{}", self.tool, self.count);
        let _ = writeln!(self.text, "{name}: {body}");
        name
    }

    /// A rule for JSON under a schema. `None` once that has become too much.
    fn json(&mut self, schema: &Value) -> Option<String> {
        let schema = part(self.whole, schema);
        self.bytes += measure(&schema).bytes;
        if self.bytes > 2 * MAX_SCHEMA_BYTES {
            return None;
        }
        Some(self.rule(&format!("%json {}", canonical_schema(&schema))))
    }

    /// A terminal for texts without `end` in them, of at least `least` characters.
    fn text(&mut self, text: &Text, least: u64, end: &str) -> String {
        let most = text.most.map(|most| most.to_string()).unwrap_or_default();
        let end = end.replace('/', "\\/");
        self.terminal(&format!(
            "/(?s:.){{{least},{most}}}/ & ~/(?s:.*){end}(?s:.*)/"
        ))
    }
}

/// White space between the parts of an opening, [`MAX_GAP`] bytes at most.
const GAP: &str = "[ \\t\\r\\n]{0,16}";
const _: () = assert!(MAX_GAP == 16);

/// The parts of an opening in whatever spacing, as one lexeme.
fn spaced_out(parts: &[&str]) -> String {
    let part = |part: &&str| part.replace('{', "\\{").replace('[', "\\[") + GAP;
    let parts: String = parts.iter().map(part).collect();
    format!("/{parts}/")
}

/// A Lark string is written as in JSON.
fn quote(text: &str) -> String {
    json!(text).to_string()
}

fn canonical_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["x-guidance"] = json!({"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false, "json_allowed_escapes": "nrbtf\\\""});
    schema
}
