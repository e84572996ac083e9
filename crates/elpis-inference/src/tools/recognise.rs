//! Recognises from a chat template how its models write calls.

use serde_json::{Value, json};

use super::family::Family;
use super::name::ToolFormat;
use super::parser::{ToolEvent, ToolParser};
use super::set::ToolSet;

/// A tool name that no template contains.
const NAME: &str = "qvtoolq";
const KEY: &str = "qvkeyq";
const VALUE: &str = "qvvalueq";

/// Nine letters and digits, as Mistral's templates require.
const ID: &str = "qvid00001";

const USER: &str = "qvuserq";

/// Texts in the source of templates that show no calls, the most specific first.
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
    /// The format of a chat template's models, only by the markers in its source.
    /// [`ChatTemplate::tool_format`](crate::ChatTemplate::tool_format) also examines the template's
    /// output.
    pub fn of_template(source: &str) -> Self {
        let known = MARKS
            .iter()
            .find(|(marks, _)| marks.iter().all(|mark| source.contains(mark)));
        known.map_or(Self::Json, |(_, format)| *format)
    }
}

/// The format of the models of a template. `render` renders messages and tools with the template,
/// and with the opening of an assistant turn if the flag is set.
///
/// A template that shows calls renders one here, and the format is the one whose notation it uses.
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
            // Some templates refuse calls without results, and some otherwise only show the last
            // turn.
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

/// The assistant's text: the text after the prompt, or after the user's words.
fn behind_prompt(text: &str, prompt: Option<&str>) -> Option<String> {
    let after_user = text.rfind(USER)? + USER.len();
    let same = prompt.map_or(0, |prompt| {
        let pairs = text.char_indices().zip(prompt.chars());
        let same = pairs.take_while(|((_, one), other)| one == other);
        same.last().map_or(0, |((at, one), _)| at + one.len_utf8())
    });
    text.get(same.max(after_user)..).map(str::to_owned)
}

/// The format whose own notation of the call occurs in the text. The longest wins, because some
/// contain others; white space distinguishes otherwise equal ones.
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

/// The first format that can parse the call from the text.
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
