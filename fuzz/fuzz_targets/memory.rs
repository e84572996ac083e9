//! Checks that a parser stays within its memory limit.

// The file alone: the rest of the testkit would be built with coverage counters.
#[allow(dead_code, reason = "not every target uses all of it")]
#[path = "../../crates/elpis-testkit/src/allocator.rs"]
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Runs the parser on an input of `length` bytes; at its peak it may allocate twice
/// as much and 16 MB, whatever sizes the input declares.
pub fn bounded<T>(length: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = allocator::peak(work);
    let limit = 2 * length + 16_000_000;
    assert!(peak <= limit, "{peak} bytes for an input of {length}");
    result
}
