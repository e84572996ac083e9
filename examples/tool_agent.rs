//! A small agent with tools: the model calls them and gets their results, and the outcomes move its
//! mood.
//!
//! `cargo run --example tool_agent --features tools`, with `ELPIS_MODEL_PATH=model.gguf` for a
//! model of your own. The bundled model was not trained on tools and calls them at random, but its
//! calls are always valid.

use std::convert::Infallible;
use std::error::Error;

use elpis::inference::schemars::{self, JsonSchema};
use elpis::{Conversation, Elpis, Settings, Tool, ToolChoice, Tools};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Plant {
    Fern,
    Cactus,
    Basil,
}

/// Waters a plant.
#[derive(Deserialize, JsonSchema)]
struct WaterPlant {
    plant: Plant,
    #[schemars(range(min = 0.1, max = 2.0), extend("multipleOf" = 0.1))]
    litres: f64,
}

/// Writes a note down.
#[derive(Deserialize, JsonSchema)]
struct WriteNote {
    #[schemars(length(max = 40))]
    text: String,
}

/// What the agent thinks of its plants.
#[derive(Debug, Deserialize, JsonSchema)]
struct Verdict {
    state: State,
    #[schemars(range(min = 1, max = 14))]
    next_visit_days: u8,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Thriving,
    Fine,
    Thirsty,
}

/// The tools that the model may call.
fn tools() -> Tools {
    let water = Tool::new("water_plant", async |water: WaterPlant| {
        if water.plant == Plant::Cactus {
            return Err("the cactus does not like it");
        }
        Ok(format!("the {:?} drinks {} l", water.plant, water.litres))
    });
    let note = Tool::new("write_note", async |note: WriteNote| {
        Ok::<_, Infallible>(format!("noted: {}", note.text))
    });
    Tools::new().with(water).with(note)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let elpis = Elpis::start(Settings::load()?).await?;
    let agent = elpis.session("gardener")?;
    let tools = tools();
    let mut talk = Conversation::new();
    talk.push_user("Look after the plants.");
    let mut answered = 0;
    for turn in 1..=3 {
        let chat = agent.chat(&talk).tools(&tools).seed(turn);
        // A large model may decide for itself: `ToolChoice::Auto`, the default.
        let chat = chat
            .tool_choice(ToolChoice::Required)
            .parallel_tool_calls(false);
        let reply = chat.max_tokens(200).complete().await?;
        talk.push_reply(&reply);
        for call in &reply.tool_calls {
            let (result, event) = match tools.call(call).await {
                Ok(result) => (result, "success"),
                Err(error) => (error.to_string(), "failure"),
            };
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
    let verdict: Verdict = agent.chat(&talk).seed(1).complete_as().await?;
    let mood = agent.state().await?;
    println!(
        "{:?}, next visit in {} days\n{} (v {:+.2}, a {:+.2})",
        verdict.state, verdict.next_visit_days, mood.quadrant, mood.valence, mood.arousal
    );
    println!("calls answered: {answered}");
    elpis.shutdown().await;
    Ok(())
}
