//! The table of what model families write around calls, and of what is read there.

mod json;
mod named;
mod objects;
mod params;
mod values;

use super::name::ToolFormat;
use crate::schema::{Arguments, Params, Style};

/// Most white space where a [`Part::Gap`] is, in bytes.
pub(super) const MAX_GAP: usize = 16;

/// A part of what stands around the arguments of a call.
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
    /// An id that the model makes up of letters and digits, this many.
    Id(u32),
    /// What may be left out; it is not written.
    Maybe(&'static [Part]),
    /// What was written up to here is a call and nothing else.
    Here,
    /// What follows: it has to be seen before this is taken for a call, but is a part of what
    /// comes next.
    Ahead(&'static str),
}

/// A way to write calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Whether it counts only at the beginning of the reply or of what follows its thinking,
    /// apart from white space.
    pub anchored: bool,
    /// What may stand around all calls; the first is what the family writes.
    pub around: &'static [Around],
    /// How a call may look; the first is what the family writes.
    pub calls: &'static [&'static [Part]],
    pub style: Style,
    pub arguments: Arguments,
    /// Whether it is read, but never written.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "for grammars"))]
    pub read_only: bool,
}

/// What stands around all calls of a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub before: &'static [Part],
    /// Between two calls; without one, the reply has one call.
    pub between: Option<&'static str>,
    pub after: &'static str,
}

/// How a call begins where one may stand, and what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub parts: &'static [Part],
    pub body: Body,
}

/// What a call is behind its head.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// The rest of an object whose brace was read, with the name and the arguments.
    Object,
    /// The rest of an object whose brace was read, with the name as its only key.
    Keyed,
    /// The arguments as JSON.
    Json,
    /// The arguments as an object whose texts stand between marks.
    Marked(&'static str),
    /// The arguments one by one, up to one of these texts.
    Params(&'static Params, &'static [&'static str]),
    /// The arguments as Python has them, up to the closing bracket.
    Keywords,
    /// The arguments as elements behind this mark, up to the end of the element with this name.
    Elements(&'static str, &'static str),
}

/// A text that says what is thought and what is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub parts: &'static [Part],
    /// Whether it counts only where an anchored layout does.
    pub anchored: bool,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The thinking begins.
    Think,
    /// The thinking ends.
    Thought,
    /// What is said begins.
    Answer,
    /// It tells nothing to who reads the reply.
    Frame,
}

/// What ids of calls look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// Nine letters and digits.
    Letters,
    /// `functions.name:number`.
    Numbered,
}

/// All that is known of a family's calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// How calls are written and how they begin; the first is the family's own.
    pub layouts: &'static [Layout],
    /// How a call begins once the reply has come to calls.
    pub heads: &'static [Head],
    /// What may stand before a call.
    pub openers: &'static [&'static str],
    /// What may stand between calls, apart from white space.
    pub between: &'static [&'static str],
    /// What may stand behind a call.
    pub closers: &'static [&'static str],
    /// Whether a call behind a closer needs an opener.
    pub enclosed: bool,
    /// Whether nothing but the name tells a call from something else.
    pub unmarked: bool,
    /// Names that mean something else than a tool.
    pub reserved: &'static [&'static str],
    /// What marks the thinking, apart from `<think>` and `</think>`, and what frames the text.
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

    /// What this format's family has.
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
            ToolFormat::GptOss => &named::GPT_OSS,
            ToolFormat::Functionary31 => &named::FUNCTIONARY31,
            ToolFormat::Functionary32 => &named::FUNCTIONARY32,
            ToolFormat::SolarOpen => &named::SOLAR_OPEN,
            ToolFormat::Qwen3Coder => &params::QWEN3_CODER,
            ToolFormat::SeedOss => &params::SEED_OSS,
            ToolFormat::Glm45 => &params::GLM45,
            ToolFormat::Glm47 => &params::GLM47,
            ToolFormat::Hunyuan3 => &params::HUNYUAN3,
            ToolFormat::MiniMaxM2 => &params::MINIMAX_M2,
            ToolFormat::MiniCpm5 => &params::MINICPM5,
            ToolFormat::DeepSeekV32 => &params::DEEPSEEK_V32,
            ToolFormat::DeepSeekV4 => &params::DEEPSEEK_V4,
            ToolFormat::KimiK3 => &params::KIMI_K3,
            ToolFormat::MuseGlimmer => &params::MUSE_GLIMMER,
            ToolFormat::FunctionGemma => &values::FUNCTION_GEMMA,
            ToolFormat::Gemma4 => &values::GEMMA4,
            ToolFormat::Lfm2 => &values::LFM2,
            ToolFormat::Olmo3 => &values::OLMO3,
            ToolFormat::MiniMaxM3 => &values::MINIMAX_M3,
        }
    }
}

impl Around {
    /// Nothing around calls that these stand between.
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
