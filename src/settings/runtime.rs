//! `[runtime]`: actors, queues and time limits.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::{above, between, section};
use super::value::choices;
use crate::inference::ModulationTiming;

elpis_backend::named_values! {
    /// What a prompt may reuse from the cache.
    #[non_exhaustive]
    #[derive(Default)]
    pub enum PrefixPolicy {
        #[default]
        /// A session's own cached sequence under any steering, and cached sequences of other
        /// sessions under the current steering.
        Keep = "keep",
        /// Only positions that were evaluated under the current steering.
        Exact = "exact",
        /// As `keep`, but only generated tokens are steered, so that prompts can always be shared.
        PromptUnsteered = "prompt-unsteered",
    }
}

elpis_backend::named_values! {
    /// What a crash in native code ends.
    #[non_exhaustive]
    pub enum Isolation {
        /// The whole program, because the model runs in its process.
        None = "none",
        /// Only the running generations, because the model runs in a worker process, which is
        /// restarted.
        Process = "process",
    }
}

choices!(ModulationTiming, PrefixPolicy, Isolation);

section! {
    /// Queues, restarts and shutdown of the actors around the model.
    pub struct RuntimeSettings = Runtime, runtime, "runtime";

    /// Maximum number of sequences decoded in one batch.
    n_parallel: usize = 4, in between(1.0, 254.0);
    /// Maximum number of requests that wait for a free slot. Further ones are refused as
    /// overloaded.
    queue_limit: usize = 64, in between(0.0, 65_536.0);
    /// Number of tokens that a stream buffers for a slow reader before its generation pauses.
    stream_buffer: usize = 64, in between(1.0, 65_536.0);
    /// What a prompt may reuse from the cache: a session's own cached sequence under any steering,
    /// only what the current steering would produce, or everything, with prompts never steered.
    prefix_policy: PrefixPolicy = PrefixPolicy::Keep;
    /// Memory for the keys and values of finished conversations, in MiB, so that their next turn
    /// only evaluates new tokens. The least recently used is dropped first. 0 keeps none.
    prefix_cache_mib: u32 = 1024, in between(0.0, 16_777_216.0);
    /// When a changed emotion takes effect: with the next generation or with the next token.
    modulation_timing: ModulationTiming = ModulationTiming::AtStart;
    /// Time after which a request is ended, including the time in the queue.
    request_timeout: Option<Duration> = None, in above(0.0, 86_400.0), unset "no limit",
        as Seconds "request_timeout_seconds";
    /// Maximum number of emotional states in memory. With a store, the least recently used one is
    /// evicted and loaded again when needed; without one, further sessions are refused.
    max_sessions: usize = 100_000, in between(1.0, 10_000_000.0);
    /// Number of events that the bus keeps for a slow subscriber before it misses some.
    bus_capacity: usize = 1024, in between(1.0, 1_048_576.0);
    /// Number of restarts of one actor within the window before the runtime stops.
    restart_max: u32 = 5, in between(0.0, 1000.0);
    /// Time over which restarts are counted.
    restart_window: Duration = Duration::from_mins(1), in above(0.0, 86_400.0),
        as Seconds "restart_window_seconds";
    /// Wait before the first restart. The wait doubles each time.
    restart_backoff_initial: Duration = Duration::from_millis(100), in between(0.0, 600_000.0),
        as Milliseconds "restart_backoff_initial_ms";
    /// Longest wait before a restart.
    restart_backoff_max: Duration = Duration::from_secs(10), in between(0.0, 600_000.0),
        as Milliseconds "restart_backoff_max_ms";
    /// Time that one step of the engine may take before the engine counts as hung and is
    /// replaced. Set it above the time of the largest batch on the slowest machine. A hung thread
    /// cannot be stopped and keeps its model's memory.
    watchdog: Option<Duration> = Some(Duration::from_mins(5)), in above(0.0, 86_400.0), unset "no limit",
        as Seconds "watchdog_seconds";
    /// Whether generations continue after a restart of the engine: the prompt and the reply so far
    /// are evaluated again, and the same text continues. Otherwise they end with an error. After a
    /// hang they continue only once, and only if it occurred while the model evaluated.
    resume_generations: bool = false;
    /// Where the model runs: in this process, or in a worker process (Unix), so that a crash in
    /// native code only ends the running generations.
    isolation: Isolation = Isolation::None;
    /// Program that is started as the worker process. It must call
    /// `elpis::worker::serve_if_asked()` first in `main`.
    worker: Option<PathBuf> = None, unset "this executable";
    /// Time that running generations get to finish at shutdown.
    shutdown_timeout: Duration = Duration::from_secs(10), in between(0.0, 3600.0),
        as Seconds "shutdown_timeout_seconds";
    /// Time without a change before changed steering vectors are loaded.
    vectors_debounce: Duration = Duration::from_millis(50), in between(0.0, 60_000.0),
        as Milliseconds "vectors_debounce_ms";
}

impl RuntimeSettings {
    /// Returns the memory for cached sequences of finished conversations, in bytes.
    pub fn prefix_cache_memory(&self) -> usize {
        (self.prefix_cache_mib as usize).saturating_mul(1024 * 1024)
    }
}
