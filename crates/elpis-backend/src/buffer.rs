//! Memory that is used again.

/// A vector of `size` bytes to be written over, of `memory` if that is not
/// wasted on it.
pub fn sized(mut memory: Vec<u8>, size: usize) -> Vec<u8> {
    if memory.capacity() == 0 || memory.capacity() / 2 > size {
        // Before the new one is there.
        drop(memory);
        return vec![0; size];
    }
    // Conversations grow; glibc grows large memory without copying it.
    memory.reserve_exact(size.saturating_sub(memory.len()));
    memory.resize(size, 0);
    memory
}
