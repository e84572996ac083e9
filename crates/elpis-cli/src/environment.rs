//! Sets environment variables that native libraries read only when a process starts.

/// Restarts this program with the variables of [`environment`](elpis_worker::environment), unless
/// they are already set.
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
    // This only returns on failure; the program then continues unchanged.
    let _ = command.args(arguments).envs(unset).exec();
}

/// Other systems have no such variables.
#[cfg(not(unix))]
pub(super) fn complete() {}
