//! Finds what a chat template can show by rendering small conversations with it.
//!
//! Words in a template's source are not reliable: a template can mention `tools` and drop them,
//! loop over calls and lose the text next to them, or refuse parts that it mentions. Therefore each
//! capability is tested with a conversation that contains unique words, and the template has the
//! capability if they appear in the output.

use serde_json::{Map, Value, json};

use super::render::Budget;
use super::{ChatTemplate, CivilDateTime, RenderOptions};

const SYSTEM: &str = "qvsystemq";
const LATE: &str = "qvlateq";
const USER: &str = "qvuserq";
const MORE: &str = "qvmoreq";
const ANSWER: &str = "qvanswerq";
const TOOL: &str = "qvtoolq";
const OTHER: &str = "qvotherq";
const KEY: &str = "qvkeyq";
const ARGUMENT: &str = "qvargumentq";
const SECOND: &str = "qvsecondq";
const RESULT: &str = "qvresultq";
const THOUGHT: &str = "qvthoughtq";
/// Nine letters and digits, as Mistral's templates require.
const ID: &str = "qvid00001";
const ID_2: &str = "qvid00002";

/// The form in which a template expects the arguments of calls in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentsForm {
    /// As JSON objects.
    Object,
    /// As JSON texts, the form of `OpenAI`'s API.
    Text,
}

/// The parts of a conversation that a chat template can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateCapabilities {
    /// Whether contents must be lists of parts, `[{"type": "text", "text": …}]`, because plain
    /// texts are dropped.
    pub parts: bool,
    /// Whether it shows a system message at the beginning.
    pub system: bool,
    /// Whether it shows several system messages at the beginning.
    pub several_systems: bool,
    /// Whether it shows a system message after an answer.
    pub late_system: bool,
    /// Whether it accepts two consecutive user or assistant messages.
    pub repeated_roles: bool,
    /// Whether it shows the offered tools.
    pub tools: bool,
    /// Whether it accepts tools and parameters without a description.
    pub bare_tools: bool,
    /// Whether it takes tools as a text in the variable `functions`, with the date in the variable
    /// `datetime`.
    pub functions_variable: bool,
    /// The form of arguments if it shows calls in the history.
    pub tool_calls: Option<ArgumentsForm>,
    /// Whether it shows text next to a call in the history.
    pub text_beside_calls: bool,
    /// Whether it accepts a text message before a message with calls.
    pub text_before_calls: bool,
    /// Whether it shows several calls in one message.
    pub parallel_calls: bool,
    /// Whether it shows messages of the role `tool`.
    pub tool_results: bool,
    /// Whether it shows the ids of calls.
    pub call_ids: bool,
    /// Whether it shows reasoning as a separate field, at least during an answer with tools.
    pub reasoning: bool,
}

impl TemplateCapabilities {
    /// The capabilities of a template that only shows plain turns.
    pub(super) const UNKNOWN: Self = Self {
        parts: false,
        system: false,
        several_systems: false,
        late_system: false,
        repeated_roles: false,
        tools: false,
        bare_tools: false,
        functions_variable: false,
        tool_calls: None,
        text_beside_calls: false,
        text_before_calls: false,
        parallel_calls: false,
        tool_results: false,
        call_ids: false,
        reasoning: false,
    };

    pub(super) fn of(template: &ChatTemplate) -> Self {
        let mut probe = Probe {
            template,
            parts: false,
            functions: false,
            budget: Budget::small(),
        };
        if !probe.shows(&[user(USER)], None, &[USER]) {
            let forms = [(true, false), (false, true)];
            let works = forms.into_iter().find(|(parts, functions)| {
                (probe.parts, probe.functions) = (*parts, *functions);
                probe.shows(&[user(USER)], None, &[USER])
            });
            (probe.parts, probe.functions) = works.unwrap_or_default();
        }
        let talk = |rest: &[Value]| [&[user(USER), assistant(ANSWER)], rest].concat();
        let system = probe.shows(
            &[message("system", SYSTEM), user(USER)],
            None,
            &[SYSTEM, USER],
        );
        let two = [
            message("system", SYSTEM),
            message("system", LATE),
            user(USER),
        ];
        let late = talk(&[message("system", LATE), user(MORE)]);
        let users = [user(USER), user(MORE)];
        let assistants = [user(USER), assistant(ANSWER), assistant(LATE), user(MORE)];
        let tool_calls = probe.arguments_form();
        let form = tool_calls.unwrap_or(ArgumentsForm::Object);
        let one = [call(form, TOOL, ARGUMENT, ID)];
        let both = [
            call(form, TOOL, ARGUMENT, ID),
            call(form, OTHER, SECOND, ID_2),
        ];
        let results = [result(TOOL, RESULT, ID), result(OTHER, LATE, ID_2)];
        let round = |beside: &str, calls: &[Value], results: &[Value]| {
            [&[user(USER), calling(beside, calls)], results].concat()
        };
        // Some templates only show it until the answer is complete.
        let beside = round(ANSWER, &one, &results[..1]);
        let shows_beside = |talk: &[Value]| probe.shows(talk, Some(&tools()), &[ANSWER, ARGUMENT]);
        // The message before a result if calls are in the text of a message.
        let told = if tool_calls.is_some() {
            round("", &one, &results[..1])
        } else {
            talk(&results[..1])
        };
        let mut thinking = round("", &one, &results[..1]);
        thinking[1]["reasoning_content"] = json!(THOUGHT);
        thinking[1]["thinking"] = json!(THOUGHT);
        Self {
            parts: probe.parts,
            system,
            several_systems: system && probe.shows(&two, None, &[SYSTEM, LATE, USER]),
            late_system: probe.shows(&late, None, &[USER, ANSWER, LATE, MORE]),
            repeated_roles: probe.shows(&users, None, &[USER, MORE])
                && probe.shows(&assistants, None, &[USER, ANSWER, LATE, MORE]),
            tools: probe.shows(&[user(USER)], Some(&tools()), &[TOOL, USER]),
            bare_tools: probe.shows(&[user(USER)], Some(&bare_tools()), &[TOOL, USER]),
            functions_variable: probe.functions,
            tool_calls,
            text_beside_calls: shows_beside(&beside)
                && shows_beside(&[&beside[..], &[assistant(LATE), user(MORE)]].concat()),
            text_before_calls: probe.shows(
                &[
                    user(USER),
                    assistant(ANSWER),
                    calling("", &one),
                    results[0].clone(),
                    assistant(LATE),
                    user(MORE),
                ],
                Some(&tools()),
                &[ANSWER, ARGUMENT, LATE, MORE],
            ),
            parallel_calls: probe.shows(
                &round("", &both, &results),
                Some(&tools()),
                &[ARGUMENT, OTHER, SECOND, RESULT, LATE],
            ),
            tool_results: probe.shows(&told, None, &[RESULT]),
            call_ids: probe.shows(&told, None, &[ID]),
            reasoning: probe.shows(&thinking, Some(&tools()), &[THOUGHT]),
        }
    }
}

struct Probe<'a> {
    template: &'a ChatTemplate,
    parts: bool,
    functions: bool,
    budget: Budget,
}

impl Probe<'_> {
    fn render(&self, messages: &[Value], tools: Option<&Value>) -> Option<String> {
        let variables = self.functions.then(|| functions_variables(tools, None));
        let options = RenderOptions {
            add_generation_prompt: true,
            tools,
            variables: variables.as_ref(),
            now: CivilDateTime::new(2025, 1, 2, 3, 4, 5),
            ..RenderOptions::default()
        };
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                if self.parts {
                    in_parts(message.clone())
                } else {
                    message.clone()
                }
            })
            .collect();
        if self.budget.is_spent() {
            return None;
        }
        let rendered = self.template.render_here(&messages, &options, &self.budget);
        rendered.ok()
    }

    fn shows(&self, messages: &[Value], tools: Option<&Value>, words: &[&str]) -> bool {
        let text = self.render(messages, tools);
        text.is_some_and(|text| words.iter().all(|word| text.contains(word)))
    }

    fn arguments_form(&self) -> Option<ArgumentsForm> {
        let text = |form| {
            let messages = [
                user(USER),
                calling("", &[call(form, TOOL, ARGUMENT, ID)]),
                result(TOOL, RESULT, ID),
            ];
            let text = self.render(&messages, Some(&tools()))?;
            // The name also occurs among the tools, but the argument does not.
            text.contains(ARGUMENT).then_some(text)
        };
        // A dict in Python's notation, or a JSON text inside a JSON text.
        let odd = |text: &str| {
            text.contains(&format!("'{KEY}': '{ARGUMENT}'"))
                || text.contains(&format!("\\\"{ARGUMENT}\\\""))
        };
        match text(ArgumentsForm::Object) {
            Some(shown) if !odd(&shown) => Some(ArgumentsForm::Object),
            object => match text(ArgumentsForm::Text) {
                Some(shown) if !odd(&shown) => Some(ArgumentsForm::Text),
                _ => object.map(|_| ArgumentsForm::Object),
            },
        }
    }
}

/// The variables of templates that take tools as a text.
pub(super) fn functions_variables(
    tools: Option<&Value>,
    now: Option<CivilDateTime>,
) -> Map<String, Value> {
    let functions = tools.map_or_else(String::new, |tools| format!("{tools:#}"));
    let date = now.map(|now| now.strftime("%b %d %Y %H:%M:%S"));
    Map::from_iter([
        ("functions".to_owned(), Value::String(functions)),
        (
            "datetime".to_owned(),
            Value::String(date.unwrap_or_default()),
        ),
    ])
}

/// Turns the text of a message into a list of parts.
pub(super) fn in_parts(mut message: Value) -> Value {
    if let Some(content) = message.get_mut("content")
        && content.is_string()
    {
        *content = json!([{"type": "text", "text": content.take()}]);
    }
    message
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn user(content: &str) -> Value {
    message("user", content)
}

fn assistant(content: &str) -> Value {
    message("assistant", content)
}

fn call(form: ArgumentsForm, name: &str, argument: &str, id: &str) -> Value {
    let arguments = Value::Object(Map::from_iter([(KEY.to_owned(), json!(argument))]));
    let arguments = match form {
        ArgumentsForm::Object => arguments,
        ArgumentsForm::Text => json!(format!("{{\"{KEY}\": \"{argument}\"}}")),
    };
    json!({"type": "function", "id": id, "function": {"name": name, "arguments": arguments}})
}

fn calling(content: &str, calls: &[Value]) -> Value {
    json!({"role": "assistant", "content": content, "tool_calls": calls})
}

fn result(name: &str, content: &str, id: &str) -> Value {
    json!({"role": "tool", "content": content, "name": name, "tool_call_id": id})
}

fn bare_tools() -> Value {
    let parameters = json!({"type": "object", "properties": {KEY: {"type": "string"}}});
    json!([{"type": "function", "function": {"name": TOOL, "parameters": parameters}}])
}

fn tools() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {KEY: {"type": "string", "description": "a text"}},
        "required": [KEY],
    });
    json!([{
        "type": "function",
        "function": {"name": TOOL, "description": "a function", "parameters": parameters},
    }])
}

impl TemplateCapabilities {
    /// These and increasingly reduced capabilities, for a conversation that a template refuses
    /// although it shows each part of it.
    pub(super) fn and_smaller(self) -> [Self; 4] {
        let no_tools = Self {
            tools: false,
            ..self
        };
        let text_alone = Self {
            tool_calls: None,
            tool_results: false,
            repeated_roles: false,
            several_systems: false,
            late_system: false,
            ..no_tools
        };
        let turns_alone = Self {
            system: false,
            ..text_alone
        };
        [self, no_tools, text_alone, turns_alone]
    }
}
