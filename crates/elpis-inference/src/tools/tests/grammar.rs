//! The grammar of every family takes what the family writes.

use std::sync::Arc;

use super::*;
use crate::tools::ControlToken;
use crate::{Grammar, Guide, Scope, Vocabulary};

const FIRST_CONTROL: u32 = 256;

/// All bytes, the markers of a format and an end.
fn vocabulary(format: ToolFormat) -> (Arc<Vocabulary>, Vec<ControlToken>) {
    let control: Vec<_> = (FIRST_CONTROL..)
        .zip(format.markers())
        .map(|(id, text)| ControlToken { text, id })
        .collect();
    let size = 256 + control.len() + 1;
    let piece = |token: u32, out: &mut Vec<u8>| out.extend(u8::try_from(token).ok());
    let end = size as u32 - 1;
    let vocabulary = Vocabulary::new(size, piece, |token| token == end);
    (Arc::new(vocabulary.unwrap()), control)
}

/// How far a guide takes a reply; whether it may end there.
fn taken(guide: &mut Guide, control: &[ControlToken], reply: &str) -> Result<bool, usize> {
    let mut at = 0;
    while at < reply.len() {
        let rest = &reply.as_bytes()[at..];
        let own = control
            .iter()
            .filter(|token| rest.starts_with(token.text.as_bytes()));
        let own = own.max_by_key(|token| token.text.len());
        let (token, length) = own.map_or((u32::from(rest[0]), 1), |own| (own.id, own.text.len()));
        let mut piece = rest[..length].to_vec();
        if guide.accept(token, &mut piece).is_err() {
            return Err(at);
        }
        at += length;
    }
    Ok(guide.is_accepting())
}

/// A format's grammar for the tools, for many replies.
struct Compiled {
    format: ToolFormat,
    tools: ToolSet,
    vocabulary: Arc<Vocabulary>,
    control: Vec<ControlToken>,
    grammar: Grammar,
    lark: String,
}

impl Compiled {
    fn new(format: ToolFormat, tools: ToolSet, parallel: bool, with_tokens: bool) -> Self {
        let (vocabulary, control) = vocabulary(format);
        let control = if with_tokens { control } else { Vec::new() };
        let lark = format.grammar(tools.tools(), parallel, &control).unwrap();
        let grammar = Grammar::of_tools(lark.clone());
        Self {
            format,
            tools,
            vocabulary,
            control,
            grammar,
            lark,
        }
    }

    fn guide(&self, free: bool) -> Guide {
        let control = self.control.clone();
        let scope = if free {
            Scope::FromOpening {
                format: self.format,
                names: self.tools.names().map(str::to_owned).collect(),
                control,
                thinking: false,
            }
        } else {
            Scope::Calls(control)
        };
        let guide = self.vocabulary.compile(&self.grammar, scope);
        guide.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.format, self.lark))
    }

    /// Whether the grammar takes a reply, from its beginning on and from the opening on.
    fn takes(&self, reply: &str) -> bool {
        [false, true].into_iter().all(|free| {
            let mut guide = self.guide(free);
            taken(&mut guide, &self.control, reply) == Ok(true) && guide.is_active()
        })
    }

    /// How far it takes a reply, for messages.
    fn told(&self, reply: &str) -> String {
        let told = |free| {
            let taken = taken(&mut self.guide(free), &self.control, reply);
            let at = taken.err().unwrap_or(reply.len());
            format!("{taken:?}: {} | {}", &reply[..at], &reply[at..])
        };
        format!(
            "{}: {}\n{}\n{}",
            self.format,
            told(false),
            told(true),
            self.lark
        )
    }
}

#[test]
fn grammars_take_what_their_family_writes() {
    for &format in ToolFormat::ALL {
        for with_tokens in [false, true] {
            let compiled = Compiled::new(format, tools(), false, with_tokens);
            for arguments in arguments() {
                let said = arguments.to_string();
                // No text has control tokens in it.
                let has_token = |token: &ControlToken| said.contains(token.text);
                if !can_write(format, &arguments) || compiled.control.iter().any(has_token) {
                    continue;
                }
                let reply = format.write_calls(&[call("get_weather", &arguments)]);
                assert!(compiled.takes(&reply), "{}", compiled.told(&reply));
            }
            for name in ["now", "now.in-zone_2"] {
                let reply = format.write_calls(&[call(name, &json!({}))]);
                assert!(compiled.takes(&reply), "{}", compiled.told(&reply));
            }
        }
        if is_parallel(format) {
            let compiled = Compiled::new(format, tools(), true, true);
            let two = [
                call("get_weather", &json!({"city": "Paris"})),
                call("now", &json!({})),
            ];
            let reply = format.write_calls(&two);
            assert!(compiled.takes(&reply), "{}", compiled.told(&reply));
        }
    }
}
