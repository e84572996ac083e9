//! A stack of known size for work that recurses.

use std::thread;

/// Enough for the deepest template that the limits let through, in a build without optimisation
/// too. Pages that are not touched take no memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs the work on a thread of its own and waits for it: how deep a template may nest must not
/// depend on the caller's stack.
///
/// # Errors
/// No thread could be started.
pub(super) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("elpis-template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
