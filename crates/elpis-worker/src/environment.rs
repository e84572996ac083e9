//! Variables that native libraries read when a process is loaded, and never
//! again.

/// The number of spins of a waiting OpenMP thread before it sleeps.
pub const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// From which size on glibc's `malloc` asks the system for memory of its own,
/// which goes back when it is freed (mallopt(3)).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";

/// A variable, its value, and the variables that say that somebody has chosen.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// Keeps ggml from attaching a debugger to a process that it ends.
const NO_BACKTRACE: &str = "GGML_NO_BACKTRACE";

const ROWS: &[Row] = &[
    (NO_BACKTRACE, "1", &[NO_BACKTRACE]),
    // Few enough that two busy processes do not starve each other, enough that
    // one alone keeps its speed.
    (SPIN_COUNT, "3000", &[SPIN_COUNT, "OMP_WAIT_POLICY"]),
    // By itself the threshold rises to what was freed last, up to 32 MiB. Then
    // the buffers of an engine come out of the heap, in whose gaps those of the
    // next engine do not fit, and a process grows with each restart for a while.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    (
        MMAP_THRESHOLD,
        "1048576",
        &[MMAP_THRESHOLD, "GLIBC_TUNABLES"],
    ),
];

/// The variables with their values for a process that is to be started, less
/// those of which the environment says something of its own.
pub fn unset() -> Vec<(&'static str, &'static str)> {
    ROWS.iter()
        .filter(|(.., chosen)| chosen.iter().all(|name| std::env::var_os(name).is_none()))
        .map(|(name, value, _)| (*name, *value))
        .collect()
}
