//! What the formats of JSON Schema demand beyond llguidance's expressions for them.
//!
//! Those are laxer than RFC 3339 (every year has a 29th of February, every minute a 60th second),
//! RFC 5321 and RFC 5890 (lengths, labels with hyphens in third and fourth place).

use serde_json::{Map, Value, json};

/// Fourth years, centuries aside unless they are fourth ones themselves.
const LEAP_YEAR: &str =
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";

/// Longest host name in characters (RFC 1123, RFC 1035 without the root's label).
const HOST: u64 = 253;

/// Longest address in characters (RFC 5321: a path of 256 without its brackets).
const EMAIL: u64 = 254;

/// A label of a host name, at most 63 characters, that neither is an A-label nor looks
/// like one: whether one is valid, only Punycode can tell.
const LABEL: &str = "(?:[^.@]{1,2}|[^.@]{2}(?:[^-.@][^.@]{0,60}|-[^-.@][^.@]{0,59}))";

/// Adds to a schema's string of some format what its format demands further.
pub(super) fn tighten(schema: &mut Map<String, Value>) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else {
        return;
    };
    let day =
        format!("(?:.{{5}}(?:0[13-9]|1[0-2])-..|.{{5}}02-(?:[01].|2[0-8])|{LEAP_YEAR}-02-29)");
    let time = "..:..:[0-5]";
    let host = format!("{LABEL}(?:\\.{LABEL})*");
    let (pattern, longest) = match format {
        "date" => (format!("^{day}$"), None),
        "time" => (format!("^{time}"), None),
        "date-time" => (format!("^{day}[tT]{time}"), None),
        "hostname" => (format!("^{host}$"), Some(HOST)),
        "email" => (format!("^[^@]{{1,64}}@(?:\\[.*|{host})$"), Some(EMAIL)),
        _ => return,
    };
    if let Some(longest) = longest {
        // What is no length is left to the compiler to refuse.
        let asked = schema.get("maxLength");
        if asked.is_none_or(|asked| asked.as_u64().is_some_and(|asked| asked > longest)) {
            schema.insert("maxLength".to_owned(), longest.into());
        }
    }
    if schema.contains_key("pattern") {
        let further = json!({ "pattern": pattern });
        match schema.get_mut("allOf") {
            Some(Value::Array(all)) => all.push(further),
            // Left to the compiler to refuse.
            Some(_) => {}
            None => drop(schema.insert("allOf".to_owned(), json!([further]))),
        }
    } else {
        schema.insert("pattern".to_owned(), pattern.into());
    }
}
