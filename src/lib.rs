//! Language models with a lasting emotional state.
//!
//! One loaded model serves many sessions. Each session has its own point on the
//! valence–arousal plane. Events such as "the tests passed" or "the user is
//! cross" move that point, time returns it to its baseline, and it determines
//! how every generation is sampled and steered.
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
//! This is the API reference. The [guide] explains the concepts, how to train
//! vectors, how to run for months and how to replace parts;
//! [ARCHITECTURE.md] describes the internals.
//!
//! [guide]: https://github.com/elpis-rs/elpis/blob/main/docs/SUMMARY.md
//! [ARCHITECTURE.md]: https://github.com/elpis-rs/elpis/blob/main/ARCHITECTURE.md
//!
//! # How a mood acts
//!
//! - On sampling: the temperature falls by 0.2 × arousal, and top-p rises by
//!   0.1 × valence ([`Modulation`]).
//! - On the residual stream: steering vectors are weighted by the point on the
//!   plane and added to the output of decoder layers. Each row of a batch has
//!   its own ([`steering`]).
//!
//! Every reply comes with a [`GenerationReport`] that records both. Without
//! settings, the bundled model runs; it needs no file and no network.
//! [`Settings`] come from code, `elpis.toml`, `.env` and the environment.
//!
//! # Where things are
//!
//! | to | see |
//! |---|---|
//! | start a runtime, from settings or with your own parts | [`Elpis::start`], [`Elpis::builder`] |
//! | feel, read a state, set limits, chat | [`Session`] |
//! | read a reply as it comes | [`GenerationStream`], [`GenerationEvent`] |
//! | offer tools, ask for JSON | [`ToolChoice`], [`ResponseFormat`], [`inference`] |
//! | observe what happens | [`Elpis::events`], [`Event`] |
//! | compute moods without a model | [`emotion`] |
//! | read feelings from a text | [`Appraiser`], [`LexicalAppraiser`], [`ExpressedAppraiser`], [`ModelAppraiser`] |
//! | read, blend and make vectors | [`steering`], [`training`] |
//! | keep states in your own store | [`store::StateStore`] |
//! | write a backend | [`backend::Backend`], [`backend::BackendFactory`] |
//! | depend on a trait instead of the runtime | [`InferenceEngine`]; with the feature `tower`, `EngineService` |
//! | handle errors | [`Error`] |
//!
//! The runtime's types are at the root, and the [`prelude`] holds those that most programs use.
//! The modules are the crates below the runtime, with the types that select among them:
//! [`emotion`], [`steering`] and [`inference`] hold values and arithmetic; [`backend`], [`hub`],
//! [`store`] and [`worker`] reach the model, the network, the disk and other processes;
//! [`training`] makes vectors; [`settings`] holds every setting.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `llama-cpp` (default) | the llama.cpp backend: GGUF models |
//! | `bundled-model` (default) | the small model inside the library |
//! | `transformers` | Hugging Face folders on libtorch, which must be installed |
//! | `cuda`, `rocm`, `vulkan`, `metal` | GPU support of llama.cpp |
//! | `hub` | models by their Hugging Face name |
//! | `sqlite` | states that outlive the process, in an SQLite file |
//! | `prometheus` | metrics over HTTP |
//! | `tools` | function calling and structured output |
//! | `testing` | an engine without a model, for tests of code that uses elpis |
//! | `tower` | an engine as a `tower` service |
//!
//! # Threads
//!
//! llama.cpp's threads spin while they wait for each other, so a second busy
//! process on the same cores slows both down. With OpenMP builds, set
//! `GOMP_SPINCOUNT=3000` before the process starts: it costs almost no speed on
//! an idle machine and avoids most of the slowdown on a busy one. With glibc,
//! `MALLOC_MMAP_THRESHOLD_=1048576` returns the memory of a dropped engine to
//! the system. The `elpis` command sets both for itself, and the runtime sets
//! them for a worker process ([`worker`]). A library cannot set them for its own
//! process.

#![deny(unsafe_code)]

mod actors;
mod appraisal;
pub mod backend;
mod bus;
mod clock;
mod engine;
mod error;
mod event;
mod fault_injection;
pub mod hub;
pub mod inference;
mod runtime;
mod scheduler;
mod sessions;
pub mod settings;
pub mod store;
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tools")]
mod tools;
pub mod worker;

/// Compiles and runs the code of the README and the guide.
#[cfg(all(doctest, feature = "bundled-model", feature = "tools"))]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/chat-loop.md")]
    struct ChatLoop;
    #[doc = include_str!("../docs/companion.md")]
    struct Companion;
    #[doc = include_str!("../docs/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../docs/custom-appraiser.md")]
    struct CustomAppraiser;
    #[doc = include_str!("../docs/custom-backend.md")]
    struct CustomBackend;
    #[doc = include_str!("../docs/custom-store.md")]
    struct CustomStore;
    #[doc = include_str!("../docs/running.md")]
    struct Running;
    #[doc = include_str!("../docs/steering-from-zero.md")]
    struct SteeringFromZero;
    #[doc = include_str!("../docs/tools.md")]
    struct Tools;
}

#[doc(inline)]
pub use elpis_emotion as emotion;
#[doc(inline)]
pub use elpis_steering as steering;
#[doc(inline)]
pub use elpis_train as training;

pub use actors::hardware::HardwareReport;
pub use appraisal::{ExpressedAppraiser, LexicalAppraiser, ReferenceAppraiser};
pub use backend::available_backends;
pub use bus::{Delivery, EventBus, Events};
pub use clock::{Clock, ManualClock, SystemClock};
pub use emotion::{Coefficients, EmotionEvent, EmotionSnapshot, Modulation, Mood, SafetyLimits};
pub use engine::{GenerationEvent, GenerationStream};
pub use error::{Cause, EngineError, Error, MetricsErrorKind, SteeringError};
pub use event::{ActorName, Event, EventSource, FailureKind};
pub use inference::{
    ChatMessage, ClientSampling, Completion, Conversation, FunctionCall, GenerationOptions,
    GenerationReport, ModulationTiming, RequestError, RequestId, ResponseFormat, Role, SessionId,
    ToolChoice,
};
#[cfg(feature = "tower")]
pub use runtime::EngineService;
pub use runtime::{
    AppraisalError, AppraisedText, Appraiser, BoxFuture, Capabilities, Chat, ChatRequest,
    ContextUse, Elpis, ElpisBuilder, InferenceEngine, IntoEvent, IntoMessages, ModelAppraiser,
    ModulationKind, Reservation, Session, ShutdownReport, create_backend,
};
pub use settings::Settings;
pub use telemetry::TRACE_TARGET;
#[cfg(feature = "tools")]
pub use tools::{Tool, ToolCallError, Tools};

/// The types that most programs use: `use elpis::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Appraiser, ChatMessage, Completion, Conversation, Delivery, Elpis, EmotionEvent, Event,
        GenerationEvent, InferenceEngine, ResponseFormat, Session, Settings, ToolChoice,
    };
    #[cfg(feature = "tools")]
    pub use crate::{Tool, Tools};
}

/// What the command, the benchmarks and the tests of this workspace need of the inside. Any version
/// may change it.
#[doc(hidden)]
pub mod internal {
    pub use crate::engine::{EngineFailure, chat_template};
    #[cfg(feature = "fault-injection")]
    pub use crate::fault_injection::Probe;
    pub use crate::runtime::load_backend;

    /// Batches without a runtime.
    pub mod scheduler {
        pub use crate::scheduler::{
            AdmissionQueue, CacheUsage, InFlightSlots, MoodSource, Outcome, PrefixOptions,
            PromptAccount, Recovered, Scheduler, SchedulerOptions, StepSummary, Task, TokenSink,
        };
    }

    /// Folders of vectors, read as the runtime reads them.
    pub mod vectors {
        pub use crate::actors::steering::{
            is_library_file, library_context, read_file, read_folder,
        };
    }

    /// The tables of metrics, and the recorder.
    pub mod telemetry {
        pub use crate::telemetry::{
            METRICS, Metric, MetricKind, OPENTELEMETRY, PROCESS, buckets, reference_markdown,
        };
        #[cfg(feature = "prometheus")]
        pub use crate::telemetry::{record_metrics, render_metrics};
    }
}

// Handles can be sent to other threads and shared among them, and futures can be spawned.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Elpis>();
    shared::<Session>();
    shared::<ElpisBuilder>();
    shared::<Chat>();
    shared::<GenerationStream>();
    shared::<Events>();
    shared::<Event>();
    shared::<Error>();
    shared::<EngineError>();
    shared::<std::sync::Arc<dyn InferenceEngine>>();
    shared::<Reservation>();
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Is never called: that it compiles is what counts.
    #[expect(dead_code, reason = "a check of types alone")]
    fn futures_can_be_spawned(elpis: &Elpis, stream: &mut GenerationStream, events: &mut Events) {
        fn spawned(_: impl Future + Send) {}
        spawned(Elpis::start(Settings::default()));
        spawned(elpis.shutdown());
        spawned(elpis.flush());
        spawned(stream.next());
        spawned(events.next());
        if let Ok(session) = elpis.session("ada") {
            spawned(session.feel("success"));
            spawned(session.state());
            spawned(session.forget());
            spawned(session.chat("x").stream());
            spawned(session.chat("x").complete());
            spawned(session.chat("x").into_future());
            spawned(session.conversation());
        }
    }
}
