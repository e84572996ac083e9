//! The runtime over a scripted backend: actors, scheduler, sessions, stores and settings.

mod appraisal;
#[cfg(feature = "tools")]
mod auto_calls;
mod behavior;
mod emotion_reference;
mod faults;
#[path = "../support/fragile.rs"]
mod fragile;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "tools")]
mod interface;
mod limits;
mod model_source;
mod panics;
mod persistence;
mod prefix;
mod rescue;
mod scheduler;
#[cfg(feature = "tower")]
mod service;
#[path = "../support/set_mood.rs"]
mod set_mood;
mod settings;
#[cfg(feature = "sqlite")]
mod store;
mod supervision;
#[path = "../support/task.rs"]
mod task;
