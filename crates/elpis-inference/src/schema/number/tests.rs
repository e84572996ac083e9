use serde_json::json;

use super::*;
use crate::schema::language::Language;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn numbers_are_written_exactly_if_they_are_valid() {
    let number = |integer, low: Option<&str>, high: Option<&str>, of: &[&str]| {
        let mut numbers = Numbers {
            integer,
            ..Numbers::default()
        };
        if let Some(low) = low {
            let (low, included) = low
                .strip_prefix('>')
                .map_or((low, true), |low| (low, false));
            numbers.set_low(decimal(low), included);
        }
        if let Some(high) = high {
            let (high, included) = high
                .strip_prefix('<')
                .map_or((high, true), |high| (high, false));
            numbers.set_high(decimal(high), included);
        }
        for of in of {
            numbers.add_multiple(decimal(of));
        }
        numbers
    };
    let schemas = [
        number(true, None, None, &[]),
        number(
            true,
            Some("9007199254740993"),
            Some("9007199254740999"),
            &[],
        ),
        number(true, Some("0"), Some("9007199254740993"), &[]),
        number(
            true,
            Some(">9007199254740993"),
            Some("9007199254740999"),
            &[],
        ),
        number(
            true,
            Some("-9223372036854775808"),
            Some("9223372036854775807"),
            &[],
        ),
        number(true, Some("1.5"), Some("1e1"), &[]),
        number(true, Some(">-3"), Some("<3"), &[]),
        number(true, Some("-0.5"), Some("0.5"), &[]),
        number(true, None, Some("-1"), &[]),
        number(true, Some("0"), Some("1e400"), &["5"]),
        number(true, None, None, &["25", "0.5"]),
        number(true, Some("0"), Some("100"), &["7", "3"]),
        number(
            true,
            Some("9007199254740993"),
            Some("90071992547409930"),
            &["9007199254740993"],
        ),
        number(false, None, None, &[]),
        number(false, Some("0.1"), Some("0.3"), &[]),
        number(false, Some(">0"), None, &[]),
        number(false, None, Some("<0"), &[]),
        number(false, Some("0"), Some("0"), &[]),
        number(false, Some("-2.5"), Some("9007199254740993.5"), &[]),
        number(false, None, Some("1e20"), &[]),
        number(false, None, None, &["0.25"]),
        number(false, None, None, &["2.5"]),
        number(false, Some("-1"), Some("1"), &["0.07"]),
        number(false, None, None, &["1"]),
        number(false, Some("3"), Some("2"), &[]),
    ];
    let texts = [
        "0",
        "-0",
        "1",
        "-1",
        "2",
        "-2",
        "3",
        "-3",
        "5",
        "7",
        "9",
        "10",
        "11",
        "21",
        "25",
        "50",
        "100",
        "42",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994",
        "9007199254740999",
        "9007199254741000",
        "18014398509481986",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "0.1",
        "0.10",
        "0.2",
        "0.3",
        "0.30000000000000001",
        "0.09",
        "-2.5",
        "-2.51",
        "1.5",
        "2.5",
        "0.25",
        "0.75",
        "0.07",
        "-0.14",
        "0.0",
        "-0.0",
        "1.0",
        "9007199254740993.5",
        "9007199254740993.51",
        "100000000000000000000",
        "100000000000000000001",
        "99999999999999999999.9",
    ];
    for numbers in &schemas {
        let Written::All(parts) = numbers.written(false).unwrap() else {
            panic!("{numbers:?}");
        };
        let mut language = Language::new(&Regex::and(parts)).unwrap();
        for text in texts {
            let whole = !text.contains('.');
            let valid = numbers.contains(&decimal(text)).unwrap() && (whole || !numbers.integer);
            assert_eq!(language.has(text), valid, "{text} {numbers:?}");
        }
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "NaN", "0x1", " 1"] {
            assert!(!language.has(text), "{text:?} {numbers:?}");
        }
    }
}

#[test]
fn what_cannot_be_enforced_is_refused_with_the_keyword() {
    let mut long = Numbers::default();
    long.set_high(decimal("1e1900"), true);
    assert_eq!(long.written(false).unwrap_err().0, "maximum");
    let mut prime = Numbers {
        integer: true,
        ..Numbers::default()
    };
    prime.add_multiple(decimal("9007199254740993"));
    // The multiples in 64 bits are few.
    let written = prime.written(false);
    let Ok(Written::All(parts)) = written else {
        panic!("{written:?}");
    };
    let mut language = Language::new(&Regex::and(parts)).unwrap();
    for (text, is) in [
        ("9007199254740993", true),
        ("9007199254740992", false),
        ("-18014398509481986", true),
        ("18446744073709553664", false),
    ] {
        assert_eq!(language.has(text), is, "{text}");
    }
    prime.add_multiple(decimal("4294967311"));
    let (key, reason) = prime.written(false).unwrap_err();
    assert!(key == "multipleOf" && reason.contains("4294967311"));
    let mut seven = Numbers::default();
    seven.add_multiple(decimal("7"));
    seven.set_low(decimal("-3.5"), false);
    let written = seven.written(true).unwrap();
    assert_eq!(
        written,
        Written::Multiples(json!({"type": "number", "multipleOf": 7.0,
            "exclusiveMinimum": -3.5, "minimum": -SAFE, "maximum": SAFE}))
    );
}
