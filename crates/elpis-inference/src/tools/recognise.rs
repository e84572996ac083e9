//! Tells from a chat template how its models write calls.

use serde_json::{Value, json};

use super::family::Family;
use super::name::ToolFormat;
use super::parser::{ToolEvent, ToolParser};
use super::set::ToolSet;

/// A tool that no template knows, and an argument of it.
const NAME: &str = "qvtoolq";
const KEY: &str = "qvkeyq";
const VALUE: &str = "qvvalueq";

/// Nine letters and digits, as Mistral's templates want them.
const ID: &str = "qvid00001";

const USER: &str = "qvuserq";

/// What templates that show no calls have in their source, from the most telling on.
const MARKS: &[(&[&str], ToolFormat)] = &[
    (&["[ARGS]"], ToolFormat::MistralV11),
    (&["<start_function_call>"], ToolFormat::FunctionGemma),
    (&["<|tool_call>"], ToolFormat::Gemma4),
    (&["]<]minimax[>["], ToolFormat::MiniMaxM3),
    (&["<minimax:tool_call>"], ToolFormat::MiniMaxM2),
    (&["<seed:tool_call>"], ToolFormat::SeedOss),
    (&["<tool_call:opensource>"], ToolFormat::Hunyuan3),
    (&["<longcat_tool_call>"], ToolFormat::LongCat),
    (&["<atem:function_calls>"], ToolFormat::MuseGlimmer),
    (&["｜DSML｜", "tool_calls"], ToolFormat::DeepSeekV4),
    (&["｜DSML｜"], ToolFormat::DeepSeekV32),
    (
        &["<｜tool▁call▁begin｜>", "```json"],
        ToolFormat::DeepSeekV3,
    ),
    (&["<｜tool▁call▁begin｜>"], ToolFormat::DeepSeekV31),
    (&["<｜tool▁outputs▁begin｜>"], ToolFormat::DeepSeekV3),
    (&["<|tool_calls_section_begin|>"], ToolFormat::KimiK2),
    (&["<|open|>", "<|sep|>"], ToolFormat::KimiK3),
    (&["<|tool_call:begin|>"], ToolFormat::SolarOpen),
    (
        &["<|channel|>", "<|message|>", "<|start|>"],
        ToolFormat::GptOss,
    ),
    (&["<|START_ACTION|>"], ToolFormat::CommandR7b),
    (
        &["<|START_OF_TURN_TOKEN|>", "<|START_RESPONSE|>"],
        ToolFormat::CommandR7b,
    ),
    (&["<|START_OF_TURN_TOKEN|>"], ToolFormat::CommandR),
    (&["<|tools_prefix|>"], ToolFormat::Apertus),
    (&["<|tool_call_start|>"], ToolFormat::Lfm2),
    (&["<|tool_list_start|>"], ToolFormat::Lfm2),
    (&["List of tools: ["], ToolFormat::Lfm2),
    (&["<|action_start|>", "<|plugin|>"], ToolFormat::InternLm2),
    (&["<|function_call|>"], ToolFormat::GigaChat31),
    (&["function call<|role_sep|>"], ToolFormat::GigaChat3),
    (&["functools["], ToolFormat::Functools),
    (&["<TOOLCALL>"], ToolFormat::Nemotron),
    (&["<function_calls>"], ToolFormat::Olmo3),
    (&["<param name="], ToolFormat::MiniCpm5),
    (
        &["<arg_key>", "</arg_key>\\n<arg_value>"],
        ToolFormat::Glm45,
    ),
    (&["<arg_key>", "</arg_key>\n<arg_value>"], ToolFormat::Glm45),
    (&["<arg_key>"], ToolFormat::Glm47),
    (
        &["<tool_call>", "<function=", "<parameter="],
        ToolFormat::Qwen3Coder,
    ),
    (&["<|tool_call|>"], ToolFormat::Granite),
    (&["<tool_call>"], ToolFormat::Hermes),
    (&["<function=", "</function>"], ToolFormat::Functionary31),
    (&[">>>all"], ToolFormat::Functionary32),
    (
        &["<tool_calls>", "<beginning_of_sentence>"],
        ToolFormat::MiniMaxM1,
    ),
    (&["<tool_calls>"], ToolFormat::Apriel),
    (&["[TOOL_CALLS]"], ToolFormat::Mistral),
    (&["<|start_header_id|>"], ToolFormat::Llama3),
    (&["<|header_start|>"], ToolFormat::Llama3),
    (&["<start_of_turn>"], ToolFormat::Gemma),
    (&["<|im_start|>"], ToolFormat::Hermes),
];

impl ToolFormat {
    /// The format of the models that a chat template is for, by the markers in its source alone.
    /// [`ChatTemplate::tool_format`](crate::ChatTemplate::tool_format) looks at what
    /// the template writes.
    pub fn of_template(source: &str) -> Self {
        let known = MARKS
            .iter()
            .find(|(marks, _)| marks.iter().all(|mark| source.contains(mark)));
        known.map_or(Self::Json, |(_, format)| *format)
    }
}

/// The format of the models of a template. `render` writes messages and tools down as the template
/// does, with the opening of an assistant turn if the flag is set.
///
/// A template that shows calls writes one here, and the format is the one that writes it so.
pub(crate) fn recognise(
    source: &str,
    render: impl Fn(&[Value], &Value, bool) -> Option<String>,
) -> ToolFormat {
    let tools = tools();
    let arguments = json!({KEY: VALUE});
    let shown = [arguments.clone(), json!(arguments.to_string())]
        .into_iter()
        .filter_map(|arguments| {
            let call = call(&arguments);
            let user = json!({"role": "user", "content": USER});
            let assistant = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            let result = json!({"role": "tool", "content": "qvresultq", "name": NAME,
                "tool_call_id": ID});
            let talk = [user.clone(), assistant, result];
            // Some refuse calls without results, and some show the last turn alone otherwise.
            let text = render(&talk[..2], &tools, false).filter(|text| text.contains(VALUE));
            let text = text.or_else(|| render(&talk, &tools, true))?;
            let prompt = render(&talk[..1], &tools, true);
            behind_prompt(&text, prompt.as_deref())
        });
    for reply in shown {
        let written = reply.contains(VALUE).then(|| written_like(&reply));
        if let Some(format) = written.flatten().or_else(|| read_from(&reply)) {
            return format;
        }
    }
    ToolFormat::of_template(source)
}

fn call(arguments: &Value) -> Value {
    json!({"type": "function", "id": ID, "function": {"name": NAME, "arguments": arguments}})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {
        "name": NAME,
        "description": "qvwhatq",
        "parameters": {
            "type": "object",
            "properties": {KEY: {"type": "string", "description": "qvwhichq"}},
            "required": [KEY],
        },
    }}])
}

/// What the assistant wrote: what follows the prompt, or the user's words.
fn behind_prompt(text: &str, prompt: Option<&str>) -> Option<String> {
    let after_user = text.rfind(USER)? + USER.len();
    let same = prompt.map_or(0, |prompt| {
        let pairs = text.char_indices().zip(prompt.chars());
        let same = pairs.take_while(|((_, one), other)| one == other);
        same.last().map_or(0, |((at, one), _)| at + one.len_utf8())
    });
    text.get(same.max(after_user)..).map(str::to_owned)
}

/// The format whose own way to write the call stands in the text. The longest, since some have
/// others in them; white space tells apart what is the same otherwise.
fn written_like(reply: &str) -> Option<ToolFormat> {
    let bare = |text: &str| -> String { text.split_whitespace().collect() };
    let whole = bare(reply);
    let calls = [call(&json!({KEY: VALUE}))];
    let mut best: Option<((usize, bool), ToolFormat)> = None;
    for &format in ToolFormat::ALL {
        let written = format.write_calls(&calls);
        let own = bare(&written);
        let found = if Family::of(format).unmarked {
            whole.starts_with(&own)
        } else {
            whole.contains(&own)
        };
        let rank = (own.len(), reply.contains(&written));
        if found && best.is_none_or(|(most, _)| rank > most) {
            best = Some((rank, format));
        }
    }
    best.map(|(_, format)| format)
}

/// The first format that reads the call out of the text.
fn read_from(reply: &str) -> Option<ToolFormat> {
    let tools = ToolSet::from_json(&tools()).ok()?;
    let expected = json!({KEY: VALUE});
    let reads = |format: &ToolFormat| {
        let mut parser = ToolParser::new(*format, 0, false).with_tools(&tools);
        let events = parser.push(reply).unwrap_or_default();
        events.iter().any(|event| {
            matches!(event, ToolEvent::Finished { call, .. }
                if call.name == NAME && call.arguments == expected)
        })
    };
    ToolFormat::ALL.iter().copied().find(reads)
}
