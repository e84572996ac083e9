use elpis::settings::ModelSettings;
use elpis::{Elpis, ResponseFormat, Settings};

use super::*;

/// What the bundled model writes under the grammar of each format: nothing but the grammar
/// tells it what a call is, and the texts are its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes tests/data/tool_replies.jsonl anew"]
async fn replies_are_recorded() {
    let mut settings = Settings::default().model(ModelSettings::default());
    settings.emotion.response_analysis_enabled = false;
    let elpis = Elpis::start(settings).await.unwrap();
    let session = elpis.session("recording").unwrap();
    let tools = recorded_tools();
    let mut lines = Vec::new();
    for &format in ToolFormat::ALL {
        let mut kept = 0;
        for round in 0.. {
            if kept == 10 {
                break;
            }
            // All tools, or one of them: the model's own choice falls on the same one often.
            let all = tools.tools();
            let some = if round % 2 == 0 {
                all
            } else {
                &all[kept % 3..=kept % 3]
            };
            let grammar = format.grammar(some, round % 4 < 2, &[]).unwrap();
            let question = ["Tell me about trains.", "What is it like outside?"][kept % 2];
            let chat = session
                .chat(question)
                .response_format(ResponseFormat::lark(grammar))
                .temperature(0.9)
                .seed(round as u64)
                .max_tokens(400);
            // A reply that goes on for too long is none.
            let Ok(reply) = chat.complete().await else {
                assert!(round < 100, "{format}");
                continue;
            };
            kept += 1;
            let reply = reply.text;
            let parser = ToolParser::new(format, 7, false).with_tools(&tools);
            let events = read_by(parser, [reply.as_bytes()]).unwrap();
            let calls: Vec<Value> = made(&events)
                .into_iter()
                .map(|(name, arguments)| json!({"name": name, "arguments": arguments}))
                .collect();
            let record = json!({"format": format.as_str(), "reply": reply, "calls": calls});
            lines.push(record.to_string());
        }
    }
    elpis.shutdown().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tool_replies.jsonl");
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}
