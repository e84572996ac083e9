//! A stack of known size for work that recurses.

use std::thread;

/// Stack size that suffices for the deepest allowed template, even in a build without optimisation.
/// Untouched pages take no memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs the work on a separate thread and waits for it, because the allowed nesting must not depend
/// on the caller's stack.
///
/// # Errors
/// An I/O error if no thread could be started.
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
