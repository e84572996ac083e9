//! Chat templates against transformers, and their bounds.

mod real;

use std::path::Path;

use elpis_inference::{
    ChatFormat, ChatFormatError, ChatMessage, ChatTemplate, CivilDateTime, MAX_RENDERED_BYTES,
    MessageError, RenderOptions, Role, SpecialTokens, TemplateError, validate_messages,
};
use serde_json::{Value, json};

fn data() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/templates/cases.json");
    let text = std::fs::read_to_string(path).expect("cases.json");
    serde_json::from_str(&text).expect("JSON")
}

fn template(case: &Value) -> ChatTemplate {
    let name = case["template"].as_str().expect("a name");
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let tokens = SpecialTokens {
        bos: text("bos"),
        eos: text("eos"),
        ..SpecialTokens::default()
    };
    if case["builtin"] == true {
        let format = name.parse::<ChatFormat>().expect("a format");
        assert_eq!(format.special_tokens(), tokens, "{name}");
        return ChatTemplate::named(format).expect("compiles");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source =
        std::fs::read_to_string(root.join(format!("../../tests/data/templates/{name}.jinja")));
    ChatTemplate::from_source(name, &source.expect("a source"), tokens).expect("compiles")
}

#[test]
fn renders_as_transformers_does() {
    let data = data();
    let now = CivilDateTime::new(2025, 3, 4, 5, 6, 7);
    let mut wrong = 0;
    let cases = data["cases"].as_array().expect("cases");
    for case in cases {
        let conversation = case["conversation"].as_str().expect("a name");
        let messages: Vec<ChatMessage> =
            serde_json::from_value(data["conversations"][conversation].clone()).expect("messages");
        let tools = &data["tools"][case["tools"].as_str().expect("a name")];
        let options = RenderOptions {
            add_generation_prompt: case["add_generation_prompt"] == true,
            tools: (!tools.is_null()).then_some(tools),
            variables: case["variables"].as_object(),
            now,
            ..RenderOptions::default()
        };
        let got = template(case).render(&messages, &options);
        let as_expected = match &got {
            Ok(text) => case["text"] == *text,
            Err(TemplateError::Raised { message, .. }) => case["raised"] == *message,
            Err(_) => case["failed"].is_string(),
        };
        if !as_expected {
            wrong += 1;
            let expected = [&case["text"], &case["raised"], &case["failed"]];
            let expected = expected.into_iter().find(|value| !value.is_null());
            let expected = expected.and_then(Value::as_str).unwrap_or_default();
            eprintln!("--- {} on {conversation}", case["template"]);
            match got {
                Ok(text) => {
                    for (got, expected) in text.lines().zip(expected.lines()) {
                        if got != expected {
                            eprintln!("  got      {got}\n  expected {expected}");
                        }
                    }
                }
                Err(error) => eprintln!("  got {error:?}\n  expected {expected}"),
            }
        }
    }
    assert_eq!(wrong, 0, "of {} cases", cases.len());
    assert!(cases.len() > 400);
}

#[test]
fn built_in_formats_by_hand() {
    let messages = [
        ChatMessage::system("S"),
        ChatMessage::user("U"),
        ChatMessage::assistant("A"),
        ChatMessage::user("V"),
    ];
    for (format, expected) in [
        (
            ChatFormat::Llama3,
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            ChatFormat::ChatMl,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n\
             <|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n\
             <|im_start|>assistant\n",
        ),
        (
            ChatFormat::Mistral,
            "<s>[INST] U[/INST] A</s>[INST] S\n\nV[/INST]",
        ),
        (
            ChatFormat::Gemma,
            "<bos><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n\
             <start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            ChatFormat::Phi3,
            "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n\
             <|user|>\nV<|end|>\n<|assistant|>\n",
        ),
        (
            ChatFormat::Zephyr,
            "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n",
        ),
    ] {
        let template = ChatTemplate::named(format).expect("compiles");
        let options = RenderOptions {
            add_generation_prompt: true,
            ..RenderOptions::default()
        };
        assert_eq!(
            template.render(&messages, &options).expect("renders"),
            expected,
            "{format}"
        );
    }
}

fn render(source: &str) -> Result<String, TemplateError> {
    let template = ChatTemplate::from_source("probe", source, SpecialTokens::default())?;
    template.render(&[ChatMessage::user("hi")], &RenderOptions::default())
}

#[test]
fn errors_say_what_and_where() {
    let error = render("line one\nline two {% if %}\n").expect_err("refused");
    assert!(
        matches!(error, TemplateError::Syntax { line: 2, .. }),
        "{error:?}"
    );
    assert_eq!(error.kind(), "syntax");
    let error = render("{{ raise_exception('not today') }}").expect_err("refused");
    let message = "not today".to_owned();
    assert_eq!(
        error,
        TemplateError::Raised {
            template: "probe".to_owned(),
            message
        }
    );
    let error = render("\n\n{{ messages[7].content.x }}").expect_err("refused");
    assert!(
        matches!(error, TemplateError::Render { line: 3, .. }),
        "{error:?}"
    );
    assert!(matches!(
        render("{{ 1 | nofilter }}"),
        Err(TemplateError::Syntax { .. } | TemplateError::Render { .. })
    ));
    assert!(matches!(
        render("{% include 'x' %}"),
        Err(TemplateError::Syntax { .. })
    ));
    assert!(matches!(
        render(&"x".repeat(300_000)),
        Err(TemplateError::SourceTooLong { bytes: 300_000, .. })
    ));
    let variables = json!({"messages": []});
    let template = ChatTemplate::named(ChatFormat::ChatMl).expect("compiles");
    let options = RenderOptions {
        variables: variables.as_object(),
        ..RenderOptions::default()
    };
    assert!(matches!(
        template.render(&[], &options),
        Err(TemplateError::ReservedVariable { .. })
    ));
}

#[test]
fn long_output_is_refused_and_long_input_is_not() {
    let source = "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}";
    let template =
        ChatTemplate::from_source("long", source, SpecialTokens::default()).expect("compiles");
    let messages = [ChatMessage::user("x".repeat(1_000_000))];
    let error = template
        .render(&messages, &RenderOptions::default())
        .expect_err("refused");
    assert_eq!(
        error,
        TemplateError::TooLong {
            template: "long".to_owned()
        }
    );
    let many: Vec<ChatMessage> = (0..20_000)
        .map(|turn| {
            if turn % 2 == 0 {
                ChatMessage::user("u".repeat(300))
            } else {
                ChatMessage::assistant("a".repeat(300))
            }
        })
        .collect();
    for &format in ChatFormat::ALL {
        let text = ChatTemplate::named(format)
            .expect("compiles")
            .render(&many, &RenderOptions::default());
        assert!(
            text.is_ok_and(|text| text.len() > 6_000_000 && text.len() < MAX_RENDERED_BYTES),
            "{format}"
        );
    }
}

#[test]
fn the_date_is_a_value() {
    let source = "{{ strftime_now('%d %b %Y') if strftime_now is defined else 'no date' }}";
    let template =
        ChatTemplate::from_source("date", source, SpecialTokens::default()).expect("compiles");
    let render = |now| {
        template.render(
            &[],
            &RenderOptions {
                now,
                ..RenderOptions::default()
            },
        )
    };
    assert_eq!(render(None).as_deref(), Ok("no date"));
    assert_eq!(
        render(CivilDateTime::new(2024, 2, 29, 0, 0, 0)).as_deref(),
        Ok("29 Feb 2024")
    );
    for bad in [
        (2023, 2, 29, 0),
        (2024, 13, 1, 0),
        (2024, 4, 31, 0),
        (0, 1, 1, 0),
        (2024, 1, 1, 24),
    ] {
        assert_eq!(CivilDateTime::new(bad.0, bad.1, bad.2, bad.3, 0, 0), None);
    }
}

#[test]
fn names_are_read() {
    for &format in ChatFormat::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert_eq!("ChatML".parse(), Ok(ChatFormat::ChatMl));
    assert_eq!("llama3".parse(), Ok(ChatFormat::Llama3));
    let nearest = ChatFormat::Mistral;
    let error = ChatFormatError::Unknown {
        name: "mistrel".to_owned(),
        nearest,
    };
    assert!(
        error
            .to_string()
            .starts_with("unknown chat format \"mistrel\", the nearest is mistral")
    );
    assert_eq!("mistrel".parse::<ChatFormat>(), Err(error));
    assert_eq!("tool".parse(), Ok(Role::Tool));
    let error = "robot".parse::<Role>().expect_err("refused");
    assert_eq!(
        error,
        MessageError::UnknownRole {
            name: "robot".to_owned()
        }
    );
    assert!(
        error
            .to_string()
            .contains("known roles: system, user, assistant, tool")
    );
}

#[test]
fn messages_are_checked_and_read() {
    assert_eq!(validate_messages(&[]), Err(MessageError::Empty));
    let messages = [ChatMessage::system(""), ChatMessage::user("")];
    assert_eq!(
        validate_messages(&messages),
        Err(MessageError::EmptyUserMessage { index: 1 })
    );
    assert_eq!(
        validate_messages(&[ChatMessage::user(" "), ChatMessage::assistant("")]),
        Ok(())
    );
    let read = |value: Value| serde_json::from_value::<ChatMessage>(value);
    let message =
        read(json!({"role": "assistant", "content": null, "tool_calls": [1]})).expect("reads");
    assert_eq!(message.content, "");
    assert!(
        read(json!({"role": "robot", "content": ""}))
            .expect_err("refused")
            .to_string()
            .contains("robot")
    );
    let message = ChatMessage::tool("x");
    assert_eq!(
        serde_json::to_value(&message).expect("writes"),
        json!({"role": "tool", "content": "x"})
    );
}
