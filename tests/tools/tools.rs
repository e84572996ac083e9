//! Tool definitions, tool formats and how templates get them, without a model.

use elpis::inference::{
    ChatFormat, ChatTemplate, GenerationOptions, MAX_TOOLS, RequestError, ResponseFormat,
    SpecialTokens, ToolChoice, ToolError, ToolFormat, ToolSet,
};
use serde_json::{Value, json};

fn weather() -> Value {
    json!([{
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
            },
        },
    }])
}

#[test]
fn tools_are_read_from_either_form_and_given_defaults() {
    let tools = ToolSet::from_json(&json!([
        weather()[0],
        {"name": "now"},
        {"type": "function", "function": {"name": "a.b-c", "parameters": null, "strict": true}},
    ]))
    .unwrap();
    let names: Vec<_> = tools
        .tools()
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["get_weather", "now", "a.b-c"]);
    assert_eq!(
        tools.tools()[1].parameters,
        json!({"properties": {}, "additionalProperties": false, "type": "object"})
    );
    assert_eq!(tools.to_json()[0], weather()[0]);
    assert_eq!(ToolSet::from_json(&tools.to_json()).unwrap(), tools);
}

#[test]
fn tools_of_every_api_are_taken_and_unknown_forms_are_refused() {
    let schema = json!({
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    });
    let tools = ToolSet::from_json(&json!([
        // OpenAI's responses.
        {"type": "function", "name": "responses", "description": "d", "parameters": schema, "strict": true},
        // MCP's tools/list.
        {"name": "mcp.list-items_2", "title": "T", "description": "d", "inputSchema": schema,
            "outputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true},
            "icons": [], "_meta": {"a": 1}, "execution": {"taskSupport": "optional"}},
        // Anthropic's messages.
        {"name": "messages", "description": "d", "input_schema": schema,
            "cache_control": {"type": "ephemeral"}, "type": "custom"},
        // Hugging Face's get_json_schema.
        {"type": "function", "function": {"name": "hf", "description": "d", "parameters": schema,
            "return": {"type": "string"}}},
        {"name": "either", "description": "d", "inputSchema": {"type": ["object", "null"],
            "properties": {"place": {"type": "string"}}, "required": ["place"]}},
        {"name": "long".repeat(32), "description": "d", "inputSchema": schema, "x-internal": 1},
    ]))
    .unwrap();
    assert_eq!(tools.tools().len(), 6);
    for tool in tools.tools() {
        assert_eq!(
            (&tool.parameters, tool.description.as_str()),
            (&schema, "d"),
            "{}",
            tool.name
        );
    }
    for (entry, words) in [
        (
            json!({"name": "f", "params": schema}),
            ["\"params\"", "\"inputSchema\""],
        ),
        (
            json!({"name": "f", "schema": schema}),
            ["\"schema\"", "\"input_schema\""],
        ),
        (
            json!({"name": "f", "arguments": schema}),
            ["\"arguments\"", "\"parameters\""],
        ),
        (
            json!({"function_declarations": []}),
            ["name", "\"parameters\""],
        ),
        (
            json!({"toolSpec": {"name": "f"}}),
            ["name", "\"inputSchema\""],
        ),
        (
            json!({"type": "web_search_20250305", "name": "web_search"}),
            ["type", "web_search_20250305"],
        ),
        (
            json!({"type": "custom", "custom": {"name": "f"}}),
            ["type", "\"custom\""],
        ),
        (
            json!({"name": "f", "inputSchema": schema, "parameters": schema}),
            ["parameters", "inputSchema"],
        ),
        (
            json!({"name": "f", "input_schema": {"type": "array"}}),
            ["input_schema", "\"object\""],
        ),
        (
            json!({"name": "f", "inputSchema": "x"}),
            ["inputSchema", "is not a JSON schema"],
        ),
        (json!("f"), ["not an object", "\"parameters\""]),
    ] {
        let error = ToolSet::from_json(&json!([entry])).unwrap_err();
        let text = error.to_string();
        let told = words.iter().all(|word| text.contains(word));
        assert!(
            told && text.starts_with("tool 0: "),
            "{text} lacks {words:?}"
        );
    }
}

#[test]
fn bad_tools_are_refused_with_field_value_and_limit() {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (json!({}), "list"),
        (json!([]), "list"),
        (json!([1]), "not an object"),
        (
            json!([{"type": "retrieval", "function": {"name": "f"}}]),
            "type",
        ),
        (json!([{"function": 1}]), "function"),
        (json!([{"type": "function"}]), "name"),
        (json!([{"name": "with space"}]), "with space"),
        (json!([{"name": "x".repeat(129)}]), "1 to 128"),
        (json!([{"name": "f", "description": 1}]), "description"),
        (json!([{"name": "f", "parameters": []}]), "JSON schema"),
        (
            json!([{"name": "f", "parameters": {"type": "string"}}]),
            "object",
        ),
        (json!([{"name": "f"}, {"name": "f"}]), "taken"),
        (
            json!([{"name": "f", "description": "x".repeat(300_000)}]),
            "262144",
        ),
        (
            json!([{"name": "f", "parameters": {"x": deep}}]),
            "67 levels",
        ),
        (json!(vec![json!({"name": "f"}); MAX_TOOLS + 1]), "128"),
    ];
    for (tools, expected) in cases {
        let error = ToolSet::from_json(&tools).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error} lacks {expected}"
        );
        assert!(!error.kind().is_empty());
    }
}

#[test]
fn choices_are_checked_against_the_tools() {
    let options = |tools: Option<Value>, choice: Option<ToolChoice>| {
        let mut options = GenerationOptions::default();
        (options.tools, options.tool_choice) = (tools, choice);
        options
    };
    assert!(options(None, Some(ToolChoice::None)).validate().is_ok());
    assert!(options(Some(weather()), None).validate().is_ok());
    let named = |name: &str| Some(ToolChoice::Named(name.to_owned()));
    assert!(
        options(Some(weather()), named("get_weather"))
            .validate()
            .is_ok()
    );
    assert_eq!(
        options(Some(weather()), named("x")).validate(),
        Err(RequestError::Tools(ToolError::UnknownChoice {
            name: "x".into()
        }))
    );
    assert!(matches!(
        options(None, Some(ToolChoice::Required)).validate(),
        Err(RequestError::Tools(ToolError::ChoiceWithoutTools { .. }))
    ));
    let both = options(Some(weather()), None).response_format(ResponseFormat::JsonObject);
    assert_eq!(
        both.validate(),
        Err(RequestError::Tools(ToolError::WithResponseFormat))
    );
    assert!(both.tool_set().unwrap().is_some());
    let none = options(Some(weather()), Some(ToolChoice::None));
    assert!(none.tool_set().unwrap().is_none());
}

#[test]
fn requests_are_read_from_json() {
    let options: GenerationOptions = serde_json::from_value(json!({
        "tools": weather(),
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": false,
    }))
    .unwrap();
    assert_eq!(
        options.tool_choice,
        Some(ToolChoice::Named("get_weather".into()))
    );
    let again: GenerationOptions =
        serde_json::from_value(serde_json::to_value(&options).unwrap()).unwrap();
    assert_eq!(again, options);
    for choice in ["auto", "none", "required"] {
        let read: ToolChoice = serde_json::from_value(json!(choice)).unwrap();
        assert_eq!(read.to_string(), choice);
        assert_eq!(serde_json::to_value(&read).unwrap(), json!(choice));
    }
    assert!(serde_json::from_value::<ToolChoice>(json!("any")).is_err());
    for format in [
        json!({"type": "text"}),
        json!({"type": "json_object"}),
        json!({"type": "json_schema", "json_schema": {"schema": {"type": "integer"}}}),
        json!({"type": "regex", "regex": "a+"}),
        json!({"type": "choice", "choice": ["a", "b"]}),
        json!({"type": "lark", "lark": "start: \"a\""}),
    ] {
        let read: ResponseFormat = serde_json::from_value(format.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), format);
    }
    let named =
        json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {}}});
    assert!(serde_json::from_value::<ResponseFormat>(named).is_ok());
}

#[test]
fn formats_follow_from_templates() {
    let file = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/templates/");
        let source = std::fs::read_to_string(format!("{folder}{name}.jinja")).unwrap();
        ChatTemplate::from_source(name, &source, SpecialTokens::new("<s>", "</s>")).unwrap()
    };
    for (name, format, native) in [
        ("hermes_macros", ToolFormat::Hermes, true),
        ("llama_tools", ToolFormat::Llama3, true),
        ("mistral_tools", ToolFormat::Mistral, true),
        ("gemma_style", ToolFormat::Gemma, false),
        ("phi_style", ToolFormat::Json, false),
    ] {
        let template = file(name);
        assert_eq!(
            (template.tool_format(), template.capabilities().tools),
            (format, native),
            "{name}"
        );
    }
    let marks = [
        (
            "{{ '[TOOL_CALLS]' + name + '[ARGS]' }}",
            ToolFormat::MistralV11,
        ),
        (
            "<start_of_turn><start_function_call>",
            ToolFormat::FunctionGemma,
        ),
        (
            "<|im_start|><tool_call><function=f><parameter=p>",
            ToolFormat::Qwen3Coder,
        ),
        ("<|im_start|><tool_call><function=f>{}", ToolFormat::Hermes),
    ];
    for (source, format) in marks {
        assert_eq!(ToolFormat::of_template(source), format, "{source}");
    }
    for (named, format) in [
        (ChatFormat::Llama3, ToolFormat::Llama3),
        (ChatFormat::ChatMl, ToolFormat::Hermes),
        (ChatFormat::Gemma, ToolFormat::Gemma),
        (ChatFormat::Phi3, ToolFormat::Json),
    ] {
        let template = ChatTemplate::named(named).unwrap();
        assert_eq!(
            (template.tool_format(), template.capabilities().tools),
            (format, false),
            "{named}"
        );
    }
}

#[test]
fn grammars_name_every_tool_and_bound_the_calls() {
    let tools = ToolSet::from_json(&json!([{"name": "first_one"}, {"name": "other"}])).unwrap();
    for &format in ToolFormat::ALL {
        let one = format.grammar(tools.tools(), false, &[]).unwrap();
        let several = format.grammar(tools.tools(), true, &[]).unwrap();
        for lark in [&one, &several] {
            // Names stand in terminals, as expressions.
            let named =
                |name: &str| lark.contains(name) || lark.contains(&name.replace('_', "\\x{5F}"));
            assert!(tools.names().all(named), "{format}: {lark}");
        }
        // Bounds of names and of white space are others.
        assert!(!one.contains("{0,15}"), "{one}");
        assert!(several == one || several.contains("{0,15}"), "{several}");
    }
}
