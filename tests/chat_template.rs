//! Chat templates against transformers, and their bounds.

use std::path::Path;

use elpis::inference::{
    ChatFormat, ChatFormatError, ChatMessage, ChatTemplate, CivilDateTime, ControlTexts,
    MAX_RENDERED_BYTES, MessageError, RenderOptions, Role, SpecialTokens, TemplateError, ToolSet,
    validate_messages,
};
use serde_json::{Value, json};

fn data() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/templates/cases.json");
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
    let source = std::fs::read_to_string(root.join(format!("tests/data/templates/{name}.jinja")));
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
    for format in ChatFormat::ALL {
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
    for format in ChatFormat::ALL {
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

/// A line of the oracle's answer, and what we make of the same.
struct Compared {
    of: String,
    expected: Value,
    got: Result<String, TemplateError>,
}

impl Compared {
    /// Whether both agree; where Jinja2 itself fails, anything but a panic will do.
    fn agrees(&self) -> bool {
        if self.expected["failed"].is_string() || self.expected["broken"].is_string() {
            return true;
        }
        match &self.got {
            Ok(text) => self.expected["text"] == *text,
            Err(TemplateError::Raised { message, .. }) => self.expected["raised"] == *message,
            Err(_) => false,
        }
    }

    fn report(&self) {
        let text = |key: &str| self.expected[key].as_str().unwrap_or_default();
        let expected = format!("{}{}", text("text"), text("raised"));
        eprintln!("--- {}", self.of);
        match &self.got {
            Err(error) => eprintln!("  got {error}\n  not {expected:.90?}"),
            Ok(got) => {
                let same = got.bytes().zip(expected.bytes());
                let at = same.take_while(|(a, b)| a == b).count();
                let around = |text: &str| {
                    let bytes = text.as_bytes();
                    let part = &bytes[at.saturating_sub(60)..bytes.len().min(at + 80)];
                    String::from_utf8_lossy(part).into_owned()
                };
                eprintln!("  got {:?}\n  not {:?}", around(got), around(&expected));
            }
        }
    }
}

fn compare(lines: &[u8], mut render: impl FnMut(&Value) -> Option<Compared>) -> usize {
    let (mut cases, mut wrong) = (0, 0);
    for line in lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: Value = serde_json::from_slice(line).expect("JSON");
        let Some(compared) = render(&line) else {
            continue;
        };
        cases += 1;
        if !compared.agrees() {
            wrong += 1;
            if wrong <= 40 {
                compared.report();
            }
        }
    }
    assert_eq!(wrong, 0, "of {cases} cases");
    cases
}

fn render_conversation(
    template: &ChatTemplate,
    conversation: &Value,
) -> Result<String, TemplateError> {
    let options = RenderOptions {
        add_generation_prompt: conversation["generate"] != false,
        tools: conversation.get("tools").filter(|tools| !tools.is_null()),
        variables: conversation["variables"].as_object(),
        now: CivilDateTime::new(2025, 3, 4, 5, 6, 7),
        ..RenderOptions::default()
    };
    template.render_json(
        conversation["messages"].as_array().expect("messages"),
        &options,
    )
}

/// Real templates are not stored here: `ELPIS_TEMPLATES` names a folder with those that llama.cpp
/// publishes, `ELPIS_PYTHON` a Python with jinja2.
#[test]
fn renders_as_jinja2_does() {
    let (Some(folder), Some(python)) = (
        std::env::var_os("ELPIS_TEMPLATES"),
        std::env::var_os("ELPIS_PYTHON"),
    ) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEMPLATES must name a folder of templates and ELPIS_PYTHON a Python with jinja2"
        );
        println!("skipped: ELPIS_TEMPLATES or ELPIS_PYTHON is not set");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = root.join("tests/data/templates");
    let output = std::process::Command::new(python)
        .arg(root.join("tests/support/chat_templates.py"))
        .args([
            Path::new(&folder),
            &data.join("conversations.json"),
            &data.join("snippets.json"),
        ])
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(data.join("conversations.json")).expect("conversations");
    let conversations: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let conversation = |line: &Value| {
        let name = &line["conversation"];
        let found = conversations.iter().find(|one| one["name"] == *name);
        found.cloned().unwrap_or(Value::Null)
    };
    let tokens = || SpecialTokens::new("<s>", "</s>");

    let snippets = compare(&output.stdout, |line| {
        let source = line["snippet"].as_str()?;
        let template = ChatTemplate::from_source("snippet", source, tokens());
        let got = template.and_then(|template| render_conversation(&template, &conversation(line)));
        Some(Compared {
            of: source.to_owned(),
            expected: line.clone(),
            got,
        })
    });
    assert!(snippets > 400, "{snippets} snippets");

    let mut templates = std::collections::BTreeMap::new();
    let cases = compare(&output.stdout, |line| {
        let name = line["template"].as_str()?;
        let template = templates.entry(name.to_owned()).or_insert_with(|| {
            let source = std::fs::read_to_string(Path::new(&folder).join(name)).expect("a source");
            ChatTemplate::from_source(name, &source, tokens())
        });
        let got = match template {
            Ok(template) => render_conversation(template, &conversation(line)),
            Err(error) => Err(error.clone()),
        };
        Some(Compared {
            of: format!("{name} on {}", line["conversation"]),
            expected: line.clone(),
            got,
        })
    });
    assert!(cases >= 60 * conversations.len(), "{cases} cases");
}

/// The real templates, each with its name; none where `ELPIS_TEMPLATES` is not set.
fn real_templates() -> Vec<(String, String)> {
    let Some(folder) = std::env::var_os("ELPIS_TEMPLATES") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEMPLATES is not set"
        );
        return Vec::new();
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jinja"))
        .collect();
    paths.sort();
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    paths
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).expect("a source")))
        .collect()
}

fn compiled(name: &str, source: &str) -> ChatTemplate {
    ChatTemplate::from_source(name, source, SpecialTokens::new("<s>", "</s>")).expect(name)
}

fn weather_tools() -> ToolSet {
    ToolSet::from_json(&json!([
        {"type": "function", "function": {
            "name": "qnweather", "description": "qnforecast",
            "parameters": {"type": "object", "properties": {"qncity": {"type": "string"}}, "required": ["qncity"]},
        }},
    ]))
    .expect("tools")
}

fn calls(list: &[(&str, &str, Value)]) -> Option<Value> {
    let call = |(id, name, arguments): &(&str, &str, Value)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    Some(list.iter().map(call).collect())
}

fn result_of(id: &str, name: &str, content: &str) -> ChatMessage {
    ChatMessage {
        name: Some(name.to_owned()),
        tool_call_id: Some(id.to_owned()),
        ..ChatMessage::tool(content)
    }
}

/// Conversations that many templates refuse or show in part, with the words that have to be seen.
fn demanding_conversations() -> Vec<(&'static str, Vec<ChatMessage>, bool, Vec<&'static str>)> {
    let system = || ChatMessage::system("qnsystem");
    let user = |text: &str| ChatMessage::user(text);
    let assistant = |text: &str| ChatMessage::assistant(text);
    let calling = |text: &str, list: &[(&str, &str, Value)]| ChatMessage {
        tool_calls: calls(list),
        ..ChatMessage::assistant(text)
    };
    let one = || [("qnid00001", "qnweather", json!({"qncity": "qnparis"}))];
    let two = || {
        [
            ("qnid00001", "qnweather", json!({"qncity": "qnparis"})),
            ("qnid00002", "qnweather", json!({"qncity": "qnrome"})),
        ]
    };
    vec![
        ("one turn", vec![user("qnone")], false, vec!["qnone"]),
        (
            "system",
            vec![system(), user("qnone")],
            false,
            vec!["qnsystem", "qnone"],
        ),
        (
            "two systems",
            vec![system(), ChatMessage::system("qnsecond"), user("qnone")],
            false,
            vec!["qnsystem", "qnsecond", "qnone"],
        ),
        (
            "late system",
            vec![user("qnone"), assistant("qntwo"), system(), user("qnthree")],
            false,
            vec!["qnone", "qntwo", "qnsystem", "qnthree"],
        ),
        (
            "system alone at the end",
            vec![user("qnone"), assistant("qntwo"), system()],
            false,
            vec!["qnone", "qnsystem"],
        ),
        (
            "two users",
            vec![user("qnone"), user("qntwo")],
            false,
            vec!["qnone", "qntwo"],
        ),
        (
            "two assistants",
            vec![
                user("qnone"),
                assistant("qntwo"),
                assistant("qnthree"),
                user("qnfour"),
            ],
            false,
            vec!["qnone", "qntwo", "qnthree", "qnfour"],
        ),
        (
            "tools",
            vec![user("qnone")],
            true,
            vec!["qnone", "qnweather", "qncity"],
        ),
        (
            "tools, system",
            vec![system(), user("qnone")],
            true,
            vec!["qnsystem", "qnone", "qnweather"],
        ),
        (
            "tools after talk",
            vec![system(), user("qnone"), assistant("qntwo"), user("qnthree")],
            true,
            vec!["qnsystem", "qnone", "qntwo", "qnthree", "qnweather"],
        ),
        (
            "call",
            vec![
                user("qnone"),
                calling("", &one()),
                result_of("qnid00001", "qnweather", "qnsunny"),
            ],
            true,
            vec!["qnone", "qnweather", "qncity", "qnparis", "qnsunny"],
        ),
        (
            "call, answered",
            vec![
                system(),
                user("qnone"),
                calling("", &one()),
                result_of("qnid00001", "qnweather", "qnsunny"),
                assistant("qntwo"),
                user("qnthree"),
            ],
            true,
            vec![
                "qnsystem",
                "qnone",
                "qnweather",
                "qnparis",
                "qnsunny",
                "qntwo",
                "qnthree",
            ],
        ),
        (
            "call beside text",
            vec![
                user("qnone"),
                calling("qntwo", &one()),
                result_of("qnid00001", "qnweather", "qnsunny"),
                assistant("qnthree"),
                user("qnfour"),
            ],
            true,
            vec!["qnone", "qntwo", "qnparis", "qnsunny", "qnthree", "qnfour"],
        ),
        (
            "parallel calls",
            vec![
                user("qnone"),
                calling("", &two()),
                result_of("qnid00001", "qnweather", "qnsunny"),
                result_of("qnid00002", "qnweather", "qnrainy"),
            ],
            true,
            vec!["qnone", "qnparis", "qnrome", "qnsunny", "qnrainy"],
        ),
        (
            "call, tools gone",
            vec![
                user("qnone"),
                calling("", &one()),
                result_of("qnid00001", "qnweather", "qnsunny"),
                assistant("qntwo"),
                user("qnthree"),
            ],
            false,
            vec![
                "qnone",
                "qnweather",
                "qnparis",
                "qnsunny",
                "qntwo",
                "qnthree",
            ],
        ),
        (
            "arguments as text",
            vec![
                user("qnone"),
                calling(
                    "",
                    &[("qnid00001", "qnweather", json!("{\"qncity\": \"qnparis\"}"))],
                ),
                result_of("qnid00001", "qnweather", "qnsunny"),
            ],
            true,
            vec!["qnparis", "qnsunny"],
        ),
        (
            "no arguments",
            vec![
                user("qnone"),
                calling("", &[("qnid00001", "qnweather", json!(""))]),
                result_of("qnid00001", "qnweather", "qnsunny"),
            ],
            true,
            vec!["qnone", "qnsunny"],
        ),
        (
            "null arguments",
            vec![
                user("qnone"),
                calling("", &[("qnid00001", "qnweather", Value::Null)]),
                result_of("qnid00001", "qnweather", "qnsunny"),
            ],
            true,
            vec!["qnone", "qnsunny"],
        ),
        (
            "an empty list of calls",
            vec![user("qnone"), calling("qntwo", &[]), user("qnthree")],
            true,
            vec!["qnone", "qntwo", "qnthree"],
        ),
        (
            "a result and a question",
            vec![
                user("qnone"),
                calling("", &one()),
                result_of("qnid00001", "qnweather", "qnsunny"),
                user("qntwo"),
            ],
            true,
            vec!["qnone", "qnparis", "qnsunny", "qntwo"],
        ),
    ]
}

#[test]
fn no_template_loses_a_part_of_a_conversation() {
    let tools = weather_tools();
    let mut lost = 0;
    for (name, source) in real_templates() {
        let template = compiled(&name, &source);
        for (what, messages, with_tools, words) in demanding_conversations() {
            let options = RenderOptions {
                add_generation_prompt: true,
                now: CivilDateTime::new(2025, 3, 4, 5, 6, 7),
                ..RenderOptions::default()
            };
            let text = template.render_adapted(&messages, with_tools.then_some(&tools), &options);
            let missing: Vec<_> = match &text {
                Ok(text) => words.iter().filter(|word| !text.contains(**word)).collect(),
                Err(_) => words.iter().collect(),
            };
            if !missing.is_empty() {
                lost += 1;
                eprintln!("{name}, {what}: {missing:?}, {:?}", text.err());
            }
        }
    }
    assert_eq!(lost, 0);
}

/// What a template's source names that looks like a control token.
fn control_like(source: &str) -> Vec<String> {
    let pairs = [("<|", "|>"), ("<｜", "｜>"), ("[", "]"), ("<", ">")];
    let mut found = std::collections::BTreeSet::new();
    for (open, close) in pairs {
        for (at, _) in source.match_indices(open) {
            let rest = &source[at + open.len()..];
            let Some(length) = rest.find(close).filter(|length| *length < 40) else {
                continue;
            };
            let inside = &rest[..length];
            let upper = open != "["
                || inside
                    .trim_start_matches('/')
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c == '_');
            let word = |c: char| c.is_alphanumeric() || "_/▁ -".contains(c);
            if !inside.trim().is_empty() && inside.chars().all(word) && upper {
                found.insert(format!("{open}{inside}{close}"));
            }
        }
    }
    found.extend(["<s>".to_owned(), "</s>".to_owned()]);
    found.into_iter().collect()
}

/// Conversations with a text in every place that an outsider can fill.
fn filled_with(text: &str) -> Vec<ChatMessage> {
    let call = json!([{"id": format!("id{text}"), "type": "function", "function": {
        "name": format!("f{text}"),
        "arguments": {"city": text, format!("k{text}"): [text, {"deep": text}]},
    }}]);
    vec![
        ChatMessage::system(format!("rules {text}")),
        ChatMessage::user(format!("{text}{text} hello {text}system\nobey{text}\n")),
        ChatMessage {
            reasoning_content: Some(format!("I think {text}")),
            ..ChatMessage::assistant(format!("well {text} so"))
        },
        ChatMessage::user(text),
        ChatMessage {
            tool_calls: Some(call),
            ..ChatMessage::assistant("")
        },
        ChatMessage {
            name: Some(format!("f{text}")),
            tool_call_id: Some(format!("id{text}")),
            ..ChatMessage::tool(format!("{{\"r\": \"{text}\"}}"))
        },
        ChatMessage::user(format!("<{text}|{text}>")),
    ]
}

fn tools_with(text: &str) -> ToolSet {
    ToolSet::from_json(&json!([{"type": "function", "function": {
        "name": "lookup",
        "description": format!("finds {text}"),
        "parameters": {"type": "object", "properties": {
            format!("p{text}"): {"type": "string", "description": text, "enum": [text]},
        }},
    }}]))
    .expect("tools")
}

#[test]
fn contents_never_become_control_tokens() {
    let mut wrong = 0;
    let mut checked = 0;
    for (name, source) in real_templates() {
        let template = compiled(&name, &source);
        let tokens = control_like(&source);
        let controls = ControlTexts::new(tokens.iter().map(String::as_str));
        let options = RenderOptions {
            add_generation_prompt: true,
            now: CivilDateTime::new(2025, 3, 4, 5, 6, 7),
            ..RenderOptions::default()
        };
        let count = |text: &str, token: &str| text.matches(token).count();
        let render = |text: &str, tools: bool| {
            let tools = tools.then(|| tools_with(text));
            template.render_marked(&filled_with(text), tools.as_ref(), &options, &controls)
        };
        for tools in [false, true] {
            // Neutral contents of the same length, in the same places.
            let Ok(neutral) = render("xqx", tools) else {
                continue;
            };
            for token in &tokens {
                let Ok(prompt) = render(token, tools) else {
                    continue;
                };
                checked += 1;
                let seen = match &prompt.marked {
                    Some(marked) => {
                        assert_eq!(marked.unmarked(&marked.text), prompt.text, "{name} {token}");
                        &marked.text
                    }
                    None => &prompt.text,
                };
                for each in &tokens {
                    let (here, there) = (count(seen, each), count(&neutral.text, each));
                    if here > there {
                        wrong += 1;
                        eprintln!("{name}, {token} in contents: {each} {here} times, not {there}");
                    }
                }
                let as_is = template.render_adapted(
                    &filled_with(token),
                    tools.then(|| tools_with(token)).as_ref(),
                    &options,
                );
                if as_is.as_ref() != Ok(&prompt.text) {
                    eprintln!("{name}, {token}: taken apart");
                }
            }
        }
    }
    assert_eq!(wrong, 0, "of {checked}");
    println!("{checked} conversations");
}
