//! An allocator that counts each thread's allocations.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: elpis_testkit::allocator::Counting = elpis_testkit::allocator::Counting;
//! ```
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Bytes in use by the whole process, and their maximum.
static IN_USE: AtomicIsize = AtomicIsize::new(0);
static MAX: AtomicIsize = AtomicIsize::new(0);

/// The allocator of the system, with counters. They stay at 0 unless it is the global one.
pub struct Counting;

/// Number of allocations of this thread so far.
pub fn count() -> usize {
    COUNT.with(Cell::get)
}

/// Runs the work and returns how many more bytes than before were in use at its peak.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = work();
    let peak = PEAK.with(Cell::get);
    (result, usize::try_from(peak - before).unwrap_or(0))
}

/// As [`peak`], of all threads together.
pub fn peak_of_all<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Relaxed);
    MAX.store(before, Relaxed);
    let result = work();
    let most = MAX.load(Relaxed);
    (result, usize::try_from(most - before).unwrap_or(0))
}

fn taken(bytes: usize) {
    let in_use = IN_USE.fetch_add(bytes as isize, Relaxed) + bytes as isize;
    MAX.fetch_max(in_use, Relaxed);
    // A thread that is ending no longer has counters.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes as isize);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn given_back(bytes: usize) {
    IN_USE.fetch_sub(bytes as isize, Relaxed);
    let _ = LIVE.try_with(|live| live.set(live.get() - bytes as isize));
}

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist while the content is copied.
        taken(size);
        given_back(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
