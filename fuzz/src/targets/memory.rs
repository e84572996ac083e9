//! Checks that a parser stays within its memory limit.

use crate::allocator;

/// Runs the parser on an input of `length` bytes; at its peak it may allocate twice
/// as much and 16 MB, whatever sizes the input declares.
pub fn bounded<T>(length: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = allocator::peak(work);
    let limit = 2 * length + 16_000_000;
    assert!(peak <= limit, "{peak} bytes for an input of {length}");
    result
}
