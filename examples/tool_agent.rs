//! A small agent with tools: the model calls them, their results go back to it, and what came of
//! them is felt.
//!
//! `cargo run --example tool_agent --features tools`, with `ELPIS_MODEL_PATH=model.gguf` for a
//! model of your own. The bundled model knows nothing of tools and calls them at random, but its
//! calls are valid: it can write nothing else.

use std::error::Error;

use elpis::{Conversation, Elpis, FunctionCall, ResponseFormat, Settings, ToolChoice};
use serde_json::{Value, json};

/// The tools that the model may call, in `OpenAI`'s form.
fn tools() -> Value {
    json!([
        {"type": "function", "function": {
            "name": "water_plant",
            "description": "Waters a plant.",
            "parameters": {
                "type": "object",
                "properties": {
                    "plant": {"enum": ["fern", "cactus", "basil"]},
                    "litres": {"type": "number", "minimum": 0.1, "maximum": 2, "multipleOf": 0.1},
                },
                "required": ["plant", "litres"],
                "additionalProperties": false,
            },
        }},
        {"type": "function", "function": {
            "name": "write_note",
            "description": "Writes a note down.",
            "parameters": {
                "type": "object",
                "properties": {"text": {"type": "string", "maxLength": 40}},
                "required": ["text"],
                "additionalProperties": false,
            },
        }},
    ])
}

/// Does what the model asks for. Returns the result and what to feel about it.
fn carry_out(call: &FunctionCall) -> (String, &'static str) {
    let argument = |name: &str| call.arguments.get(name).cloned().unwrap_or_default();
    match call.name.as_str() {
        "water_plant" if argument("plant") == "cactus" => {
            ("the cactus does not like it".to_owned(), "failure")
        }
        "water_plant" => (format!("the {} drinks", argument("plant")), "success"),
        _ => (format!("noted: {}", argument("text")), "routine"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let elpis = Elpis::start(Settings::load()?).await?;
    let agent = elpis.session("gardener")?;
    let mut talk = Conversation::new();
    talk.push_user("Look after the plants.");
    let mut answered = 0;
    for turn in 1..=3 {
        let chat = agent.chat(&talk).tools(tools()).seed(turn);
        // A large model may decide for itself: `ToolChoice::Auto`, the default.
        let chat = chat
            .tool_choice(ToolChoice::Required)
            .parallel_tool_calls(false);
        let reply = chat.max_tokens(200).complete().await?;
        talk.push_reply(&reply);
        for call in &reply.tool_calls {
            let (result, event) = carry_out(call);
            println!(
                "{} {} {}\n  -> {result} ({event})",
                call.id, call.name, call.arguments
            );
            agent.feel(event).await?;
            talk.push_result(call, result);
            answered += 1;
        }
    }
    talk.push_user("How are they?");
    let verdict = agent
        .chat(&talk)
        .response_format(ResponseFormat::json_schema(json!({
            "type": "object",
            "properties": {
                "state": {"enum": ["thriving", "fine", "thirsty"]},
                "next_visit_days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["state", "next_visit_days"],
            "additionalProperties": false,
        })));
    let verdict: Value = serde_json::from_str(&verdict.seed(1).complete().await?.text)?;
    let mood = agent.state().await?;
    println!(
        "{verdict}\n{} (v {:+.2}, a {:+.2})",
        mood.quadrant, mood.valence, mood.arousal
    );
    println!("calls answered: {answered}");
    elpis.shutdown().await;
    Ok(())
}
