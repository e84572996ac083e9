//! `elpis replay`.

use serde_json::Value;

use super::{elpis, log};

fn agrees(found: &Value, expected: &Value, at: &str) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 1e-6,
                "{at}: {found} is not {expected}"
            );
        }
        (Value::Object(found), Value::Object(expected)) => {
            // The reference knows quadrants alone.
            let own = usize::from(found.contains_key("mood") && !expected.contains_key("mood"));
            assert_eq!(found.len(), expected.len() + own, "{at}");
            for (key, expected) in expected {
                agrees(&found[key], expected, &format!("{at}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{at}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                agrees(found, expected, &format!("{at}[{index}]"));
            }
        }
        (found, expected) => assert_eq!(found, expected, "{at}"),
    }
}

#[test]
fn replay_computes_what_the_reference_recorded() {
    let output = elpis(&["emotion", "replay", &log()]);
    assert!(output.status.success(), "{output:?}");
    let expected = std::fs::read_to_string(log()).unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found.lines().count(), 24);
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        let found = serde_json::from_str(found).unwrap();
        agrees(
            &found,
            &serde_json::from_str(expected).unwrap(),
            &format!("line {number}"),
        );
    }
}

#[test]
fn a_bad_log_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    let steps = r#"{"settings":{},"steps":[{"at":1,"event":"success","intensity":1}]}"#;
    std::fs::write(
        &file,
        format!("{steps}\n{{\"settings\":{{}},\"steps\":[{{}}]}}\n"),
    )
    .unwrap();
    let output = elpis(&["emotion", "replay", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("log.jsonl:2:"), "{words}");
    assert_eq!(
        elpis(&["emotion", "replay", "no-such-file"]).status.code(),
        Some(1)
    );
    assert_eq!(elpis(&["emotion"]).status.code(), Some(2));
}
