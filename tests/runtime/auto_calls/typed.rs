//! Tools and answers as types.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};

use elpis::inference::ConstraintError;
use elpis::inference::schemars::{self, JsonSchema};
use elpis::{EngineError, Error, Tool, ToolCallError, Tools};
use serde::{Deserialize, Serialize};

use super::*;

/// The weather at a place.
#[derive(Debug, Deserialize, JsonSchema)]
struct Weather {
    #[schemars(length(max = 12))]
    place: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Forecast {
    sky: &'static str,
    degrees: i32,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Raw")]
struct Verdict {
    sky: Sky,
    days: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Raw {
    sky: Sky,
    #[schemars(range(max = 14))]
    days: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Sky {
    Sunny,
    Rainy,
}

impl TryFrom<Raw> for Verdict {
    type Error = &'static str;

    fn try_from(Raw { sky, days }: Raw) -> Result<Self, Self::Error> {
        if days == 13 {
            return Err("nobody looks 13 days ahead");
        }
        Ok(Self { sky, days })
    }
}

fn tools(asked: &Arc<AtomicU32>) -> Tools {
    let asked = Arc::clone(asked);
    let weather = Tool::new("weather", move |weather: Weather| {
        let degrees = 20 + asked.fetch_add(1, Ordering::SeqCst) as i32;
        async move {
            match weather.place.as_str() {
                "Paris" => Ok(Forecast {
                    sky: "sunny",
                    degrees,
                }),
                place => Err(format!("nobody knows {place}")),
            }
        }
    });
    let wait = Tool::new("wait", async |_: Weather| Ok::<_, ToolCallError>("waited"));
    [weather, wait.description("Waits.")].into_iter().collect()
}

#[tokio::test]
async fn calls_are_answered_by_the_functions_of_their_tools() {
    let folder = tempfile::tempdir().unwrap();
    let case = &CASES[0];
    let reply = [case.text, case.opening, case.calls].concat();
    let said = move |_: &str| reply.clone();
    let (elpis, _, prompts) = start(settings(folder.path(), case), said).await;
    let session = elpis.session("ada").unwrap();
    let asked = Arc::default();
    let tools = tools(&asked);
    let chat = session.chat("How is the weather?").tools(&tools);
    let reply = chat.max_tokens(600).complete().await.unwrap();
    let [paris, york] = reply.tool_calls.as_slice() else {
        panic!("{reply:?}");
    };
    assert!(prompts.lock().unwrap()[0].contains("The weather at a place."));
    assert_eq!(
        tools.call(paris).await.unwrap(),
        r#"{"sky":"sunny","degrees":20}"#
    );
    let failed = tools.call(york).await.unwrap_err();
    assert_eq!(failed.to_string(), "weather failed: nobody knows New York");
    assert_eq!(
        (failed.kind(), asked.load(Ordering::SeqCst)),
        ("tool_failed", 2)
    );

    let mut other = paris.clone();
    other.name = "wait".to_owned();
    assert_eq!(tools.call(&other).await.unwrap(), "waited");
    other.arguments = json!({"place": 7});
    let refused = tools.call(&other).await.unwrap_err();
    assert!(
        matches!(refused, ToolCallError::Arguments { .. }),
        "{refused}"
    );
    assert!(refused.source().is_some());
    other.name = "fly".to_owned();
    let unknown = tools.call(&other).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no tool \"fly\"");
    elpis.shutdown().await;
}

#[tokio::test]
async fn an_answer_is_read_into_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let said = |prompt: &str| {
        let days = if prompt.contains("far") { 13 } else { 3 };
        format!("{{\"sky\": \"rainy\", \"days\": {days}}}")
    };
    let (elpis, ..) = start(settings(folder.path(), &CASES[0]), said).await;
    let session = elpis.session("ada").unwrap();
    let verdict = session.chat("near").complete_as::<Verdict>().await.unwrap();
    let expected = Verdict {
        sky: Sky::Rainy,
        days: 3,
    };
    assert_eq!(verdict, expected);

    let error = session
        .chat("far")
        .complete_as::<Verdict>()
        .await
        .unwrap_err();
    let Error::Reply { text, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (text.as_str(), error.kind()),
        (r#"{"sky": "rainy", "days": 13}"#, "reply")
    );
    assert!(error.source().unwrap().to_string().contains("13 days"));

    let short = session.chat("near").max_tokens(5).complete_as::<Verdict>();
    let error = short.await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Engine(EngineError::Constraint(ConstraintError::Unfinished { .. }))
        ),
        "{error:?}"
    );
    elpis.shutdown().await;
}
