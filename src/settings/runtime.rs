//! `[runtime]`: actors, queues and time limits.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::{above, between, section};
use super::value::choices;
use crate::inference::ModulationTiming;

elpis_backend::named_values! {
    /// What a prompt may take over of what was evaluated before.
    #[non_exhaustive]
    #[derive(Default)]
    pub enum PrefixPolicy {
        #[default]
        /// A session's own cached sequence stays as it was felt; of other sessions only what was evaluated under the
        /// steering of now.
        Keep = "keep",
        /// Only what was evaluated under the steering of now.
        Exact = "exact",
        /// As `keep`, with only the generated tokens steered, so that prompts can always be shared.
        PromptUnsteered = "prompt-unsteered",
    }
}

elpis_backend::named_values! {
    /// What a crash of the native code takes with it.
    #[non_exhaustive]
    pub enum Isolation {
        /// The whole program: the model runs in its process.
        None = "none",
        /// The running generations: the model runs in a process of its own, which is started again.
        Process = "process",
    }
}

choices!(ModulationTiming, PrefixPolicy, Isolation);

section! {
    /// How the actors around the model queue, restart and stop.
    pub struct RuntimeSettings = Runtime, runtime, "runtime";

    /// Sequences that are decoded in one batch.
    n_parallel: usize = 4, in between(1.0, 254.0);
    /// Requests that may wait for a free slot; more are refused as overloaded.
    queue_limit: usize = 64, in between(0.0, 65_536.0);
    /// Tokens that a stream holds for a slow reader before its generation pauses.
    stream_buffer: usize = 64, in between(1.0, 65_536.0);
    /// What a prompt may take over of what was evaluated before: a session's own cached sequence as it was felt, only what
    /// the steering of now would give, or everything with prompts never steered.
    prefix_policy: PrefixPolicy = PrefixPolicy::Keep;
    /// Memory for the keys and values of finished conversations, in MiB, so that their next turn evaluates only
    /// what is new; the one unused for longest goes first. 0 keeps none.
    prefix_cache_mib: u32 = 1024, in between(0.0, 16_777_216.0);
    /// When a changed emotion reaches a reply: with the next generation or with the next token.
    modulation_timing: ModulationTiming = ModulationTiming::AtStart;
    /// Time after which a request is ended, waiting included.
    request_timeout: Option<Duration> = None, in above(0.0, 86_400.0), unset "no limit",
        as Seconds "request_timeout_seconds";
    /// Emotional states that are held in memory. With a store the one unused for longest leaves, and comes back
    /// when it is needed; without one, further sessions are refused.
    max_sessions: usize = 100_000, in between(1.0, 10_000_000.0);
    /// Events that the bus holds for a slow subscriber before it misses some.
    bus_capacity: usize = 1024, in between(1.0, 1_048_576.0);
    /// Restarts of one actor within the window before the runtime stops.
    restart_max: u32 = 5, in between(0.0, 1000.0);
    /// Time over which restarts are counted.
    restart_window: Duration = Duration::from_mins(1), in above(0.0, 86_400.0),
        as Seconds "restart_window_seconds";
    /// Wait before the first restart; each further wait doubles.
    restart_backoff_initial: Duration = Duration::from_millis(100), in between(0.0, 600_000.0),
        as Milliseconds "restart_backoff_initial_ms";
    /// Longest wait before a restart.
    restart_backoff_max: Duration = Duration::from_secs(10), in between(0.0, 600_000.0),
        as Milliseconds "restart_backoff_max_ms";
    /// Time that one step of the engine may take before it counts as hung and is replaced; above the time of
    /// the largest batch on the slowest machine. A thread that hangs cannot be stopped: it keeps its model's memory.
    watchdog: Option<Duration> = Some(Duration::from_mins(5)), in above(0.0, 86_400.0), unset "no limit",
        as Seconds "watchdog_seconds";
    /// Whether generations go on after a restart of the engine: prompt and reply so far are evaluated again, and
    /// the same text continues. Otherwise they end with an error. After a hang, if it came while the model
    /// evaluated, and once.
    resume_generations: bool = false;
    /// Where the model runs: in this process, or in one of its own (Unix), so that a crash of the native code ends
    /// the running generations alone.
    isolation: Isolation = Isolation::None;
    /// Program that is started as the model's process; it calls `elpis::worker::serve_if_asked()` first in `main`.
    worker: Option<PathBuf> = None, unset "this executable";
    /// Time that running generations may still take at shutdown.
    shutdown_timeout: Duration = Duration::from_secs(10), in between(0.0, 3600.0),
        as Seconds "shutdown_timeout_seconds";
    /// Time without a change before changed steering vectors are loaded.
    vectors_debounce: Duration = Duration::from_millis(50), in between(0.0, 60_000.0),
        as Milliseconds "vectors_debounce_ms";
}

impl RuntimeSettings {
    /// Returns the memory for what finished conversations leave behind, in bytes.
    pub fn prefix_cache_memory(&self) -> usize {
        (self.prefix_cache_mib as usize).saturating_mul(1024 * 1024)
    }
}
