//! Matches the parts around calls with the text of a reply.

use std::collections::BTreeSet;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::definition::MAX_TOOL_NAME;
use super::family::{MAX_GAP, Part};

/// Maximum length of an id that a model invents, in bytes.
const MAX_ID: usize = 64;

/// Maximum number of digits of a call's number.
const MAX_DIGITS: usize = 6;

/// How far a text matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    No,
    /// The whole text may be the beginning of a match.
    Partly,
    Whole(Found),
}

/// A match of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Length in bytes, without look-ahead.
    pub length: usize,
    pub name: Option<Range<usize>>,
    pub id: Option<Range<usize>>,
    pub index: Option<Range<usize>>,
}

/// Names that a tool can have.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// The only allowed names, if known.
    known: Option<Arc<BTreeSet<String>>>,
    /// Names with another meaning.
    reserved: &'static [&'static str],
}

impl Names {
    /// Any name but these.
    pub fn any(reserved: &'static [&'static str]) -> Self {
        Self {
            known: None,
            reserved,
        }
    }

    /// Only the names of the offered tools.
    pub fn known(self, names: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: Some(Arc::new(names.into_iter().collect())),
            ..self
        }
    }

    pub fn has(&self, name: &str) -> bool {
        let known = self.known.as_ref();
        known.is_none_or(|known| known.contains(name)) && !self.reserved.contains(&name)
    }

    /// Whether a name begins with `start`.
    fn may_have(&self, start: &str) -> bool {
        match &self.known {
            None => start.len() <= MAX_TOOL_NAME,
            Some(known) => {
                let from = (Bound::Included(start), Bound::Unbounded);
                let mut from = known.range::<str, _>(from);
                from.next().is_some_and(|name| name.starts_with(start))
            }
        }
    }
}

/// Parts and their continuation.
#[derive(Clone, Copy)]
struct Sequence<'a> {
    parts: &'a [Part],
    then: Option<&'a Sequence<'a>>,
}

/// Matches the text with the parts in order.
pub(super) fn fit(parts: &[&[Part]], text: &[u8], names: &Names) -> Fit {
    fn linked(parts: &[&[Part]], then: Option<&Sequence<'_>>, text: &[u8], names: &Names) -> Fit {
        match parts.split_last() {
            None => match then {
                Some(sequence) => sequence.fit(text, 0, Found::default(), names),
                None => Fit::No,
            },
            Some((last, before)) => {
                let sequence = Sequence { parts: last, then };
                linked(before, Some(&sequence), text, names)
            }
        }
    }
    linked(parts, None, text, names)
}

impl Sequence<'_> {
    fn fit(&self, text: &[u8], mut at: usize, mut found: Found, names: &Names) -> Fit {
        for (place, part) in self.parts.iter().enumerate() {
            let rest = &text[at..];
            match part {
                Part::Text(wanted) => match rest.strip_prefix(wanted.as_bytes()) {
                    Some(_) => at += wanted.len(),
                    None if wanted.as_bytes().starts_with(rest) => return Fit::Partly,
                    None => return Fit::No,
                },
                Part::Ahead(wanted) => {
                    if !rest.starts_with(wanted.as_bytes()) {
                        let partly = wanted.as_bytes().starts_with(rest);
                        return if partly { Fit::Partly } else { Fit::No };
                    }
                }
                Part::Gap(_) => {
                    let gap = run(rest, is_space);
                    if gap > MAX_GAP {
                        return Fit::No;
                    }
                    at += gap;
                }
                Part::Name => {
                    let length = run(rest, is_name_byte);
                    let name = std::str::from_utf8(&rest[..length]).unwrap_or_default();
                    if length == rest.len() {
                        let may = length <= MAX_TOOL_NAME && names.may_have(name);
                        return if may { Fit::Partly } else { Fit::No };
                    }
                    if length == 0 || length > MAX_TOOL_NAME || !names.has(name) {
                        return Fit::No;
                    }
                    found.name = Some(at..at + length);
                    at += length;
                }
                Part::Index(_) | Part::Id(_) => {
                    let (is_part, most): (fn(u8) -> bool, _) = match part {
                        Part::Index(_) => (|byte| byte.is_ascii_digit(), MAX_DIGITS),
                        _ => (|byte| is_name_byte(byte) || byte == b':', MAX_ID),
                    };
                    let length = run(rest, is_part);
                    if length > most || length == 0 && !rest.is_empty() {
                        return Fit::No;
                    }
                    if length == rest.len() {
                        return Fit::Partly;
                    }
                    let range = Some(at..at + length);
                    match part {
                        Part::Index(_) => found.index = range,
                        _ => found.id = range,
                    }
                    at += length;
                }
                Part::Maybe(inner) => {
                    let rest = Sequence {
                        parts: &self.parts[place + 1..],
                        then: self.then,
                    };
                    let with = Sequence {
                        parts: inner,
                        then: Some(&rest),
                    };
                    let with = with.fit(text, at, found.clone(), names);
                    if matches!(with, Fit::Whole(_)) {
                        return with;
                    }
                    let without = rest.fit(text, at, found, names);
                    return if without == Fit::No { with } else { without };
                }
                Part::Here | Part::Arguments => {}
            }
        }
        if let Some(then) = self.then {
            return then.fit(text, at, found, names);
        }
        found.length = at;
        Fit::Whole(found)
    }
}

fn run(text: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_part(**byte)).count()
}

/// White space as in JSON.
pub(super) fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

/// Whether a byte can occur in a tool's name.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::Part::{Ahead, Gap, Id, Index, Maybe, Name, Text};
    use super::*;

    const HEAD: &[Part] = &[
        Text("<call>"),
        Gap(""),
        Maybe(&[Text("of.")]),
        Name,
        Maybe(&[Text(":"), Index(0)]),
        Gap(""),
        Ahead("{"),
    ];

    #[test]
    fn a_text_fits_partly_until_it_fits_as_a_whole_or_not_at_all() {
        let known = Names::default().known(["f", "fa", "of.g", "all"].map(str::to_owned));
        let any = Names::any(&["all"]);
        for (text, names, length, name) in [
            ("<call>f{", &any, 7, "f"),
            ("<call>\n fa \n{\"", &known, 12, "fa"),
            ("<call>of.f{", &known, 10, "f"),
            ("<call>of.g{", &known, 10, "of.g"),
            ("<call>f:12{", &known, 10, "f"),
        ] {
            let bytes = text.as_bytes();
            let end = text.find('{').unwrap() + 1;
            for cut in 0..end {
                assert_eq!(
                    fit(&[HEAD], &bytes[..cut], names),
                    Fit::Partly,
                    "{text} {cut}"
                );
            }
            let Fit::Whole(found) = fit(&[HEAD], bytes, names) else {
                panic!("{text}");
            };
            assert_eq!(found.length, length, "{text}");
            assert_eq!(&text[found.name.unwrap()], name, "{text}");
            let halves = [&HEAD[..2], &HEAD[2..]];
            assert!(matches!(fit(&halves, bytes, names), Fit::Whole(_)));
        }
        for text in [
            "<cal ",
            "<call>x{",
            "<call>f(",
            "<call>f:{",
            "<call>                 f{",
            "<call>é",
        ] {
            assert_eq!(fit(&[HEAD], text.as_bytes(), &known), Fit::No, "{text}");
        }
        assert_eq!(fit(&[HEAD], b"<call>all{", &any), Fit::No);
        assert!(matches!(fit(&[HEAD], b"<call>all{", &known), Fit::Whole(_)));
        let long = format!("<call>{}", "f".repeat(MAX_TOOL_NAME + 1));
        assert_eq!(fit(&[HEAD], long.as_bytes(), &any), Fit::No);
        let id: &[Part] = &[Id(9), Text("|")];
        assert!(matches!(
            fit(&[id], b"ab:1|", &known),
            Fit::Whole(Found { id: Some(_), .. })
        ));
        assert_eq!(fit(&[id], &[b'a'; MAX_ID + 1], &known), Fit::No);
        assert_eq!(fit(&[id], b"|", &known), Fit::No);
    }
}
