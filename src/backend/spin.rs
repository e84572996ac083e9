//! OpenMP's spinning, kept within bounds.

/// How often a waiting OpenMP thread looks before it goes to sleep.
pub(crate) const VARIABLE: &str = "GOMP_SPINCOUNT";

/// Few enough that two busy processes do not starve each other, enough that
/// one alone keeps its speed.
#[cfg(unix)]
const COUNT: &str = "3000";

/// The variable and its value for a process that is to be started, unless the
/// environment says something of its own. OpenMP reads it when it is loaded.
#[cfg(unix)]
pub(crate) fn unset_limit() -> Option<(&'static str, &'static str)> {
    let chosen = [VARIABLE, "OMP_WAIT_POLICY"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    (!chosen).then_some((VARIABLE, COUNT))
}
