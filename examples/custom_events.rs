//! Custom events, and a custom appraiser that derives them from texts.
//!
//! `cargo run --example custom_events`, with `ELPIS_MODEL_PATH=model.gguf` for a model of your
//! own.

use std::error::Error;

use elpis::emotion::EmotionError;
use elpis::{AppraisalError, AppraisedText, BoxFuture, LexicalAppraiser};
use elpis::{Appraiser, Delivery, Elpis, EmotionEvent, Event, EventSource, Settings};

/// An order was cancelled: unpleasant, and a little exciting.
fn order_cancelled() -> Result<EmotionEvent, EmotionError> {
    EmotionEvent::custom("order_cancelled", -0.3, 0.1)
}

/// A regular came back: pleasant, and it calms.
fn regular_came() -> Result<EmotionEvent, EmotionError> {
    EmotionEvent::custom("regular_came", 0.25, -0.1)
}

/// Knows the events of a bakery; judges the model's replies with the word lists.
struct Bakery(LexicalAppraiser);

impl Bakery {
    fn judge(&self, text: &AppraisedText) -> Result<Option<EmotionEvent>, EmotionError> {
        if text.source == EventSource::Reply {
            return Ok(self.0.appraise(&text.text, text.source));
        }
        if text.text.contains("cancel") {
            return order_cancelled().map(Some);
        }
        if text.text.contains("as always") {
            return regular_came().map(Some);
        }
        Ok(None)
    }
}

impl Appraiser for Bakery {
    fn appraise(
        &self,
        text: AppraisedText,
    ) -> BoxFuture<'_, Result<Option<EmotionEvent>, AppraisalError>> {
        let event = self.judge(&text);
        Box::pin(async move { event.map_err(|error| AppraisalError::Other(error.to_string())) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::load()?;
    settings.emotion.message_analysis_enabled = true;
    let bakery = Bakery(LexicalAppraiser::new(&settings.emotion));
    let builder = Elpis::builder(settings).appraiser(bakery);
    let elpis = builder.start().await?;
    let mut events = elpis.events();
    let baker = elpis.session("baker")?;

    // The program's own events need no text.
    baker.feel(order_cancelled()?.with_intensity(0.5)?).await?;
    for message in [
        "Two loaves, as always, please.",
        "I have to cancel the wedding cake.",
        "What is the weather like?",
    ] {
        let reply = baker
            .chat(message)
            .max_tokens(32)
            .seed(1)
            .complete()
            .await?;
        let mood = baker.state().await?;
        println!(
            "customer: {message}\nbaker ({}): {}",
            mood.mood,
            reply.text.trim()
        );
    }
    elpis.shutdown().await;

    let mut counted = 0;
    while let Some(delivery) = events.next().await {
        let Delivery::Event(event) = delivery else {
            continue;
        };
        match &*event {
            Event::Felt {
                event,
                source,
                after,
                ..
            } => {
                let (valence, arousal) = (after.valence(), after.arousal());
                let source = source.as_str();
                println!(
                    "{} from {source}: v {valence:+.2}, a {arousal:+.2}",
                    event.name()
                );
                counted += usize::from(event.is_custom());
            }
            Event::Stopped { .. } => break,
            _ => {}
        }
    }
    println!("own events felt: {counted}");
    Ok(())
}
