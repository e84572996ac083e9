//! The formats that strings are held to. All others say nothing, as the standard has it.
//!
//! RFC 3339 (dates and times, without leap seconds), ISO 8601 as RFC 3339 quotes it (durations),
//! RFC 5321 and RFC 5890 (addresses and hosts, without A-labels, which only Punycode can tell),
//! RFC 2673 and RFC 4291 (IP addresses), RFC 4122 (UUID), RFC 3986 (URI).

use super::pattern::pattern;
use super::regex::Regex;

/// Longest host name in characters (RFC 1123, RFC 1035 without the root's label).
const HOST: u32 = 253;

/// Longest address in characters (RFC 5321: a path of 256 without its brackets).
const EMAIL: u32 = 254;

const DAY: &str = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
     |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))\
     |(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";

const TIME: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?\
     (?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

const CLOCK: &str = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";

const LABELS: &str = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\
     (?:\\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*";

/// Labels without hyphens in third and fourth place, as A-labels have them.
const NO_A_LABEL: &str = "(?:[^.@]{1,2}|[^.@]{2}(?:[^-.@][^.@]{0,60}|-[^-.@][^.@]{0,59}))\
     (?:\\.(?:[^.@]{1,2}|[^.@]{2}(?:[^-.@][^.@]{0,60}|-[^-.@][^.@]{0,59})))*";

const ATOM: &str = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";

const BYTE: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

const PLAIN: &str = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";

/// What a format demands, all of which holds; nothing for one that is not known.
pub(super) fn parts(format: &str) -> Vec<Regex> {
    let (sources, longest) = match format {
        "date" => (vec![DAY.to_owned()], None),
        "time" => (vec![TIME.to_owned()], None),
        "date-time" => (vec![format!("{DAY}[tT]{TIME}")], None),
        "duration" => {
            let days = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)";
            (
                vec![format!("P(?:[0-9]+W|{days}(?:{CLOCK})?|{CLOCK})")],
                None,
            )
        }
        "hostname" => (vec![LABELS.to_owned(), NO_A_LABEL.to_owned()], Some(HOST)),
        "email" => {
            let address = format!("\\[{}\\]", ipv4());
            let written = format!("{ATOM}(?:\\.{ATOM})*@(?:{LABELS}|{address})");
            let bounded = format!("[^@]{{1,64}}@(?:\\[.*|{NO_A_LABEL})");
            (vec![written, bounded], Some(EMAIL))
        }
        "ipv4" => (vec![ipv4()], None),
        "ipv6" => (vec![ipv6()], None),
        "uuid" => {
            let hex = "[0-9A-Fa-f]";
            (
                vec![format!("{hex}{{8}}(?:-{hex}{{4}}){{3}}-{hex}{{12}}")],
                None,
            )
        }
        "uri" => (vec![uri()], None),
        _ => return Vec::new(),
    };
    let whole = |source: String| pattern(&format!("^(?:{source})$"));
    let length = longest.map(|longest| Regex::of_length(0, Some(longest)));
    // The patterns above are known to be right.
    sources.into_iter().flat_map(whole).chain(length).collect()
}

fn ipv4() -> String {
    format!("(?:{BYTE}\\.){{3}}{BYTE}")
}

/// Eight groups, or fewer around `::`.
fn ipv6() -> String {
    let group = "[0-9A-Fa-f]{1,4}";
    let mut ways = vec![format!("(?:{group}:){{7}}{group}")];
    for before in 0..=7_usize {
        let front = match before {
            0 => String::new(),
            1 => group.to_owned(),
            count => format!("(?:{group}:){{{}}}{group}", count - 1),
        };
        let most = 7 - before;
        let back = match most {
            0 => String::new(),
            1 => format!("(?:{group})?"),
            most => format!("(?:(?:{group}:){{0,{}}}{group})?", most - 1),
        };
        ways.push(format!("{front}::{back}"));
    }
    format!("(?:{})", ways.join("|"))
}

fn uri() -> String {
    let user = "(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@";
    let name = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*";
    let host = format!("(?:\\[{}\\]|{name})", ipv6());
    let path = format!("(?:/{PLAIN}*)*");
    let rest = format!("{PLAIN}+{path}");
    let tail = format!("(?:{PLAIN}|[/?])*");
    format!(
        "[A-Za-z][A-Za-z0-9+.-]*:(?://(?:{user})?{host}(?::[0-9]*)?{path}|/(?:{rest})?|(?:{rest})?)\
         (?:\\?{tail})?(?:#{tail})?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::language::Language;

    #[test]
    fn every_format_that_is_known_has_texts() {
        for (format, yes, no) in [
            ("date", "2024-02-29", "2023-02-29"),
            ("time", "23:59:59.5Z", "23:59:60Z"),
            (
                "date-time",
                "2024-02-29T00:00:00+01:00",
                "2024-02-29 00:00:00Z",
            ),
            ("duration", "P1Y2M3DT4H5M6S", "P1YT"),
            ("email", "a.b@c-d.example", "a..b@c.example"),
            ("hostname", "a-b.example", "a--.example"),
            ("ipv4", "127.0.0.1", "127.0.0.01"),
            ("ipv6", "::1", "1::2::3"),
            ("ipv6", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::"),
            (
                "uuid",
                "123e4567-e89b-12d3-a456-426614174000",
                "123e4567e89b12d3a456426614174000",
            ),
            ("uri", "https://u@[::1]:80/a%20b?c=d#e", "//a"),
            ("uri", "urn:a:b", "a b:c"),
        ] {
            let parts = parts(format);
            assert!(!parts.is_empty(), "{format}");
            let mut language = Language::new(&Regex::and(parts)).unwrap();
            assert!(language.has(yes) && !language.has(no), "{format}");
        }
        for unknown in ["json", "int64", "uri-template", "regex", "password", ""] {
            assert!(parts(unknown).is_empty());
        }
    }
}
