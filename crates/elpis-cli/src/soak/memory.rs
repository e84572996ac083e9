//! Memory over time.

use std::time::Duration;

/// Fraction of the time that counts as warm-up, while caches fill and allocators settle.
pub(super) const WARM_UP: f64 = 0.4;

/// Fraction of the time at each end whose peaks are compared. Peaks are used because an engine that
/// was just restarted holds less memory than one that has worked. A leak raises every peak.
const END: f64 = 0.2;

/// Samples the memory of this process once a second.
#[derive(Debug, Default)]
pub(super) struct Memory {
    resident: Peaks,
    heap: Peaks,
}

/// Bytes that were seen at points in time.
#[derive(Debug, Default)]
struct Peaks {
    seen: Vec<(Duration, u64)>,
}

/// Peaks after the warm-up and at the end, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) resident: (u64, u64),
    /// Heap in use; `None` if the C library does not tell.
    pub(super) heap: Option<(u64, u64)>,
}

impl Memory {
    pub(super) fn look(&mut self, at: Duration) {
        self.resident
            .seen
            .extend(resident().map(|bytes| (at, bytes)));
        self.heap
            .seen
            .extend(heap_in_use().map(|bytes| (at, bytes)));
    }

    /// Peaks after the warm-up and at the end of this time.
    pub(super) fn span(&self, whole: Duration) -> Option<Span> {
        Some(Span {
            resident: self.resident.span(whole)?,
            heap: self.heap.span(whole),
        })
    }
}

impl Peaks {
    fn span(&self, whole: Duration) -> Option<(u64, u64)> {
        let part = |from: f64, to: f64| {
            let within = |at: &Duration| *at >= whole.mul_f64(from) && *at <= whole.mul_f64(to);
            let of = self.seen.iter().filter(|(at, _)| within(at));
            of.map(|(_, bytes)| *bytes).max()
        };
        Some((part(WARM_UP, WARM_UP + END)?, part(1.0 - END, 1.0)?))
    }
}

/// Resident memory of this process in bytes; `None` on systems other than Linux.
fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// A size in this process's status, in bytes.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of the C heap that are in use, by Rust and native code alike; `None` if the C library does
/// not tell, or if the process has more than 4 GiB of data, which do not fit its fields.
///
/// How much memory is *resident* for the same heap depends on the machine: on the number of the
/// allocator's arenas, which follows that of the processors, and on transparent huge pages.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heap_in_use() -> Option<u64> {
    // SAFETY: the call has no arguments and takes the locks that it needs.
    #[allow(unsafe_code, reason = "no safe crate offers it")]
    let heap = unsafe { libc::mallinfo() };
    // The fields are unsigned numbers in signed types.
    let in_use = u64::from(heap.uordblks.cast_unsigned()) + u64::from(heap.hblkhd.cast_unsigned());
    (status("VmData:")? < u64::from(u32::MAX)).then_some(in_use)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn heap_in_use() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_seen_and_a_new_engine_is_not() {
        let seen = |bytes: fn(u64) -> u64| Peaks {
            seen: (0..100)
                .map(|second| (Duration::from_secs(second), bytes(second)))
                .collect(),
        };
        let whole = Duration::from_secs(100);
        // Started again every ten seconds, and full after two.
        let restarts = seen(|second| if second % 10 < 2 { 900 } else { 1000 });
        assert_eq!(restarts.span(whole), Some((1000, 1000)));
        let leak = seen(|second| 1000 + second + if second % 10 < 2 { 0 } else { 100 });
        assert_eq!(leak.span(whole), Some((1159, 1199)));
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let mut memory = Peaks::default();
        for second in 0..100 {
            let bytes = if second < 40 { second } else { 1000 + second };
            memory.seen.push((Duration::from_secs(second), bytes));
        }
        assert_eq!(memory.span(Duration::from_secs(100)), Some((1060, 1099)));
        assert_eq!(Peaks::default().span(Duration::from_secs(1)), None);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_heap_holds_what_is_allocated() {
        const BYTES: usize = 64 << 20;
        let before = heap_in_use().unwrap();
        let held = vec![1_u8; BYTES];
        let during = heap_in_use().unwrap();
        drop(std::hint::black_box(held));
        let after = heap_in_use().unwrap();
        // Other tests run beside it.
        assert!(during > before + BYTES as u64 / 2, "{before} {during}");
        assert!(after + BYTES as u64 / 2 < during, "{during} {after}");
    }
}
