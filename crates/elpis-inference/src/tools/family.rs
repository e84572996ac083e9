//! The table of the notations in which model families write calls.

mod channels;
mod invoke;
mod json;
mod named;
mod objects;
mod params;
mod values;

use super::name::ToolFormat;
use crate::schema::{Arguments, Params, Style};

/// Maximum white space at a [`Part::Gap`], in bytes.
pub(super) const MAX_GAP: usize = 16;

/// A part of the text around the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Text(&'static str),
    /// White space, as the family writes it; up to [`MAX_GAP`] bytes of any are read.
    Gap(&'static str),
    /// The tool's name.
    Name,
    /// The arguments.
    Arguments,
    /// The number of the call, counted from this one.
    Index(u32),
    /// An id of this many letters and digits, which the model invents.
    Id(u32),
    /// An optional part, which is read but not written.
    Maybe(&'static [Part]),
    /// Up to here, the text is unmistakably a call.
    Here,
    /// Look-ahead: it must follow for this to be a call, but belongs to the next part.
    Ahead(&'static str),
}

/// A way to write calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Whether it only counts at the beginning of the reply, or right after its thinking, ignoring
    /// white space.
    pub anchored: bool,
    /// The text that may surround all calls. The first is what the family writes.
    pub around: &'static [Around],
    /// The possible forms of a call. The first is what the family writes.
    pub calls: &'static [&'static [Part]],
    pub style: Style,
    pub arguments: Arguments,
    /// Whether it is read but never written.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "for grammars"))]
    pub read_only: bool,
}

/// The text around all calls of a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub before: &'static [Part],
    /// The separator between two calls; without one, the reply has a single call.
    pub between: Option<&'static str>,
    pub after: &'static str,
}

/// The beginning of a call, and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub parts: &'static [Part],
    pub body: Body,
}

/// The body of a call after its head.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// The rest of an object after its brace, with the name and the arguments.
    Object,
    /// The rest of an object after its brace, with the name as its only key.
    Keyed,
    /// The arguments as JSON.
    Json,
    /// The arguments as an object whose texts are enclosed in marks.
    Marked(&'static str),
    /// The arguments one by one, up to one of these texts.
    Params(&'static Params, &'static [&'static str]),
    /// The arguments in Python syntax, up to the closing bracket.
    Keywords,
    /// The arguments as elements after this mark, up to the end of the element with this name.
    Elements(&'static str, &'static str),
}

/// A text that separates thinking from the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub parts: &'static [Part],
    /// Whether it only counts where an anchored layout does.
    pub anchored: bool,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The thinking begins.
    Think,
    /// The thinking ends.
    Thought,
    /// The answer begins.
    Answer,
    /// The text is framing without meaning for the reader.
    Frame,
}

/// The form of calls' ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// Nine letters and digits.
    Letters,
    /// `functions.name:number`.
    Numbered,
}

/// The notation of a family's calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// The layouts of calls. The first is the family's own.
    pub layouts: &'static [Layout],
    /// The beginnings of a call once the reply has reached its calls.
    pub heads: &'static [Head],
    /// Text that may precede a call.
    pub openers: &'static [&'static str],
    /// Text that may separate calls, apart from white space.
    pub between: &'static [&'static str],
    /// Text that may follow a call.
    pub closers: &'static [&'static str],
    /// Whether a call after a closer needs an opener.
    pub enclosed: bool,
    /// Whether only the name distinguishes a call from other text.
    pub unmarked: bool,
    /// Names that do not refer to a tool.
    pub reserved: &'static [&'static str],
    /// Marks of thinking besides `<think>` and `</think>`, and framing of text.
    pub marks: &'static [Mark],
    /// Whether calls are made while thinking.
    pub calls_while_thinking: bool,
    /// Whether its control tokens announce texts as well as calls.
    pub framed: bool,
    /// Texts that may be control tokens of the model.
    pub control: &'static [&'static str],
    pub ids: Ids,
}

impl Family {
    const PLAIN: Self = Self {
        layouts: &[],
        heads: &[],
        openers: &[],
        between: &[],
        closers: &[],
        enclosed: false,
        unmarked: false,
        reserved: &[],
        marks: &[],
        calls_while_thinking: false,
        framed: false,
        control: &[],
        ids: Ids::Letters,
    };

    /// The family of a format.
    pub const fn of(format: ToolFormat) -> &'static Self {
        match format {
            ToolFormat::Hermes => &json::HERMES,
            ToolFormat::Llama3 => &json::LLAMA3,
            ToolFormat::Mistral => &json::MISTRAL,
            ToolFormat::Gemma => &json::GEMMA,
            ToolFormat::Json => &json::JSON,
            ToolFormat::Granite => &objects::GRANITE,
            ToolFormat::Nemotron => &objects::NEMOTRON,
            ToolFormat::CommandR => &objects::COMMAND_R,
            ToolFormat::CommandR7b => &objects::COMMAND_R7B,
            ToolFormat::MiniMaxM1 => &objects::MINIMAX_M1,
            ToolFormat::Apriel => &objects::APRIEL,
            ToolFormat::Apertus => &objects::APERTUS,
            ToolFormat::Functools => &objects::FUNCTOOLS,
            ToolFormat::GigaChat3 => &objects::GIGACHAT3,
            ToolFormat::GigaChat31 => &objects::GIGACHAT31,
            ToolFormat::InternLm2 => &objects::INTERN_LM2,
            ToolFormat::LongCat => &objects::LONG_CAT,
            ToolFormat::MistralV11 => &named::MISTRAL_V11,
            ToolFormat::DeepSeekV3 => &named::DEEPSEEK_V3,
            ToolFormat::DeepSeekV31 => &named::DEEPSEEK_V31,
            ToolFormat::KimiK2 => &named::KIMI_K2,
            ToolFormat::GptOss => &channels::GPT_OSS,
            ToolFormat::Functionary31 => &named::FUNCTIONARY31,
            ToolFormat::Functionary32 => &named::FUNCTIONARY32,
            ToolFormat::SolarOpen => &named::SOLAR_OPEN,
            ToolFormat::Qwen3Coder => &params::QWEN3_CODER,
            ToolFormat::SeedOss => &params::SEED_OSS,
            ToolFormat::Glm45 => &params::GLM45,
            ToolFormat::Glm47 => &params::GLM47,
            ToolFormat::Hunyuan3 => &params::HUNYUAN3,
            ToolFormat::MiniMaxM2 => &invoke::MINIMAX_M2,
            ToolFormat::MiniCpm5 => &invoke::MINICPM5,
            ToolFormat::DeepSeekV32 => &invoke::DEEPSEEK_V32,
            ToolFormat::DeepSeekV4 => &invoke::DEEPSEEK_V4,
            ToolFormat::KimiK3 => &invoke::KIMI_K3,
            ToolFormat::MuseGlimmer => &channels::MUSE_GLIMMER,
            ToolFormat::FunctionGemma => &values::FUNCTION_GEMMA,
            ToolFormat::Gemma4 => &values::GEMMA4,
            ToolFormat::Lfm2 => &values::LFM2,
            ToolFormat::Olmo3 => &values::OLMO3,
            ToolFormat::MiniMaxM3 => &values::MINIMAX_M3,
        }
    }
}

impl Around {
    /// No surrounding text, with this separator between calls.
    const fn bare(between: Option<&'static str>) -> Self {
        Self {
            before: &[],
            between,
            after: "",
        }
    }
}

impl Layout {
    const JSON: Self = Self {
        anchored: false,
        around: &[Around::bare(Some(""))],
        calls: &[],
        style: Style::Json,
        arguments: Arguments::Object,
        read_only: false,
    };
}

const fn mark(parts: &'static [Part], role: Role) -> Mark {
    Mark {
        parts,
        anchored: false,
        role,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_writes_calls_that_begin_somewhere() {
        for &format in ToolFormat::ALL {
            let family = Family::of(format);
            for layout in family.layouts {
                for call in layout.calls {
                    let has = |part| call.contains(&part);
                    assert!(has(Part::Arguments) || layout.read_only, "{format}");
                    for around in layout.around {
                        let mut parts = around.before.iter().chain(*call);
                        assert!(parts.any(|part| *part == Part::Here), "{format}");
                    }
                }
            }
            assert!(
                !family.layouts[0].read_only && !family.heads.is_empty(),
                "{format}"
            );
        }
    }
}
