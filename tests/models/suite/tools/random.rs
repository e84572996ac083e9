//! Calls of random tools are valid under any steering.

use elpis::backend::BackendFactory;
use elpis::inference::{ConstraintError, FinishReason, RequestError, ToolParseError, ToolSet};
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::{Coefficients, Elpis, EngineError, Error, Session, ToolChoice};
use elpis_testkit::schemas;
use elpis_testkit::schemas::Schemas;
use serde_json::Value;

use super::super::{BACKEND, noise};
use super::{MARKS, settings, template};

/// What became of the requests of a trial.
#[derive(Debug, Default)]
struct Counters {
    requests: usize,
    calls: usize,
    /// Replies of at least one call.
    replies: usize,
    /// Out of tokens.
    unfinished: usize,
    /// With a number that no double holds.
    unreadable: usize,
    /// Schemas that cannot be enforced.
    refused: usize,
}

impl Counters {
    fn count(&mut self, list: &Value, reply: Result<elpis::Completion, Error>, top: Top) {
        self.requests += 1;
        let error = match reply {
            Ok(reply) => {
                self.calls += reply.tool_calls.len();
                self.replies += 1;
                return check_reply(list, &reply, top);
            }
            Err(Error::Engine(error)) => error,
            Err(error) => panic!("{error}\n{list}"),
        };
        match error {
            EngineError::Constraint(ConstraintError::Unfinished { .. }) => self.unfinished += 1,
            EngineError::Constraint(ConstraintError::Call(ToolParseError::Arguments {
                reason,
                ..
            })) if reason.contains("out of range") => self.unreadable += 1,
            EngineError::Constraint(ConstraintError::Refused { .. })
            | EngineError::Request(RequestError::Constraint(ConstraintError::Refused { .. })) => {
                self.refused += 1;
            }
            error => panic!("{error}\n{list}"),
        }
    }
}

/// The strongest steering by an emotion: its name and the norm that comes of it.
type Top = (&'static str, f32);

/// The highest strength of a coefficient.
const FULL: f64 = 3.0;

fn only(emotion: &str, strength: f64) -> Coefficients {
    let mut coefficients = Coefficients::new();
    coefficients.insert(emotion, strength).unwrap();
    coefficients
}

/// The norm of steering by one emotion.
async fn norm_of(session: &Session, emotion: &str, strength: f64) -> f32 {
    let chat = session.chat("Tell me about trains.").max_tokens(1);
    let reply = chat.coefficients(only(emotion, strength)).complete().await;
    reply.unwrap().report.modulation().unwrap().steering[0].norm
}

/// Asks for calls of random tools in every format, hot and steered as strongly as can be.
async fn trial(backend: &BackendFactory, seed: u64) -> Counters {
    let mut bounded = Schemas::new(seed, 1);
    let mut wild = Schemas::wild(seed, 1);
    let mut counters = Counters::default();
    let requests: usize = elpis_testkit::repeats(120, 500);
    for marked in MARKS {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelSettings::default()
            .backend(BACKEND)
            .chat_format(template(folder.path(), marked))
            .n_threads(1_usize)
            .steer_constrained(true);
        let runtime = RuntimeSettings::default().n_parallel(8_usize);
        let settings = settings().model(model).runtime(runtime);
        let builder = Elpis::builder(settings).backend(backend.clone());
        let elpis = builder.start().await.unwrap();
        let session = elpis.session("a").unwrap();
        let mut tops: Vec<Top> = Vec::new();
        for emotion in ["excited", "calm", "frustrated", "depleted"] {
            let norm = norm_of(&session, emotion, FULL).await;
            let weak = norm_of(&session, emotion, 0.1).await;
            assert!(norm > 2.0 * weak && weak > 0.0, "{norm} {weak}");
            tops.push((emotion, norm));
        }
        let mut running = tokio::task::JoinSet::new();
        let rounds = requests.div_ceil(MARKS.len());
        for round in 0..rounds {
            let schemas = if round % 2 == 0 {
                &mut bounded
            } else {
                &mut wild
            };
            schemas.depth = if round % 8 < 2 { 2 } else { 1 };
            let mut list = vec![schemas.tool("first")];
            if round % 5 == 0 {
                list.push(schemas.tool("second"));
                list.push(schemas.tool("third"));
            }
            let (list, top) = (Value::Array(list), tops[round % tops.len()]);
            let chat = session
                .chat("Tell me about trains.")
                .tools(list.clone())
                .tool_choice(ToolChoice::Required)
                .parallel_tool_calls(round % 10 == 0)
                .coefficients(only(top.0, FULL))
                .temperature(1.5)
                .top_p(1.0)
                .top_k(0)
                .seed(seed.wrapping_add(round as u64))
                .max_tokens(300);
            running.spawn(async move { (list, chat.complete().await, top) });
            while running.len() >= 8 || round + 1 == rounds {
                let Some(finished) = running.join_next().await else {
                    break;
                };
                let (list, reply, top) = finished.unwrap();
                counters.count(&list, reply, top);
            }
        }
        elpis.shutdown().await;
    }
    println!("{counters:?}");
    assert!(counters.requests >= requests);
    // About 70 % are; a short trial may have fewer.
    assert!(counters.replies >= requests / 2, "{counters:?}");
    assert!(counters.calls >= counters.replies && counters.refused <= requests / 5);
    // They are rare: a short trial may meet two of them by chance.
    assert!(counters.unreadable <= 2 + requests / 50, "{counters:?}");
    counters
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_random_tools_are_valid_at_full_steering_and_heat() {
    trial(&BackendFactory::default(), schemas::seed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_random_tools_are_valid_on_a_random_model_as_well() {
    let seed = schemas::seed();
    trial(&noise::factory(seed), seed).await;
}

fn check_reply(list: &Value, reply: &elpis::Completion, (emotion, norm): Top) {
    assert!(
        !reply.tool_calls.is_empty() && reply.text.is_empty(),
        "{reply:?}"
    );
    assert_eq!(reply.report.finish_reason, FinishReason::ToolCalls);
    let span = reply.report.constrained.unwrap();
    assert!(span.steered && span.from_token == 0);
    let modulation = reply.report.modulation().unwrap();
    assert_eq!(modulation.coefficients, only(emotion, FULL));
    assert!(
        (modulation.steering[0].norm - norm).abs() < 1e-3 * norm,
        "{modulation:?} {norm}"
    );
    assert!(modulation.sampling.temperature > 1.49);
    let tools = ToolSet::from_json(list).unwrap();
    for call in &reply.tool_calls {
        let tool = tools.tools().iter().find(|tool| tool.name == call.name);
        schemas::check(&tool.unwrap().parameters, &call.arguments);
    }
}
