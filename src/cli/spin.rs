//! OpenMP's spinning, kept within bounds in this process too.

/// Starts this program anew with the spin count set, unless the environment
/// says something of its own. OpenMP reads it when the process is loaded.
#[cfg(unix)]
pub(super) fn limit_openmp_spinning() {
    use std::os::unix::process::CommandExt;

    let Some((variable, count)) = crate::backend::spin::unset_limit() else {
        return;
    };
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Comes back only on failure; then the program runs as it is.
    let _ = command.args(arguments).env(variable, count).exec();
}

/// OpenMP of other systems has no such variable.
#[cfg(not(unix))]
pub(super) fn limit_openmp_spinning() {}
