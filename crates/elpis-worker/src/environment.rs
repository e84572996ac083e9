//! Environment variables that native libraries read only when a process starts.

/// The number of spins of a waiting OpenMP thread before it sleeps.
pub const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// The size from which glibc's `malloc` uses a separate mapping, which is returned to the system
/// when freed (mallopt(3)).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";

/// A variable, its value, and the variables that override it.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// Keeps ggml from attaching a debugger to a process that it aborts.
const NO_BACKTRACE: &str = "GGML_NO_BACKTRACE";

const ROWS: &[Row] = &[
    (NO_BACKTRACE, "1", &[NO_BACKTRACE]),
    // Low enough that two busy processes do not starve each other, and high enough that a single
    // one keeps its speed.
    (SPIN_COUNT, "3000", &[SPIN_COUNT, "OMP_WAIT_POLICY"]),
    // By default the threshold rises to the size freed last, up to 32 MiB. The buffers of an engine
    // are then allocated on the heap, whose gaps do not fit those of the next engine, so that the
    // process grows with each restart for a while.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    (
        MMAP_THRESHOLD,
        "1048576",
        &[MMAP_THRESHOLD, "GLIBC_TUNABLES"],
    ),
];

/// The variables with their values for a process to be started, except those that the environment
/// already sets.
pub fn unset() -> Vec<(&'static str, &'static str)> {
    ROWS.iter()
        .filter(|(.., chosen)| chosen.iter().all(|name| std::env::var_os(name).is_none()))
        .map(|(name, value, _)| (*name, *value))
        .collect()
}
