//! OpenMP's spinning, kept within bounds.

/// Spins before a waiting OpenMP thread goes to sleep: few enough that two
/// busy processes do not starve each other, enough that one alone keeps its
/// speed.
const SPIN_COUNT: &str = "3000";
pub(super) const SPIN_VARIABLE: &str = "GOMP_SPINCOUNT";
const WAIT_VARIABLE: &str = "OMP_WAIT_POLICY";

/// Starts this program anew with the spin count set, unless the environment
/// says something of its own. OpenMP reads it when the process is loaded.
#[cfg(unix)]
pub(super) fn limit_openmp_spinning() {
    use std::os::unix::process::CommandExt;

    let chosen = [SPIN_VARIABLE, WAIT_VARIABLE]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    if chosen {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Comes back only on failure; then the program runs as it is.
    let _ = command
        .args(arguments)
        .env(SPIN_VARIABLE, SPIN_COUNT)
        .exec();
}

/// OpenMP of other systems has no such variable.
#[cfg(not(unix))]
pub(super) fn limit_openmp_spinning() {}
