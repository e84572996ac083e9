//! Function calling and structured output on the bundled model, which knows nothing of either:
//! whatever it returns is valid because it could not write anything else.

use std::path::Path;

use elpis::backend::BackendKind;
use elpis::inference::{ConstraintError, FinishReason, GenerationOptions, RequestError, ToolSet};
use elpis::settings::{ModelSettings, PrefixPolicy, RuntimeSettings};
use elpis::{
    ChatMessage, ChatRequest, Coefficients, Elpis, EngineError, Error, FunctionCall,
    GenerationEvent, InferenceEngine, ResponseFormat, Session, Settings, ToolChoice,
};
use serde_json::{Value, json};

use super::runtime::start;
use crate::BACKEND;
use crate::schemas::{self, Schemas};

/// Threads that wait for each other are slow in the company of other tests.
fn settings() -> Settings {
    let mut settings = super::runtime::settings();
    settings.model.n_threads = Some(1);
    settings
}

/// Templates that name a tool format and do not describe the tools, since the bundled model has
/// room for few tokens.
const FORMATS: [&str; 5] = [
    "<tool_call>",
    "<|start_header_id|>",
    "[TOOL_CALLS]",
    "<start_of_turn>",
    "",
];

fn template(folder: &Path, format: &str) -> String {
    let file = folder.join("template.jinja");
    let source = format!(
        "{{# {format} tools #}}{{% for message in messages %}}<|im_start|>{{{{ message.role }}}}\n\
         {{{{ message.content }}}}<|im_end|>\n{{% endfor %}}<|im_start|>assistant\n"
    );
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
async fn calls_of_random_tools_are_valid_at_full_steering_and_heat() {
    let rounds = match BACKEND {
        BackendKind::LlamaCpp => 500,
        _ => 100,
    };
    let mut schemas = Schemas::new(schemas::seed(), 1);
    let (mut made, mut unfinished) = (0, 0);
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelSettings::default()
            .backend(BACKEND)
            .chat_format(template(folder.path(), format))
            .n_threads(1_usize)
            .steer_constrained(true);
        let runtime = RuntimeSettings::default().n_parallel(8_usize);
        let elpis = start(settings().model(model).runtime(runtime)).await;
        let session = upset(&elpis, "a").await;
        let mut running = tokio::task::JoinSet::new();
        for round in 0..rounds / FORMATS.len() {
            let list = json!([schemas.tool("first")]);
            let chat = session
                .chat("Tell me about trains.")
                .tools(list.clone())
                .tool_choice(ToolChoice::Required)
                .parallel_tool_calls(round % 10 == 0)
                .temperature(1.5)
                .top_p(1.0)
                .top_k(0)
                .max_tokens(900);
            running.spawn(async move { (list, chat.complete().await) });
            if running.len() < 8 && round + 1 < rounds / FORMATS.len() {
                continue;
            }
            while let Some(finished) = running.join_next().await {
                let (list, reply) = finished.unwrap();
                match reply {
                    Ok(reply) => {
                        made += reply.tool_calls.len();
                        check_reply(&list, &reply);
                    }
                    Err(Error::Engine(EngineError::Constraint(ConstraintError::Unfinished {
                        ..
                    }))) => unfinished += 1,
                    Err(error) => panic!("{error}\n{list}"),
                }
            }
        }
        elpis.shutdown().await;
    }
    println!("{made} calls, {unfinished} replies out of tokens");
    assert!(
        made >= rounds * 9 / 10,
        "{made} calls, {unfinished} out of tokens"
    );
}

fn check_reply(list: &Value, reply: &elpis::Completion) {
    assert!(
        !reply.tool_calls.is_empty() && reply.text.is_empty(),
        "{reply:?}"
    );
    assert_eq!(reply.report.finish_reason, FinishReason::ToolCalls);
    let span = reply.report.constrained.unwrap();
    assert!(span.steered && span.from_token == 0);
    assert!(reply.report.modulation().unwrap().steering[0].norm > 0.0);
    let tools = ToolSet::from_json(list).unwrap();
    for call in &reply.tool_calls {
        let tool = tools.tools().iter().find(|tool| tool.name == call.name);
        schemas::check(&tool.unwrap().parameters, &call.arguments);
    }
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
    let request = |choice: Option<ToolChoice>| ChatRequest {
        session: "a".into(),
        messages: vec![ChatMessage::user("Tell me about trains.")],
        options: GenerationOptions {
            tool_choice: choice,
            max_tokens: Some(300),
            seed: Some(2),
            ..GenerationOptions::default()
        },
    };
    let calls = elpis
        .function_call(request(Some(ToolChoice::Required)), weather())
        .await;
    let calls = calls.unwrap();
    assert!(!calls.is_empty());
    calls.iter().for_each(check_weather);
    // Left to itself, the model talks about trains.
    let none = elpis.function_call(request(None), weather()).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    let bad = elpis
        .function_call(request(None), json!([{"name": "a b"}]))
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
    plain.model.chat_format = Some(template(folder.path(), "<tool_call>"));
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
async fn a_template_that_opens_the_thinking_hides_no_calls() {
    let folder = tempfile::tempdir().unwrap();
    let mut thinking = settings();
    let file = template(folder.path(), "<tool_call>");
    let source = std::fs::read_to_string(&file).unwrap() + "<think>";
    std::fs::write(&file, source).unwrap();
    thinking.model.chat_format = Some(file);
    let elpis = start(thinking).await;
    let session = elpis.session("a").unwrap();
    let ask = |choice| {
        let chat = session.chat("Tell me about trains.").tools(weather());
        chat.tool_choice(choice).max_tokens(300).seed(1).complete()
    };
    let reply = ask(ToolChoice::Named("get_weather".into())).await.unwrap();
    assert_eq!(reply.tool_calls.len(), 1, "{reply:?}");
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
