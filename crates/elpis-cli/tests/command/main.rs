//! The command `elpis` on the bundled model, and models in a process of their own.

mod bench_command;
mod cli;
#[cfg(target_os = "linux")]
mod isolation;
#[cfg(target_os = "linux")]
mod isolation_refusals;
#[cfg(target_os = "linux")]
#[path = "support/process.rs"]
mod process;
mod terminal;
#[cfg(target_os = "linux")]
#[path = "support/worker.rs"]
mod worker;
