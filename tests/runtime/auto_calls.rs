//! Calls that a model begins of its own accord, from its first words to what it says to their
//! results, in every format.
#![cfg(feature = "tools")]

mod cases;
mod typed;

use std::path::Path;
use std::sync::{Arc, Mutex};

use elpis::backend::BackendFactory;
use elpis::inference::{FinishReason, FunctionCall, ThinkingTracker, ToolFormat};
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::steering::{SteeringVector, VectorFormat, write};
use elpis::{
    ChatMessage, Coefficients, Elpis, GenerationEvent, ResponseFormat, Session, Settings,
    ToolChoice,
};
use elpis_testkit::scripted::{Probe, REPLY, Script, Scripted};
use serde_json::{Value, json};

use cases::{CASES, Case};

const ANSWER: &str = "Sunny there, rainy here.";

fn tools() -> Value {
    json!([{"type": "function", "function": {
        "name": "weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "maxLength": 12}},
            "required": ["place"],
        },
    }}])
}

/// Settings with a vector to steer with and a template that names the format and knows no tools.
fn settings(folder: &Path, case: &Case) -> Settings {
    let vector = SteeringVector::bare(vec![0.1, 0.2, 0.0, 0.1]).unwrap();
    let bytes = write(VectorFormat::Safetensors, &vector).unwrap();
    let vectors = folder.join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    std::fs::write(vectors.join("excited.safetensors"), bytes).unwrap();
    let (begin, marks) = ("{{ '<|im_' + 'start|>' }}", case.marks);
    let source = format!(
        "{{# {marks} #}}{{% for message in messages %}}{begin}{{{{ message.role }}}}\n\
         {{{{ message.content }}}}<|im_end|>\n{{% endfor %}}{begin}assistant{{{{ '\\n' }}}}"
    );
    assert_eq!(ToolFormat::of_template(&source), case.format);
    let file = folder.join("template.jinja");
    std::fs::write(&file, source).unwrap();
    let model = ModelSettings::default()
        .chat_format(file.display().to_string())
        .emotion_vectors_dir(vectors);
    let runtime = RuntimeSettings::default().n_parallel(1_usize);
    let mut settings = Settings::default().model(model).runtime(runtime);
    settings.emotion.response_analysis_enabled = false;
    settings
}

/// A runtime on a model with a script, with the prompts that it was given.
async fn start(
    settings: Settings,
    said: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (Elpis, Probe, Arc<Mutex<Vec<String>>>) {
    let prompts: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&prompts);
    let script: Script = Arc::new(move |prompt: &str| {
        let mut seen = seen.lock().unwrap();
        if seen.last().is_none_or(|last| last != prompt) {
            seen.push(prompt.to_owned());
        }
        said(prompt)
    });
    let probe = Probe::default();
    let shared = probe.clone();
    let factory = BackendFactory::new(move |options| {
        let mut backend =
            Scripted::new(options.n_sequences, 64, 8000, 0).saying(Arc::clone(&script));
        backend.probe = shared.clone();
        Ok(Box::new(backend))
    });
    let builder = Elpis::builder(settings).backend(factory);
    (builder.start().await.unwrap(), probe, prompts)
}

fn excited() -> Coefficients {
    let mut coefficients = Coefficients::new();
    coefficients.insert("excited", 1.0).unwrap();
    coefficients
}

/// Everything that a stream tells.
async fn told(session: &Session, messages: &[ChatMessage]) -> Vec<GenerationEvent> {
    let chat = session
        .chat(messages)
        .tools(tools())
        .coefficients(excited())
        // Stands in the calls and not in the text.
        .stop("Par")
        .max_tokens(600);
    let mut stream = chat.stream().await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    events
}

/// Whether each token of the reply to the last prompt was evaluated with steering.
fn steered(probe: &Probe, prompt: &str) -> Vec<bool> {
    let batches = probe.batches.lock().unwrap();
    let rows = batches.iter().flatten();
    rows.filter(|(_, position, _)| *position as usize >= prompt.len())
        .map(|(_, _, norm)| norm.is_some_and(|norm| norm > 0.0))
        .collect()
}

/// Checks the order of the events and returns the text and the calls.
fn read(events: &[GenerationEvent]) -> (String, Vec<FunctionCall>) {
    let (mut text, mut calls, mut open) = (String::new(), Vec::new(), None);
    for event in events {
        match event {
            GenerationEvent::Text(piece) => {
                assert!(calls.is_empty() && open.is_none(), "text behind a call");
                text.push_str(piece);
            }
            GenerationEvent::ToolCallStarted { index, id, name } => {
                assert!(open.is_none() && *index == calls.len());
                open = Some((id.clone(), name.clone(), String::new()));
            }
            GenerationEvent::ToolCallArguments { index, json } => {
                assert_eq!(*index, calls.len());
                open.as_mut().unwrap().2.push_str(json);
            }
            GenerationEvent::ToolCall(call) => {
                let (id, name, json) = open.take().unwrap();
                assert_eq!((&call.id, &call.name), (&id, &name));
                assert_eq!(
                    call.arguments,
                    serde_json::from_str::<Value>(&json).unwrap()
                );
                calls.push(call.clone());
            }
            _ => {}
        }
    }
    (text, calls)
}

#[tokio::test]
async fn a_call_in_the_middle_of_a_reply_is_found_held_to_its_form_and_answered() {
    for case in &CASES {
        let folder = tempfile::tempdir().unwrap();
        let reply = [case.text, case.opening, case.calls].concat();
        let said = move |prompt: &str| {
            let answered = prompt.contains("rainy");
            if answered {
                ANSWER.to_owned()
            } else {
                reply.clone()
            }
        };
        let (elpis, probe, prompts) = start(settings(folder.path(), case), said).await;
        let session = elpis.session("ada").unwrap();
        let mut messages = vec![ChatMessage::user("How is the weather?")];
        let events = told(&session, &messages).await;
        let (format, (text, calls)) = (case.format, read(&events));
        assert_eq!(text, case.text, "{format}");
        let places: Vec<_> = calls.iter().map(|call| call.arguments.clone()).collect();
        assert_eq!(
            places,
            [json!({"place": "Paris"}), json!({"place": "New York"})],
            "{format}"
        );
        assert_ne!(calls[0].id, calls[1].id, "{format}");
        let Some(GenerationEvent::Finished(report)) = events.last() else {
            panic!("{format}: {events:?}");
        };
        assert_eq!(report.finish_reason, FinishReason::ToolCalls, "{format}");
        // Letters are tokens: the opening is complete with its last one.
        let span = report.constrained.unwrap();
        let from = case.text.len() + case.opening.len() - 1;
        assert_eq!(
            (span.from_token as usize, span.steered),
            (from, false),
            "{format}"
        );
        let prompt = prompts.lock().unwrap()[0].clone();
        let steered = steered(&probe, &prompt);
        let mut tracker = ThinkingTracker::new(format, &[], false);
        let mut thinks = |at: usize| {
            let letter = case.text.as_bytes().get(at..=at);
            tracker.push(0, letter.unwrap_or_default());
            tracker.is_thinking()
        };
        let expected = (0..steered.len()).map(|at| !thinks(at) && at < from);
        let expected: Vec<_> = expected.collect();
        assert!(steered.len() > from + 40, "{format}");
        assert_eq!(
            steered, expected,
            "{format}: the opening's last token is free no more"
        );

        messages.push(ChatMessage::assistant_calls(text, &calls));
        for (call, weather) in calls.iter().zip(["sunny-7", "rainy-8"]) {
            messages.push(ChatMessage::tool_result(call, weather));
        }
        let (text, calls) = read(&told(&session, &messages).await);
        assert_eq!((text.as_str(), calls.len()), (ANSWER, 0), "{format}");
        let prompt = prompts.lock().unwrap().last().unwrap().clone();
        let place = |text: &str| {
            prompt
                .find(text)
                .unwrap_or_else(|| panic!("{format}: {prompt}"))
        };
        assert!(place("Paris") < place("New York") && place("New York") < place("sunny-7"));
        assert!(place("sunny-7") < place("rainy-8") && prompt.ends_with(REPLY));
        elpis.shutdown().await;
    }
}

#[tokio::test]
async fn what_only_looks_like_a_call_stays_text() {
    for (case, reply) in CASES.iter().zip([
        "It is <tool_box>, 1 < 2.",
        "{\"names\": \"weather\"} are no call.",
        "The tag <|python| is none.",
        "No [TOOL_CALL] here.",
        "No [TOOL_CALL] here.",
        "```json\n{\"answer\": 42}\n```",
        "<start_function> is no call.",
        "<tool> is no call.",
        "Then write {\"name\": \"weather\"}.",
        "```python\nprint(1)\n```",
    ]) {
        let folder = tempfile::tempdir().unwrap();
        let said = move |_: &str| reply.to_owned();
        let (elpis, probe, prompts) = start(settings(folder.path(), case), said).await;
        let session = elpis.session("ada").unwrap();
        let events = told(&session, &[ChatMessage::user("How is the weather?")]).await;
        assert_eq!(
            read(&events),
            (reply.to_owned(), Vec::new()),
            "{}",
            case.format
        );
        let prompt = prompts.lock().unwrap()[0].clone();
        assert!(steered(&probe, &prompt).iter().all(|steered| *steered));
        elpis.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_that_breaks_its_schema_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let case = &CASES[0];
    let reply = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"A\", \"\\u0070lace\": 5}}\n</tool_call>";
    let said = move |_: &str| reply.to_owned();
    let (elpis, ..) = start(settings(folder.path(), case), said).await;
    let session = elpis.session("ada").unwrap();
    let chat = session.chat("How is the weather?").tools(tools());
    // Held off its way, the model writes something else, which is valid or ends in an error.
    if let Ok(reply) = chat.max_tokens(200).complete().await {
        assert!(
            reply
                .tool_calls
                .iter()
                .all(|call| call.arguments["place"].is_string())
        );
    }
    let schema = ResponseFormat::json_schema(tools()[0]["function"]["parameters"].clone());
    let chat = session.chat("How is the weather?").response_format(schema);
    if let Ok(reply) = chat.max_tokens(200).complete().await {
        let value: Value = serde_json::from_str(&reply.text).unwrap();
        assert!(value["place"].is_string(), "{value}");
    }
    elpis.shutdown().await;
}

/// What the template has opened is the model's, whatever it says there; then the form holds.
#[tokio::test]
async fn thinking_that_the_template_opens_runs_free_before_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), &CASES[0]);
    let file = folder.path().join("template.jinja");
    let source = std::fs::read_to_string(&file).unwrap() + "<think>";
    std::fs::write(&file, source).unwrap();
    settings.model.max_tokens = 400;
    // The script begins where the template has opened the thinking.
    let thought = "<think>Is it {\"city\": 3}? <tool_call> No.</think>";
    let call =
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Paris\"}}\n</tool_call>";
    let said = move |prompt: &str| {
        let rest = if prompt.contains("a call") {
            call
        } else {
            "{\"city\": \"Rome\"}"
        };
        format!("{thought}{rest}")
    };
    let (elpis, ..) = start(settings, said).await;
    let session = elpis.session("ada").unwrap();
    let form = ResponseFormat::json_schema(json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": false,
    }));
    let reply = session.chat("a city").response_format(form).complete();
    let reply = reply.await.unwrap();
    let (_, answer) = reply
        .text
        .split_once("</think>")
        .unwrap_or(("", &reply.text));
    assert_eq!(answer, "{\"city\": \"Rome\"}", "{reply:?}");

    let chat = session.chat("a call").tools(tools());
    let reply = chat
        .tool_choice(ToolChoice::Required)
        .complete()
        .await
        .unwrap();
    assert_eq!(reply.tool_calls.len(), 1, "{reply:?}");
    assert_eq!(reply.tool_calls[0].arguments, json!({"place": "Paris"}));
    elpis.shutdown().await;
}
