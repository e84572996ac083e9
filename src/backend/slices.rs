//! How long the thread that evaluates may compute before others get their turn.

#![allow(unsafe_code)]

/// Asks for longer slices than the usual for this thread and for those that it
/// starts. Linux lets a thread that wakes up run before one whose slice is
/// longer (EEVDF, since 6.12), so that an event or a token does not wait until
/// a slice of the evaluation ends where all cores evaluate. Elsewhere nothing
/// is asked for.
pub(crate) fn take_long_slices() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::take_long_slices() {
        tracing::debug!(%error, "the evaluation keeps the system's time slices");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    /// In nanoseconds. The usual slice is 2.8 ms at most; a much longer one
    /// would have two busy engines take turns more slowly.
    pub(super) const LONG: u64 = 4_000_000;

    const SIZE: libc::c_uint = size_of::<libc::sched_attr>() as libc::c_uint;

    pub(super) fn take_long_slices() -> io::Result<()> {
        let mut attributes = attributes_of_this_thread()?;
        // Whoever chose another policy knows better.
        if attributes.sched_policy != libc::SCHED_OTHER as u32 {
            return Ok(());
        }
        attributes.size = SIZE;
        attributes.sched_runtime = LONG;
        // SAFETY: reads the struct, whose size it names, for this thread.
        checked(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
    }

    fn attributes_of_this_thread() -> io::Result<libc::sched_attr> {
        // SAFETY: a plain struct of numbers.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: fills the struct, whose size it is told, for this thread.
        checked(unsafe {
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0)
        })?;
        Ok(attributes)
    }

    #[cfg(test)]
    pub(super) fn slice_of_this_thread() -> io::Result<u64> {
        Ok(attributes_of_this_thread()?.sched_runtime)
    }

    fn checked(code: libc::c_long) -> io::Result<()> {
        match code {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::{LONG, slice_of_this_thread, take_long_slices};

    #[test]
    fn threads_have_the_slices_of_those_that_start_them() {
        let evaluating = std::thread::spawn(|| {
            take_long_slices().unwrap();
            let started = std::thread::spawn(|| slice_of_this_thread().unwrap());
            [slice_of_this_thread().unwrap(), started.join().unwrap()]
        });
        let others = slice_of_this_thread().unwrap();
        assert_ne!(others, LONG);
        // Before 6.12 the kernel keeps its own for all.
        let slices = evaluating.join().unwrap();
        assert!(slices == [LONG; 2] || slices == [others; 2], "{slices:?}");
    }
}
