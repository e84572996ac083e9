//! Function calling and structured output on the bundled model, which knows nothing of either:
//! whatever it returns is valid because it could not write anything else.

mod random;

use std::path::Path;

use elpis::InferenceEngine;
use elpis::inference::{
    ConstraintError, FinishReason, GenerationOptions, RequestError, ToolFormat,
};
use elpis::settings::PrefixPolicy;
use elpis::{
    ChatMessage, ChatRequest, Coefficients, Elpis, EngineError, Error, FunctionCall,
    GenerationEvent, ResponseFormat, Session, Settings, ToolChoice,
};
use serde_json::{Value, json};

use super::runtime::start;
use elpis_testkit::schemas;

/// Threads that wait for each other are slow in the company of other tests.
fn settings() -> Settings {
    let mut settings = super::runtime::settings();
    settings.model.n_threads = Some(1);
    settings
}

/// Formats that a few words in a template name, each with them. The others are known by what their
/// templates render.
const MARKS: [(ToolFormat, &str); 8] = [
    (ToolFormat::Hermes, "<tool_call>"),
    (ToolFormat::Llama3, "<|start_header_id|>"),
    (ToolFormat::Mistral, "[TOOL_CALLS]"),
    (ToolFormat::MistralV11, "[ARGS]"),
    (ToolFormat::Gemma, "<start_of_turn>"),
    (ToolFormat::FunctionGemma, "<start_function_call>"),
    (ToolFormat::Qwen3Coder, "<tool_call> <function= <parameter="),
    (ToolFormat::Json, ""),
];

/// A template that names a tool format and does not describe the tools, since the bundled model
/// has room for few tokens.
fn template(folder: &Path, (format, marks): (ToolFormat, &str)) -> String {
    let file = folder.join("template.jinja");
    // In two parts, since it would name a format as well.
    let begin = "{{ '<|im_' + 'start|>' }}";
    // Shows tools, but not those of these tests: their prompts are the same with and without.
    let tools = "{% if tools and tools[0].function.name not in ['get_weather', 'first'] %}\
                 {{ tools | tojson }}{% endif %}";
    let source = format!(
        "{{# {marks} #}}{tools}{{% for message in messages %}}{begin}{{{{ message.role }}}}\n\
         {{{{ message.content }}}}<|im_end|>\n{{% endfor %}}{begin}assistant\n"
    );
    assert_eq!(ToolFormat::of_template(&source), format);
    std::fs::write(&file, source).unwrap();
    file.display().to_string()
}

fn weather() -> Value {
    json!([{"type": "function", "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "maxLength": 12},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["place", "days"],
            "additionalProperties": false,
        },
    }}])
}

fn check_weather(call: &FunctionCall) {
    assert_eq!(call.name, "get_weather");
    schemas::check(&weather()[0]["function"]["parameters"], &call.arguments);
}

/// Upset, as strongly as a session can be.
async fn upset(elpis: &Elpis, name: &str) -> Session {
    let session = elpis.session(name).unwrap();
    session.set_strength(3.0).await.unwrap();
    for _ in 0..4 {
        session.feel("blocked").await.unwrap();
    }
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_tools_and_goes_on_with_their_results() {
    let elpis = start(settings()).await;
    assert!(elpis.capabilities().await.unwrap().supports_tools);
    let session = upset(&elpis, "a").await;
    let mut messages = vec![ChatMessage::user("How is the weather?")];
    let mut ids = Vec::new();
    for turn in 0..3 {
        let chat = session
            .chat(&messages)
            .tools(weather())
            .seed(5)
            .max_tokens(300);
        let named = ToolChoice::Named("get_weather".into());
        let reply = chat.tool_choice(named).complete().await.unwrap();
        let [call] = reply.tool_calls.as_slice() else {
            panic!("{reply:?}");
        };
        check_weather(call);
        ids.push(call.id.clone());
        // The steering of tool calls is off unless it is asked for.
        assert!(!reply.report.constrained.unwrap().steered);
        if turn > 0 {
            assert!(
                reply.report.cached_prompt_tokens > 100,
                "{:?}",
                reply.report
            );
        }
        messages.push(ChatMessage::assistant_calls(reply.text, &reply.tool_calls));
        messages.push(ChatMessage::tool_result(call, "sunny"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "ids are used once, also under one seed");
    // In the end it may talk.
    let chat = session
        .chat(&messages)
        .tools(weather())
        .tool_choice(ToolChoice::None);
    let reply = chat.max_tokens(20).seed(1).complete().await.unwrap();
    assert!(reply.tool_calls.is_empty() && !reply.text.is_empty());
    assert_eq!(reply.report.constrained, None);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn function_call_returns_calls_or_none() {
    let elpis = start(settings()).await;
    let request = |options: GenerationOptions| ChatRequest {
        session: "a".into(),
        messages: vec![ChatMessage::user("Tell me about trains.")],
        options: options.max_tokens(300).seed(2),
    };
    let required = GenerationOptions::default().tool_choice(ToolChoice::Required);
    let calls = elpis.function_call(request(required), weather()).await;
    let calls = calls.unwrap();
    assert!(!calls.is_empty());
    calls.iter().for_each(check_weather);
    // Left to itself, the model talks about trains.
    let none = elpis
        .function_call(request(GenerationOptions::default()), weather())
        .await
        .unwrap();
    assert!(none.is_empty(), "{none:?}");
    let bad = elpis
        .function_call(
            request(GenerationOptions::default()),
            json!([{"name": "a b"}]),
        )
        .await;
    assert!(
        matches!(
            &bad,
            Err(Error::Engine(EngineError::Request(RequestError::Tools(_))))
        ),
        "{bad:?}"
    );
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_leaves_free_text_as_it_is() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut plain = settings();
    // The same prompt with and without tools.
    plain.model.chat_format = Some(template(folder.path(), MARKS[0]));
    let other = start(plain).await;
    let other_session = other.session("a").unwrap();
    let ask = |seed: u64| {
        other_session
            .chat("Tell me about trains.")
            .max_tokens(40)
            .seed(seed)
    };
    for seed in 0..4 {
        let free = ask(seed).complete().await.unwrap();
        let tools = ask(seed).tools(weather()).complete().await.unwrap();
        assert_eq!(free.text, tools.text);
        let word = free.text.split_whitespace().nth(3).unwrap();
        let stopped = ask(seed)
            .tools(weather())
            .stop(word)
            .complete()
            .await
            .unwrap();
        assert_eq!(stopped.report.finish_reason, FinishReason::StopString);
        assert!(free.text.starts_with(&stopped.text));
    }
    let chat = session
        .chat("Tell me about trains.")
        .tools(weather())
        .max_tokens(30);
    assert!(!chat.complete().await.unwrap().text.is_empty());
    other.shutdown().await;
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thinking_that_never_ends_makes_no_calls() {
    let folder = tempfile::tempdir().unwrap();
    let mut thinking = settings();
    let file = template(folder.path(), MARKS[0]);
    let source = std::fs::read_to_string(&file).unwrap() + "<think>";
    std::fs::write(&file, source).unwrap();
    thinking.model.chat_format = Some(file);
    let elpis = start(thinking).await;
    let session = elpis.session("a").unwrap();
    let ask = |choice| {
        let chat = session.chat("Tell me about trains.").tools(weather());
        chat.tool_choice(choice).max_tokens(300).seed(1).complete()
    };
    // The bundled model has not learnt to end it.
    let error = ask(ToolChoice::Named("get_weather".into()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("300 tokens"), "{error}");
    assert!(ask(ToolChoice::Auto).await.unwrap().tool_calls.is_empty());
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_streamed_as_they_are_written() {
    let elpis = start(settings()).await;
    let session = elpis.session("a").unwrap();
    let mut stream = session
        .chat("How is the weather?")
        .tools(weather())
        .tool_choice(ToolChoice::Required)
        .parallel_tool_calls(false)
        .stop("get_weather")
        .max_tokens(300)
        .stream()
        .await
        .unwrap();
    let (mut started, mut arguments, mut pieces, mut call) = (None, String::new(), 0, None);
    let mut report = None;
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            GenerationEvent::ToolCallStarted { index, id, name } => {
                assert!((index, name.as_str()) == (0, "get_weather") && started.is_none());
                started = Some(id);
            }
            GenerationEvent::ToolCallArguments { index, json } => {
                assert!(index == 0 && started.is_some() && call.is_none());
                pieces += 1;
                arguments.push_str(&json);
            }
            GenerationEvent::ToolCall(made) => call = Some(made),
            GenerationEvent::Finished(finished) => report = Some(finished),
            other => panic!("{other:?}"),
        }
    }
    let call = call.unwrap();
    check_weather(&call);
    assert_eq!(started, Some(call.id));
    assert_eq!(
        serde_json::from_str::<Value>(&arguments).unwrap(),
        call.arguments
    );
    assert!(pieces > 3, "{pieces}");
    assert_eq!(report.unwrap().finish_reason, FinishReason::ToolCalls);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_to_their_form_or_are_an_error() {
    let elpis = start(settings()).await;
    let session = upset(&elpis, "a").await;
    let ask = |format: ResponseFormat, max_tokens: u32| {
        let chat = session
            .chat("Tell me about trains.")
            .response_format(format);
        chat.max_tokens(max_tokens).temperature(1.5).complete()
    };
    let schema = json!({"type": "object", "properties": {
        "verdict": {"enum": ["good", "bad"]},
        "reasons": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 3},
    }, "required": ["verdict", "reasons"], "additionalProperties": false});
    for _ in 0..5 {
        let json = ask(ResponseFormat::json_schema(schema.clone()), 200)
            .await
            .unwrap();
        schemas::check(&schema, &serde_json::from_str(&json.text).unwrap());
        assert_eq!(json.report.finish_reason, FinishReason::Stop);
        let date = ask(ResponseFormat::regex("[0-9]{4}-[01][0-9]"), 50)
            .await
            .unwrap()
            .text;
        assert!(date.len() == 7 && date.as_bytes()[4] == b'-', "{date}");
        let choice = ask(ResponseFormat::choice(["train", "tram"]), 50)
            .await
            .unwrap()
            .text;
        assert!(["train", "tram"].contains(&choice.as_str()), "{choice}");
        let sum = ask(
            ResponseFormat::lark("start: /[0-9]/ (\"+\" /[0-9]/){2}"),
            50,
        )
        .await
        .unwrap();
        assert_eq!(sum.text.matches('+').count(), 2);
    }
    let error = ask(ResponseFormat::json_schema(schema), 6)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Engine(EngineError::Constraint(ConstraintError::Unfinished {
                finish_reason: FinishReason::Length,
                tokens: 6,
            }))
        ),
        "{error:?}"
    );
    let error = ask(ResponseFormat::regex("("), 6).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Engine(EngineError::Constraint(ConstraintError::Refused { .. }))
        ),
        "{error:?}"
    );
    assert!(
        !super::runtime::say(&elpis, "b", 1).await.is_empty(),
        "it serves on"
    );
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_constrained_is_not_steered_unless_asked_for() {
    let mut plain = String::new();
    for steered in [false, true] {
        let mut settings = settings();
        settings.model.steer_constrained = steered;
        // So that the prompt is not steered either.
        settings.runtime.prefix_policy = PrefixPolicy::PromptUnsteered;
        let elpis = start(settings).await;
        let session = elpis.session("a").unwrap();
        let mut texts = Vec::new();
        for emotion in ["excited", "calm", "frustrated", "depleted"] {
            for strength in [0.0, 1.0] {
                let mut coefficients = Coefficients::new();
                coefficients.insert(emotion, strength).unwrap();
                let reply = session
                    .chat("Tell me about trains.")
                    .coefficients(coefficients)
                    .response_format(ResponseFormat::regex("[a-zA-Z ,.!]{90}"))
                    .temperature(0.0)
                    .max_tokens(100);
                texts.push(reply.complete().await.unwrap().text);
            }
        }
        elpis.shutdown().await;
        let changed = texts.iter().filter(|text| **text != texts[0]).count();
        if steered {
            assert!(changed >= 2, "{texts:?}");
            assert_eq!(plain, texts[0]);
        } else {
            assert_eq!(changed, 0, "{texts:?}");
            plain = texts.remove(0);
        }
    }
}
