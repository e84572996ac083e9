//! Sets variables that native libraries read only when a process is loaded.

/// Starts this program anew with what [`environment`](elpis_worker::environment)
/// names, unless the environment says something of its own.
#[cfg(unix)]
pub(super) fn complete() {
    use std::os::unix::process::CommandExt;

    let unset = elpis_worker::environment::unset();
    if unset.is_empty() {
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
    let _ = command.args(arguments).envs(unset).exec();
}

/// Other systems have no such variables.
#[cfg(not(unix))]
pub(super) fn complete() {}
