//! Language models with a lasting emotional state.
//!
//! One loaded model serves many sessions; each session has a point on the
//! valence–arousal plane of its own. Events such as "the tests passed" or "the
//! user is cross" move it, time brings it back to its baseline, and every
//! generation is sampled and steered by where it stands.
//!
//! ```no_run
//! use elpis::{Elpis, GenerationEvent, Settings};
//!
//! # async fn run() -> Result<(), elpis::Error> {
//! let elpis = Elpis::start(Settings::default()).await?;
//! let ada = elpis.session("ada")?;
//! ada.feel("test_passed").await?;
//! let mut stream = ada.chat("Tell me about trains.").max_tokens(64).stream().await?;
//! while let Some(event) = stream.next().await {
//!     match event? {
//!         GenerationEvent::Text(text) => print!("{text}"),
//!         GenerationEvent::Finished(report) => println!("\n{:?}", report.modulation()),
//!         _ => {}
//!     }
//! }
//! elpis.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The layers, from the pure core outwards: [`emotion`], [`steering`] and
//! [`inference`] hold values and arithmetic; [`backend`] loads and evaluates
//! models; [`scheduler`] runs many generations in one batch; [`actors`] keep
//! it alive; [`bus`] tells what happens; [`Elpis`] and [`Session`] are what a
//! user holds.
//!
//! # Threads
//!
//! llama.cpp's threads spin while they wait for each other, so a second busy
//! process on the same cores makes both slow. With OpenMP builds the
//! environment variable `GOMP_SPINCOUNT=3000`, set before the process starts,
//! keeps nearly all of the speed alone and most of it in company. The `elpis`
//! command sets it for itself, and a runtime for a model in a process of its
//! own ([`worker`]); for this process a library cannot.

#![deny(unsafe_code)]

pub mod actors;
pub mod backend;
pub mod bus;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod emotion;
pub mod error;
pub mod event;
pub mod hub;
pub mod inference;
pub mod runtime;
pub mod scheduler;
pub mod settings;
pub mod soak;
pub mod steering;
pub mod store;
pub mod telemetry;
pub mod training;

/// The code in the README, checked like that of these pages.
#[cfg(all(doctest, feature = "bundled-model"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use actors::engine::{GenerationEvent, GenerationStream};
pub use backend::{available_backends, worker};
pub use bus::{Delivery, Events};
pub use emotion::{Coefficients, EmotionEvent, EmotionSnapshot, Modulation, SafetyLimits};
pub use error::{EngineError, Error};
pub use event::{Event, EventSource};
pub use inference::{
    ChatMessage, Completion, FunctionCall, GenerationReport, ModulationTiming, ResponseFormat,
    Role, SessionId, ToolChoice,
};
pub use runtime::{
    Appraiser, Capabilities, ChatRequest, Elpis, InferenceEngine, Session, create_backend,
};
pub use settings::Settings;
