//! The formats, each with its name.

use std::fmt;

/// The notation in which a family of models writes its tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolFormat {
    /// Hermes, Qwen 2.5 and 3, Granite 4, `SmolLM3` and many more: `<tool_call>\n{"name": …,
    /// "arguments": …}\n</tool_call>`, one block for each call (the function calling format of Nous
    /// Research).
    Hermes,
    /// Llama 3 and 4: the reply is `{"name": …, "parameters": …}`, several are separated by `; `
    /// (Meta's prompt format of Llama 3.1, "JSON based tool calling"), with `<|python_tag|>` in front
    /// where the model likes; from 3.2 on also `[name(key=value, …), …]`.
    Llama3,
    /// Mistral from the third tokenizer version on: `[TOOL_CALLS] [{"name": …, "arguments": …}]`,
    /// with an `"id"` behind the arguments where the model writes one.
    Mistral,
    /// Mistral from the eleventh tokenizer version on: `[TOOL_CALLS]name[ARGS]{…}` for each call,
    /// with `[CALL_ID]` and an id before `[ARGS]` where the model writes one (the chat templates of
    /// Mistral Small 3.2, Magistral, Devstral and Ministral 3).
    MistralV11,
    /// Gemma 2 and 3: `{"name": …, "parameters": …}`, bare or in a fence, as Google's guide to
    /// function calling with Gemma asks for it in the prompt.
    Gemma,
    /// `FunctionGemma`: `<start_function_call>call:name{key:<escape>text<escape>,n:1}
    /// <end_function_call>` without the line break, with bare keys and texts between markers (the
    /// chat template of Google's `FunctionGemma` 270M).
    FunctionGemma,
    /// Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,n:1}<tool_call|>`.
    Gemma4,
    /// Qwen3-Coder: `<tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n
    /// </function>\n</tool_call>` without spaces; texts stand as they are, all else is JSON (the
    /// chat template of Qwen3-Coder-30B-A3B-Instruct, which Qwen3.5, Nemotron 3 and Step 3.5
    /// share).
    Qwen3Coder,
    /// Seed-OSS: as Qwen3-Coder, but in `<seed:tool_call>` and without line breaks around values.
    SeedOss,
    /// GLM 4.5 and 4.6, Laguna XS, Ling 3: `<tool_call>name\n<arg_key>key</arg_key>\n
    /// <arg_value>value</arg_value>\n</tool_call>` without spaces.
    Glm45,
    /// GLM 4.7 and 5, Spark 2.5, Laguna S: as GLM 4.5 without line breaks.
    Glm47,
    /// Hunyuan 3: as GLM 4.5, but with tags such as `<tool_call:opensource>`.
    Hunyuan3,
    /// `MiniMax` M1: `<tool_calls>\n{"name": …, "arguments": …}\n</tool_calls>`, a line for each
    /// call.
    MiniMaxM1,
    /// `MiniMax` M2: `<minimax:tool_call>\n<invoke name="name">\n<parameter name="key">value
    /// </parameter>\n</invoke>\n</minimax:tool_call>` without the line break.
    MiniMaxM2,
    /// `MiniMax` M3: elements within each other, each tag behind `]<]minimax[>[`.
    MiniMaxM3,
    /// `MiniCPM` 5: `<function name="name"><param name="key">value</param></function>`.
    MiniCpm5,
    /// `DeepSeek` V3 and R1: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n
    /// ```json\n{…}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>` without spaces.
    DeepSeekV3,
    /// `DeepSeek` V3.1: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}
    /// <｜tool▁call▁end｜><｜tool▁calls▁end｜>` without spaces.
    DeepSeekV31,
    /// `DeepSeek` V3.2: `<｜DSML｜function_calls>` around `<｜DSML｜invoke name="name">` with
    /// `<｜DSML｜parameter name="key" string="true">text</｜DSML｜parameter>`.
    DeepSeekV32,
    /// `DeepSeek` V4: as V3.2, but in `<｜DSML｜tool_calls>`.
    DeepSeekV4,
    /// Kimi K2: `<|tool_calls_section_begin|><|tool_call_begin|>functions.name:0
    /// <|tool_call_argument_begin|>{…}<|tool_call_end|><|tool_calls_section_end|>` without spaces.
    KimiK2,
    /// Kimi K3: `<|open|>call tool="name" index="1"<|sep|>` with `<|open|>argument key="key"
    /// type="string"<|sep|>text<|close|>argument<|sep|>`.
    KimiK3,
    /// gpt-oss: the harmony format, `<|channel|>commentary to=functions.name <|constrain|>json
    /// <|message|>{…}<|call|>` without the line break, or with the recipient in the role.
    GptOss,
    /// Command R and R+: `Action:` and a list of `{"tool_name": …, "parameters": …}` in a fence.
    CommandR,
    /// Command R7B and A: `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": …, "parameters": …}]
    /// <|END_ACTION|>` without the line break.
    CommandR7b,
    /// Granite 3 and Phi-4 mini: `<|tool_call|>[{"name": …, "arguments": …}]`.
    Granite,
    /// Nemotron Nano v2: `<TOOLCALL>[{"name": …, "arguments": …}]</TOOLCALL>`.
    Nemotron,
    /// Apriel, Jamba and Hunyuan: `<tool_calls>[{"name": …, "arguments": …}]</tool_calls>`.
    Apriel,
    /// Apertus: `<|tools_prefix|>[{"name": {…}}]<|tools_suffix|>`, the name as the key.
    Apertus,
    /// LFM2 and LFM2.5: `<|tool_call_start|>[name(key=value, …)]<|tool_call_end|>`.
    Lfm2,
    /// `OLMo` 3: `<function_calls>name(key=value, …)</function_calls>`, a line for each call.
    Olmo3,
    /// Functionary 3.1: `<function=name>{…}</function>`.
    Functionary31,
    /// Functionary 3.2: `name\n{…}`, what follows behind `>>>`, and text as `all\n…`.
    Functionary32,
    /// Firefunction 2: `functools[{"name": …, "arguments": …}]`.
    Functools,
    /// Solar Open: `<|tool_calls|><|tool_call:begin|>id<|tool_call:name|>name<|tool_call:args|>{…}
    /// <|tool_call:end|>` without the line break.
    SolarOpen,
    /// `GigaChat` 3: `function call<|role_sep|>\n{"name": …, "arguments": …}`.
    GigaChat3,
    /// `GigaChat` 3.1: `<|function_call|>{"name": …, "arguments": …}`.
    GigaChat31,
    /// `InternLM` 2.5: `<|action_start|><|plugin|>\n{"name": …, "parameters": …}<|action_end|>`.
    InternLm2,
    /// `LongCat`: as Hermes, but in `<longcat_tool_call>`.
    LongCat,
    /// Muse Glimmer: ` to=name<|message|><atem:function_calls>` around `<atem:invoke name="name">`
    /// with `<atem:parameter name="key">value</atem:parameter>`.
    MuseGlimmer,
    /// For all others: `{"name": …, "arguments": …}`, several as a list, bare or in a fence.
    Json,
}

/// A marker of a [`ToolFormat`] that is a token of its own without text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlToken {
    /// The marker.
    pub text: &'static str,
    /// The token.
    pub id: u32,
}

impl ToolFormat {
    /// Every format.
    pub const ALL: [Self; 41] = [
        Self::Hermes,
        Self::Llama3,
        Self::Mistral,
        Self::MistralV11,
        Self::Gemma,
        Self::FunctionGemma,
        Self::Gemma4,
        Self::Qwen3Coder,
        Self::SeedOss,
        Self::Glm45,
        Self::Glm47,
        Self::Hunyuan3,
        Self::MiniMaxM1,
        Self::MiniMaxM2,
        Self::MiniMaxM3,
        Self::MiniCpm5,
        Self::DeepSeekV3,
        Self::DeepSeekV31,
        Self::DeepSeekV32,
        Self::DeepSeekV4,
        Self::KimiK2,
        Self::KimiK3,
        Self::GptOss,
        Self::CommandR,
        Self::CommandR7b,
        Self::Granite,
        Self::Nemotron,
        Self::Apriel,
        Self::Apertus,
        Self::Lfm2,
        Self::Olmo3,
        Self::Functionary31,
        Self::Functionary32,
        Self::Functools,
        Self::SolarOpen,
        Self::GigaChat3,
        Self::GigaChat31,
        Self::InternLm2,
        Self::LongCat,
        Self::MuseGlimmer,
        Self::Json,
    ];

    /// A short name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hermes => "hermes",
            Self::Llama3 => "llama-3",
            Self::Mistral => "mistral",
            Self::MistralV11 => "mistral-v11",
            Self::Gemma => "gemma",
            Self::FunctionGemma => "function-gemma",
            Self::Gemma4 => "gemma-4",
            Self::Qwen3Coder => "qwen-3-coder",
            Self::SeedOss => "seed-oss",
            Self::Glm45 => "glm-4.5",
            Self::Glm47 => "glm-4.7",
            Self::Hunyuan3 => "hunyuan-3",
            Self::MiniMaxM1 => "minimax-m1",
            Self::MiniMaxM2 => "minimax-m2",
            Self::MiniMaxM3 => "minimax-m3",
            Self::MiniCpm5 => "minicpm-5",
            Self::DeepSeekV3 => "deepseek-v3",
            Self::DeepSeekV31 => "deepseek-v3.1",
            Self::DeepSeekV32 => "deepseek-v3.2",
            Self::DeepSeekV4 => "deepseek-v4",
            Self::KimiK2 => "kimi-k2",
            Self::KimiK3 => "kimi-k3",
            Self::GptOss => "gpt-oss",
            Self::CommandR => "command-r",
            Self::CommandR7b => "command-r7b",
            Self::Granite => "granite",
            Self::Nemotron => "nemotron",
            Self::Apriel => "apriel",
            Self::Apertus => "apertus",
            Self::Lfm2 => "lfm-2",
            Self::Olmo3 => "olmo-3",
            Self::Functionary31 => "functionary-3.1",
            Self::Functionary32 => "functionary-3.2",
            Self::Functools => "functools",
            Self::SolarOpen => "solar-open",
            Self::GigaChat3 => "gigachat-3",
            Self::GigaChat31 => "gigachat-3.1",
            Self::InternLm2 => "internlm-2",
            Self::LongCat => "longcat",
            Self::MuseGlimmer => "muse-glimmer",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for ToolFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
