//! String formats.

use elpis::inference::{ResponseFormat, Scope};
use elpis_testkit::schemas;
use serde_json::{Value, json};

use crate::random_model::{Model, takes, vocabulary};

#[test]
fn strings_keep_to_their_format_by_the_letter() {
    let vocabulary = vocabulary();
    let guide = |schema: &Value| {
        let grammar = ResponseFormat::json_schema(schema.clone()).grammar();
        let grammar = grammar.unwrap().unwrap();
        vocabulary.compile(&grammar, Scope::Answer).unwrap()
    };
    let formats = [
        "date",
        "time",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
    ];
    let seed = schemas::seed();
    for format in formats {
        let schema = json!({"type": "string", "format": format});
        let mut whole = 0;
        for round in 0..25 {
            let mut model = Model::hot(seed.wrapping_add(round));
            let text = model.write(&mut guide(&schema), 3000).unwrap();
            if model.whole {
                schemas::check(&schema, &serde_json::from_str(&text).unwrap());
                whole += 1;
            }
        }
        assert!(whole >= 20, "{whole} of 25 for {format}");
    }
    let label = "a".repeat(63);
    let cases = [
        ("date", "2024-02-29", true),
        ("date", "2000-02-29", true),
        ("date", "0000-02-29", true),
        ("date", "1900-02-29", false),
        ("date", "1122-02-29", false),
        ("date", "2023-02-28", true),
        ("date", "2023-04-31", false),
        ("date-time", "2023-02-29T10:00:00Z", false),
        ("date-time", "2024-02-29t10:00:00.5+01:30", true),
        ("time", "12:30:60Z", false),
        ("time", "23:59:59Z", true),
        ("hostname", "ab--c.example", false),
        ("hostname", "xn--a", false),
        ("hostname", "a-b.c--d.example", true),
        (
            "hostname",
            &format!("{label}.{label}.{label}.{}", &label[2..]),
            true,
        ),
        (
            "hostname",
            &format!("{label}.{label}.{label}.{}", &label[1..]),
            false,
        ),
        ("hostname", &format!("{label}a"), false),
        ("email", "first.last+tag@mail.example", true),
        ("email", "me@[127.0.0.1]", true),
        ("email", &format!("{}@a.example", &label[..62]), true),
        ("email", &format!("{label}aa@a.example"), false),
        ("email", &format!("me@{label}a.example"), false),
        ("email", "me@ab--c.example", false),
    ];
    for (format, text, valid) in cases {
        // An older pattern holds as well.
        for further in [json!({}), json!({"pattern": "^[^!]*$"})] {
            let mut schema = json!({"type": ["string", "null"], "format": format});
            schema
                .as_object_mut()
                .unwrap()
                .extend(further.as_object().unwrap().clone());
            let takes = takes(&mut guide(&schema), &[], &json!(text).to_string());
            assert_eq!(takes, valid, "{format} {text}");
            if takes {
                schemas::check(&schema, &json!(text));
            }
        }
    }
    // What a class leaves out is no matter.
    let schema = json!({"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]{3}$"});
    assert!(takes(&mut guide(&schema), &[], "\"a b\""));
    let schema = json!({"type": "string", "pattern": "^[\\x00-\\x7f]{3}$"});
    assert!(takes(&mut guide(&schema), &[], "\"a b\""));
    let schema = json!({"format": "email", "maxLength": 8, "pattern": "^x"});
    for (text, valid) in [("x@y.zz", true), ("y@y.zz", false), ("xxxxx@yyy", false)] {
        assert_eq!(
            takes(&mut guide(&schema), &[], &json!(text).to_string()),
            valid,
            "{text}"
        );
    }
}
