//! Real templates: against Jinja2, with conversations that they cannot show as they are, and with
//! contents that look like control tokens.

use std::path::Path;

use elpis_inference::{
    ChatMessage, ChatTemplate, CivilDateTime, ControlTexts, RenderOptions, SpecialTokens,
    TemplateError, ToolSet,
};
use serde_json::{Value, json};

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

/// Real templates are not stored here: `ELPIS_TEST_TEMPLATES` names a folder with those that llama.cpp
/// publishes, `ELPIS_TEST_PYTHON` a Python with jinja2.
#[test]
fn renders_as_jinja2_does() {
    let (Some(folder), Some(python)) = (
        std::env::var_os("ELPIS_TEST_TEMPLATES"),
        std::env::var_os("ELPIS_TEST_PYTHON"),
    ) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEST_TEMPLATES must name a folder of templates and ELPIS_TEST_PYTHON a Python with jinja2"
        );
        println!("skipped: ELPIS_TEST_TEMPLATES or ELPIS_TEST_PYTHON is not set");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = root.join("../../tests/data/templates");
    let output = std::process::Command::new(python)
        .arg(root.join("../../tests/support/chat_templates.py"))
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

/// The real templates, each with its name; none where `ELPIS_TEST_TEMPLATES` is not set.
fn real_templates() -> Vec<(String, String)> {
    let Some(folder) = std::env::var_os("ELPIS_TEST_TEMPLATES") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEST_TEMPLATES is not set"
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

/// Conversations that many templates refuse or show in part, with the words that have to be seen.
#[derive(serde::Deserialize)]
struct Demanding {
    name: String,
    messages: Vec<ChatMessage>,
    tools: bool,
    words: Vec<String>,
}

fn demanding() -> Vec<Demanding> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/templates/demanding.json");
    let text = std::fs::read_to_string(path).expect("demanding.json");
    serde_json::from_str(&text).expect("conversations")
}

#[test]
fn no_template_loses_a_part_of_a_conversation() {
    let tools = weather_tools();
    let mut lost = 0;
    for (name, source) in real_templates() {
        let template = compiled(&name, &source);
        for case in demanding() {
            let options = RenderOptions {
                add_generation_prompt: true,
                now: CivilDateTime::new(2025, 3, 4, 5, 6, 7),
                ..RenderOptions::default()
            };
            let offered = case.tools.then_some(&tools);
            let text = template.render_adapted(&case.messages, offered, &options);
            let lacks = |word: &&String| !text.as_ref().is_ok_and(|text| text.contains(*word));
            let missing: Vec<_> = case.words.iter().filter(lacks).collect();
            if !missing.is_empty() {
                lost += 1;
                eprintln!("{name}, {}: {missing:?}, {:?}", case.name, text.err());
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
