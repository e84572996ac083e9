//! Code that is written against the interface works with every engine, this one's and others'.
#![cfg(feature = "tools")]

use std::sync::Arc;

use elpis::backend::BackendFactory;
use elpis::inference::{FinishReason, GenerationOptions};
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::testing::{ScriptedEngine, ScriptedReply};
use elpis::{
    ChatMessage, ChatRequest, Elpis, EngineError, Error, GenerationEvent, InferenceEngine, Settings,
};
use elpis_testkit::scripted::{Script, Scripted};
use serde_json::{Value, json};

fn tools() -> Value {
    let number = json!({"type": "integer"});
    json!([{"type": "function", "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": number, "b": number},
            "required": ["a", "b"],
            "additionalProperties": false,
        },
    }}])
}

fn request(messages: Vec<ChatMessage>) -> ChatRequest {
    ChatRequest {
        session: "agent".to_owned(),
        messages,
        options: GenerationOptions::default().tools(tools()).max_tokens(400),
    }
}

/// Answers with the help of tools; returns the answer and the sums that it took.
async fn agent<E>(engine: &E, question: &str) -> Result<(String, Vec<i64>), Error>
where
    E: InferenceEngine + ?Sized,
{
    let mut messages = vec![ChatMessage::user(question)];
    let mut sums = Vec::new();
    loop {
        let reply = engine.chat_completion(request(messages.clone())).await?;
        if reply.tool_calls.is_empty() {
            return Ok((reply.text, sums));
        }
        messages.push(ChatMessage::from(&reply));
        for call in &reply.tool_calls {
            assert_eq!(call.name, "add");
            let number = |name: &str| call.arguments[name].as_i64().unwrap();
            let sum = number("a") + number("b");
            messages.push(ChatMessage::tool_result(call, sum.to_string()));
            sums.push(sum);
        }
    }
}

fn scripted() -> ScriptedEngine {
    ScriptedEngine::new([
        ScriptedReply::call("000000001", "add", json!({"a": 19, "b": 23})),
        ScriptedReply::text("It is 42."),
    ])
}

#[tokio::test]
async fn an_agent_works_on_an_engine_of_another_kind() {
    let engine = scripted();
    let (answer, sums) = agent(&engine, "19 + 23?").await.unwrap();
    assert_eq!((answer.as_str(), sums.as_slice()), ("It is 42.", &[42][..]));
    let requests = engine.requests();
    assert_eq!(requests.len(), 2);
    let result = requests[1].messages.last().unwrap();
    assert_eq!(result.content, "42");
    assert_eq!(result.tool_call_id.as_deref(), Some("000000001"));
    let error = agent(&engine, "And now?").await.unwrap_err();
    assert!(matches!(
        error,
        Error::Engine(EngineError::Overloaded { .. })
    ));
}

#[tokio::test]
async fn the_same_agent_works_on_any_engine_behind_a_pointer() {
    let script: Script = Arc::new(|prompt: &str| {
        if prompt.contains("42") {
            "It is 42.".to_owned()
        } else {
            let call = r#"{"name": "add", "arguments": {"a": 19, "b": 23}}"#;
            format!("<tool_call>\n{call}\n</tool_call>")
        }
    });
    let model = ModelSettings::default().chat_format("chatml");
    let runtime = RuntimeSettings::default().n_parallel(1_usize);
    let factory = BackendFactory::new(move |options| {
        let backend = Scripted::new(options.n_sequences, 64, 8000, 0);
        Ok(Box::new(backend.saying(Arc::clone(&script))))
    });
    let settings = Settings::default().model(model).runtime(runtime);
    let builder = Elpis::builder(settings).backend(factory);
    let elpis = builder.start().await.unwrap();
    let engines: [Box<dyn InferenceEngine>; 2] = [Box::new(elpis.clone()), Box::new(scripted())];
    for engine in &engines {
        let (answer, sums) = agent(engine.as_ref(), "19 + 23?").await.unwrap();
        assert_eq!((answer.as_str(), sums.as_slice()), ("It is 42.", &[42][..]));
    }
    elpis.shutdown().await;
}

#[tokio::test]
async fn what_an_engine_leaves_out_follows_from_its_stream() {
    let engine = scripted();
    let question = || request(vec![ChatMessage::user("19 + 23?")]);
    let calls = engine.function_call(question(), tools()).await.unwrap();
    assert_eq!(calls.len(), 1);
    let mut stream = engine.chat_completion_stream(question()).await.unwrap();
    let mut text = String::new();
    let report = loop {
        match stream.next().await.unwrap().unwrap() {
            GenerationEvent::Text(piece) => text.push_str(&piece),
            GenerationEvent::Finished(report) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((text.as_str(), stream.id()), ("It is 42.", report.id));
    assert_eq!(report.finish_reason, FinishReason::Stop);
    assert!(stream.next().await.is_none());

    let engine = scripted().without_tools();
    let refused = engine.function_call(question(), tools()).await.unwrap_err();
    assert!(matches!(
        refused,
        Error::Engine(EngineError::Unsupported { .. })
    ));
    assert!(engine.requests().is_empty());
}

#[tokio::test]
async fn nothing_follows_an_error_of_another_engine() {
    let failure = EngineError::EngineRestarted;
    let engine = ScriptedEngine::new([ScriptedReply::Failed("It is".to_owned(), failure.clone())]);
    let question = request(vec![ChatMessage::user("19 + 23?")]);
    let mut stream = engine.chat_completion_stream(question).await.unwrap();
    let text = GenerationEvent::Text("It is".to_owned());
    assert_eq!(stream.next().await, Some(Ok(text)));
    assert_eq!(stream.next().await, Some(Err(failure)));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_chat_can_be_awaited_and_options_do_not_undo_what_was_set() {
    let factory = BackendFactory::new(|options| {
        Ok(Box::new(Scripted::new(
            options.n_sequences,
            64,
            1000,
            usize::MAX,
        )))
    });
    let model = ModelSettings::default().chat_format("chatml");
    let builder = Elpis::builder(Settings::default().model(model)).backend(factory);
    let elpis = builder.start().await.unwrap();
    let session = elpis.session("a").unwrap();
    let options = GenerationOptions::default()
        .max_tokens(9)
        .seed(7)
        .emotional_modulation(false);
    let chats = [
        session.chat("Hello").max_tokens(3).options(options.clone()),
        session.chat("Hello").options(options.clone()).max_tokens(3),
        session
            .chat("Hello")
            .max_tokens(3)
            .options(options)
            .options(GenerationOptions::default()),
    ];
    for chat in chats {
        let report = chat.await.unwrap().report;
        assert_eq!(report.completion_tokens, 3);
        assert_eq!(report.modulation().unwrap().sampling.seed, 7);
    }
    elpis.shutdown().await;
}
