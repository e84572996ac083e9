//! Numbers are exact to the digit.

use serde_json::Value;

use super::{check, refused, taken};

/// Whether the program's JSON keeps numbers of any size, as `serde_json` can be asked to.
fn keeps_digits() -> bool {
    let number = "123456789012345678901234567890";
    let written = serde_json::from_str::<Value>(number).unwrap().to_string();
    written == number
}

#[test]
fn numbers_beyond_doubles_are_taken_exactly_if_they_are_valid() {
    for line in include_str!("../../../data/schema_numbers.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let texts: Vec<&str> = case["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        let valid: Vec<bool> = serde_json::from_value(case["valid"].clone()).unwrap();
        if case["id"] == "const-huge" && !keeps_digits() {
            // Rounded before it came here.
            let (path, reason) = refused(&case["schema"]);
            assert!(
                path == "#/const" && reason.contains("64 bits"),
                "{path}: {reason}"
            );
            continue;
        }
        assert_eq!(taken(&case["schema"], &texts).unwrap(), valid, "{case}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn numbers_of_every_spelling_are_read_to_the_digit() {
    let schema = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (text, yes, no) in [
        (
            r#"{"type": "integer", "minimum": 1e3, "maximum": 1.5e4}"#,
            &["1000", "15000"][..],
            &["999", "15001"][..],
        ),
        (
            r#"{"type": "integer", "minimum": 0.5, "exclusiveMaximum": 2.0}"#,
            &["1"],
            &["0", "2"],
        ),
        (
            r#"{"type": "integer", "minimum": -0, "maximum": 0}"#,
            &["0", "-0"],
            &["1", "-1"],
        ),
        (
            r#"{"type": "number", "minimum": -1e-7, "maximum": 1e-7}"#,
            &["0", "0.0000001", "-0.0000001", "1e-7", "-1e-8"],
            &["0.00000011", "1e-6"],
        ),
        (
            r#"{"type": "number", "exclusiveMinimum": 0, "maximum": 1.7976931348623157e308}"#,
            &["0.1", "1e99", "123456789012345678901234567890"],
            &["0", "-1", "0.0"],
        ),
        (
            r#"{"type": "integer", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308}"#,
            &["0", "123456789012345678901234567890"],
            &["1.5"],
        ),
        (
            r#"{"type": "number", "minimum": 0.1, "maximum": 0.3}"#,
            &["0.1", "0.10", "0.2", "0.3", "0.30"],
            &["0.09999", "0.30000000000000001", "0.31"],
        ),
        (
            r#"{"type": "number", "multipleOf": 0.01}"#,
            &["1", "0.07", "1.1", "12.30"],
            &["0.001", "1.234"],
        ),
        (
            r#"{"type": "number", "multipleOf": 0.07, "minimum": 0, "maximum": 1}"#,
            &["0.07", "0.7"],
            &["0.08"],
        ),
        (
            r#"{"type": "integer", "multipleOf": 1.0}"#,
            &["7"],
            &["7.5"],
        ),
        (
            r#"{"type": "integer", "multipleOf": 7, "minimum": 0}"#,
            &["0", "21"],
            &["22"],
        ),
        (r#"{"const": 1.5e3}"#, &["1500", "1500.0"], &["1501"]),
        (
            r#"{"enum": [1e2, -2.5, 0.1]}"#,
            &["100", "-2.5", "0.1"],
            &["2.5", "0.10000001"],
        ),
        (
            r#"{"enum": [1, 2.0, 3], "type": "integer"}"#,
            &["1", "2", "3"],
            &["4"],
        ),
        (
            r#"{"minimum": 5, "exclusiveMinimum": true, "type": "integer"}"#,
            &["6"],
            &["5"],
        ),
        (
            r#"{"maximum": 5, "exclusiveMaximum": false, "type": "integer"}"#,
            &["5"],
            &["6"],
        ),
        (
            r#"{"type": ["integer", "null"], "minimum": 9007199254740993}"#,
            &["null", "9007199254740993"],
            &["9007199254740992"],
        ),
        (
            r#"{"allOf": [{"minimum": 9007199254740993}, {"maximum": 9007199254740993}, {"type": "integer"}]}"#,
            &["9007199254740993"],
            &["9007199254740992", "9007199254740994"],
        ),
        (
            r#"{"not": {"const": 9007199254740993}, "type": "integer"}"#,
            &["9007199254740992"],
            &["9007199254740993"],
        ),
    ] {
        check(&schema(text), yes, no);
    }
    if keeps_digits() {
        check(
            &schema(r#"{"type": "integer", "maximum": 1e400}"#),
            &["1"],
            &["1.0"],
        );
        check(
            &schema(r#"{"type": "integer", "minimum": 123456789012345678901234567890}"#),
            &["123456789012345678901234567890"],
            &["123456789012345678901234567889"],
        );
        return;
    }
    for (text, place) in [
        (
            r#"{"type": "object", "properties": {"a/b": {"enum": [1, 123456789012345678901234567890]}}}"#,
            "#/properties/a~1b/enum/1",
        ),
        (
            r#"{"items": {"const": {"x": [18446744073709551617001]}}}"#,
            "#/items/const/x/0",
        ),
        (
            r#"{"type": "integer", "minimum": 123456789012345678901234567890}"#,
            "#/minimum",
        ),
        (
            r#"{"type": "number", "exclusiveMaximum": -98765432109876543210987}"#,
            "#/exclusiveMaximum",
        ),
        (
            r#"{"type": "integer", "multipleOf": 12345678901234567890123}"#,
            "#/multipleOf",
        ),
    ] {
        let (path, reason) = refused(&schema(text));
        assert!(
            path == place && reason.contains("64 bits"),
            "{text}: {path}: {reason}"
        );
    }
}
