//! The formats, each with its name.

/// The notation in which a family of models writes its tool calls.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum ToolFormat {
    /// Hermes, Qwen 2.5 and 3, Granite 4, `SmolLM3` and many more: `<tool_call>\n{"name": …,
    /// "arguments": …}\n</tool_call>`, one block for each call (the function calling format of Nous
    /// Research).
    Hermes,
    /// Llama 3 and 4: the reply is `{"name": …, "parameters": …}`, several are separated by `; `
    /// (Meta's prompt format of Llama 3.1, "JSON based tool calling"), optionally after
    /// `<|python_tag|>`; from 3.2 on also `[name(key=value, …), …]`.
    #[strum(to_string = "llama-3")]
    Llama3,
    /// Mistral from tokenizer version 3 on: `[TOOL_CALLS] [{"name": …, "arguments": …}]`, with an
    /// optional `"id"` after the arguments.
    Mistral,
    /// Mistral from tokenizer version 11 on: `[TOOL_CALLS]name[ARGS]{…}` for each call, with an
    /// optional `[CALL_ID]` and id before `[ARGS]` (the chat templates of Mistral Small 3.2,
    /// Magistral, Devstral and Ministral 3).
    MistralV11,
    /// Gemma 2 and 3: `{"name": …, "parameters": …}`, bare or in a fence, as in the prompt of
    /// Google's guide to function calling with Gemma.
    Gemma,
    /// `FunctionGemma`: `<start_function_call>call:name{key:<escape>text<escape>,n:1}
    /// <end_function_call>` without the line break, with bare keys and texts between markers (the
    /// chat template of Google's `FunctionGemma` 270M).
    FunctionGemma,
    /// Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,n:1}<tool_call|>`.
    #[strum(to_string = "gemma-4")]
    Gemma4,
    /// Qwen3-Coder: `<tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n
    /// </function>\n</tool_call>` without spaces; texts stand as they are, all else is JSON (the
    /// chat template of Qwen3-Coder-30B-A3B-Instruct, which Qwen3.5, Nemotron 3 and Step 3.5
    /// share).
    #[strum(to_string = "qwen-3-coder")]
    Qwen3Coder,
    /// Seed-OSS: as Qwen3-Coder, but in `<seed:tool_call>` and without line breaks around values.
    SeedOss,
    /// GLM 4.5 and 4.6, Laguna XS, Ling 3: `<tool_call>name\n<arg_key>key</arg_key>\n
    /// <arg_value>value</arg_value>\n</tool_call>` without spaces.
    #[strum(to_string = "glm-4.5")]
    Glm45,
    /// GLM 4.7 and 5, Spark 2.5, Laguna S: as GLM 4.5 without line breaks.
    #[strum(to_string = "glm-4.7")]
    Glm47,
    /// Hunyuan 3: as GLM 4.5, but with tags such as `<tool_call:opensource>`.
    #[strum(to_string = "hunyuan-3")]
    Hunyuan3,
    /// `MiniMax` M1: `<tool_calls>\n{"name": …, "arguments": …}\n</tool_calls>`, a line for each
    /// call.
    #[strum(to_string = "minimax-m1")]
    MiniMaxM1,
    /// `MiniMax` M2: `<minimax:tool_call>\n<invoke name="name">\n<parameter name="key">value
    /// </parameter>\n</invoke>\n</minimax:tool_call>` without the line break.
    #[strum(to_string = "minimax-m2")]
    MiniMaxM2,
    /// `MiniMax` M3: nested elements, each tag after `]<]minimax[>[`.
    #[strum(to_string = "minimax-m3")]
    MiniMaxM3,
    /// `MiniCPM` 5: `<function name="name"><param name="key">value</param></function>`.
    #[strum(to_string = "minicpm-5")]
    MiniCpm5,
    /// `DeepSeek` V3 and R1: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n
    /// ```json\n{…}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>` without spaces.
    #[strum(to_string = "deepseek-v3")]
    DeepSeekV3,
    /// `DeepSeek` V3.1: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}
    /// <｜tool▁call▁end｜><｜tool▁calls▁end｜>` without spaces.
    #[strum(to_string = "deepseek-v3.1")]
    DeepSeekV31,
    /// `DeepSeek` V3.2: `<｜DSML｜function_calls>` around `<｜DSML｜invoke name="name">` with
    /// `<｜DSML｜parameter name="key" string="true">text</｜DSML｜parameter>`.
    #[strum(to_string = "deepseek-v3.2")]
    DeepSeekV32,
    /// `DeepSeek` V4: as V3.2, but in `<｜DSML｜tool_calls>`.
    #[strum(to_string = "deepseek-v4")]
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
    #[strum(to_string = "lfm-2")]
    Lfm2,
    /// `OLMo` 3: `<function_calls>name(key=value, …)</function_calls>`, a line for each call.
    #[strum(to_string = "olmo-3")]
    Olmo3,
    /// Functionary 3.1: `<function=name>{…}</function>`.
    #[strum(to_string = "functionary-3.1")]
    Functionary31,
    /// Functionary 3.2: `name
    /// {…}`, further calls after `>>>`, and text as `all
    /// …`.
    #[strum(to_string = "functionary-3.2")]
    Functionary32,
    /// Firefunction 2: `functools[{"name": …, "arguments": …}]`.
    Functools,
    /// Solar Open: `<|tool_calls|><|tool_call:begin|>id<|tool_call:name|>name<|tool_call:args|>{…}
    /// <|tool_call:end|>` without the line break.
    SolarOpen,
    /// `GigaChat` 3: `function call<|role_sep|>\n{"name": …, "arguments": …}`.
    #[strum(to_string = "gigachat-3")]
    GigaChat3,
    /// `GigaChat` 3.1: `<|function_call|>{"name": …, "arguments": …}`.
    #[strum(to_string = "gigachat-3.1")]
    GigaChat31,
    /// `InternLM` 2.5: `<|action_start|><|plugin|>\n{"name": …, "parameters": …}<|action_end|>`.
    #[strum(to_string = "internlm-2")]
    InternLm2,
    /// `LongCat`: as Hermes, but in `<longcat_tool_call>`.
    #[strum(to_string = "longcat")]
    LongCat,
    /// Muse Glimmer: ` to=name<|message|><atem:function_calls>` around `<atem:invoke name="name">`
    /// with `<atem:parameter name="key">value</atem:parameter>`.
    MuseGlimmer,
    /// For all others: `{"name": …, "arguments": …}`, several as a list, bare or in a fence.
    Json,
}

/// A marker of a [`ToolFormat`] that is a separate token without text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlToken {
    /// The marker.
    pub text: &'static str,
    /// The token.
    pub id: u32,
}

impl ToolFormat {
    /// Every format.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// A short name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
