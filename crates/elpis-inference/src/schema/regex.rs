//! Regular expressions over characters, with intersection and complement, which llguidance supports.

mod codec;

use std::fmt::Write;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

pub(crate) use codec::Codec;

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Regex {
    /// No text.
    Nothing,
    /// The empty text.
    Empty,
    /// One of these characters.
    Class(ClassUnicode),
    /// An ASCII expression in the syntax of the crate `regex`, which no [`Codec`] changes.
    Raw(String),
    Concat(Vec<Regex>),
    Alt(Vec<Regex>),
    And(Vec<Regex>),
    /// Every other text.
    Not(Box<Regex>),
    /// A repetition with its minimum and maximum count. Without a maximum it is unbounded.
    Repeat(Box<Regex>, u32, Option<u32>),
}

impl Regex {
    /// Every text.
    pub fn any() -> Self {
        Self::Repeat(Box::new(Self::Class(every())), 0, None)
    }

    /// Every text whose length in characters is in this range.
    pub fn of_length(least: u32, most: Option<u32>) -> Self {
        Self::Class(every()).repeated(least, most)
    }

    pub fn is_any(&self) -> bool {
        matches!(self, Self::Repeat(inner, 0, None)
            if matches!(inner.as_ref(), Self::Class(class) if *class == every()))
    }

    /// Only this text.
    pub fn literal(text: &str) -> Self {
        Self::concat(
            text.chars().map(|letter| {
                Self::Class(ClassUnicode::new([ClassUnicodeRange::new(letter, letter)]))
            }),
        )
    }

    pub fn concat(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => return Self::Nothing,
                Self::Empty => {}
                Self::Concat(parts) => all.extend(parts),
                part if part.is_any() && all.last().is_some_and(Self::is_any) => {}
                part => all.push(part),
            }
        }
        match all.len() {
            0 => Self::Empty,
            1 => all.remove(0),
            _ => Self::Concat(all),
        }
    }

    pub fn alt(ways: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for way in ways {
            match way {
                Self::Nothing => {}
                way if way.is_any() => return way,
                Self::Alt(ways) => all.extend(ways),
                way if all.contains(&way) => {}
                way => all.push(way),
            }
        }
        match all.len() {
            0 => Self::Nothing,
            1 => all.remove(0),
            _ => Self::Alt(all),
        }
    }

    pub fn and(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => return Self::Nothing,
                part if part.is_any() => {}
                Self::And(parts) => all.extend(parts),
                part if all.contains(&part) => {}
                part => all.push(part),
            }
        }
        match all.len() {
            0 => Self::any(),
            1 => all.remove(0),
            _ => Self::And(all),
        }
    }

    pub fn not(self) -> Self {
        match self {
            Self::Nothing => Self::any(),
            Self::Not(inner) => *inner,
            part if part.is_any() => Self::Nothing,
            part => Self::Not(Box::new(part)),
        }
    }

    pub fn repeated(self, least: u32, most: Option<u32>) -> Self {
        match (self, least, most) {
            (_, least, Some(most)) if least > most => Self::Nothing,
            (_, 0, Some(0)) | (Self::Empty | Self::Nothing, 0, _) | (Self::Empty, ..) => {
                Self::Empty
            }
            (Self::Nothing, ..) => Self::Nothing,
            (part, 1, Some(1)) => part,
            (part, least, most) => Self::Repeat(Box::new(part), least, most),
        }
    }

    /// Every text that contains one of these.
    pub fn containing(self) -> Self {
        Self::concat([Self::any(), self, Self::any()])
    }

    /// Whether the set contains the empty text.
    pub fn is_nullable(&self) -> bool {
        match self {
            Self::Nothing | Self::Class(_) | Self::Raw(_) => false,
            Self::Empty => true,
            Self::Concat(parts) | Self::And(parts) => parts.iter().all(Self::is_nullable),
            Self::Alt(ways) => ways.iter().any(Self::is_nullable),
            Self::Not(inner) => !inner.is_nullable(),
            Self::Repeat(inner, least, _) => *least == 0 || inner.is_nullable(),
        }
    }

    /// The texts as a codec writes them.
    pub fn coded(&self, codec: &Codec) -> Self {
        let all =
            |parts: &[Self]| -> Vec<Self> { parts.iter().map(|part| part.coded(codec)).collect() };
        match self {
            Self::Class(class) => codec.class(class),
            Self::Concat(parts) => Self::concat(all(parts)),
            Self::Alt(ways) => Self::alt(all(ways)),
            Self::And(parts) => Self::and(all(parts)),
            // The complement also contains texts that the codec never writes.
            Self::Not(inner) => {
                let every = codec.class(&every()).repeated(0, None);
                Self::and([every, inner.coded(codec).not()])
            }
            Self::Repeat(inner, least, most) => inner.coded(codec).repeated(*least, *most),
            other => other.clone(),
        }
    }

    /// The expression in the syntax of the crate `regex`. `None` if it cannot be written in it.
    pub fn plain(&self) -> Option<String> {
        let mut out = String::new();
        self.write(&mut out, Place::Whole).then_some(out)
    }

    fn write(&self, out: &mut String, place: Place) -> bool {
        match self {
            Self::Nothing | Self::And(_) | Self::Not(_) => return false,
            Self::Empty => out.push_str("(?:)"),
            Self::Class(class) => write_class(out, class),
            Self::Raw(text) => {
                out.push_str("(?:");
                out.push_str(text);
                out.push(')');
            }
            Self::Concat(parts) => {
                let grouped = place == Place::Repeated;
                out.push_str(if grouped { "(?:" } else { "" });
                if !parts.iter().all(|part| part.write(out, Place::Part)) {
                    return false;
                }
                out.push_str(if grouped { ")" } else { "" });
            }
            Self::Alt(ways) => {
                let grouped = place != Place::Whole;
                out.push_str(if grouped { "(?:" } else { "" });
                for (at, way) in ways.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "|" });
                    if !way.write(out, Place::Whole) {
                        return false;
                    }
                }
                out.push_str(if grouped { ")" } else { "" });
            }
            Self::Repeat(inner, least, most) => {
                // Without a group, the second repetition would be read as laziness of the first.
                let grouped = matches!(inner.as_ref(), Self::Repeat(..));
                out.push_str(if grouped { "(?:" } else { "" });
                if !inner.write(out, Place::Repeated) {
                    return false;
                }
                out.push_str(if grouped { ")" } else { "" });
                match (least, most) {
                    (0, None) => out.push('*'),
                    (1, None) => out.push('+'),
                    (0, Some(1)) => out.push('?'),
                    (least, None) => {
                        let _ = write!(out, "{{{least},}}");
                    }
                    (least, Some(most)) if least == most => {
                        let _ = write!(out, "{{{least}}}");
                    }
                    (least, Some(most)) => {
                        let _ = write!(out, "{{{least},{most}}}");
                    }
                }
            }
        }
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Whole,
    Part,
    Repeated,
}

/// Every character.
pub(crate) fn every() -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])
}

fn write_class(out: &mut String, class: &ClassUnicode) {
    let letter = |out: &mut String, letter: char| {
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else {
            let _ = write!(out, "\\x{{{:X}}}", u32::from(letter));
        }
    };
    if let [range] = class.ranges()
        && range.start() == range.end()
    {
        letter(out, range.start());
        return;
    }
    out.push('[');
    for range in class.ranges() {
        letter(out, range.start());
        if range.end() != range.start() {
            out.push('-');
            letter(out, range.end());
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(regex: &Regex, text: &str) -> bool {
        let plain = regex.plain().unwrap();
        regex::Regex::new(&format!("^(?:{plain})$"))
            .unwrap()
            .is_match(text)
    }

    #[test]
    fn texts_are_spelled_in_one_way() {
        let json = Codec::quoted('"');
        let text = "é\"\\\n\t/'🚄";
        assert_eq!(json.text(text).unwrap(), "é\\\"\\\\\\n\\t/'🚄");
        assert_eq!(Codec::quoted('\'').text("'\"").unwrap(), "\\'\"");
        assert_eq!((json.text("\u{7}"), json.text("\u{7f}")), (None, None));
        let exact = Regex::literal(text).coded(&json);
        assert!(fits(&exact, &json.text(text).unwrap()) && !fits(&exact, text));
        let any = Regex::any().coded(&json);
        assert!(fits(&any, &json.text(text).unwrap()));
        for broken in ["\"", "\\", "\\u0041", "\n", "\u{7f}"] {
            assert!(!fits(&any, broken), "{broken:?}");
        }
        assert_eq!(Regex::literal("a\u{7}").coded(&json), Regex::Nothing);
        assert!(fits(
            &Regex::literal("a\u{7}").coded(&Codec::raw()),
            "a\u{7}"
        ));
    }

    #[test]
    fn expressions_are_grouped_where_they_must_be() {
        let ab = Regex::alt([Regex::literal("a"), Regex::literal("bc")]);
        for (regex, yes, no) in [
            (ab.clone().repeated(2, Some(3)), "abca", "ab c"),
            (
                Regex::concat([ab.clone(), Regex::literal("|")]),
                "bc|",
                "bc",
            ),
            (Regex::literal("ab").repeated(0, None), "abab", "abb"),
            (
                Regex::literal("a").repeated(2, None).repeated(2, Some(2)),
                "aaaa",
                "aaa",
            ),
            (Regex::Empty, "", "a"),
            (Regex::of_length(1, Some(2)), "é🚄", ""),
        ] {
            assert!(fits(&regex, yes) && !fits(&regex, no), "{regex:?}");
        }
        assert_eq!(Regex::any().plain().unwrap(), "[\\x{0}-\\x{10FFFF}]*");
    }
}
