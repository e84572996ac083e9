//! Reuse of buffers.

/// Returns a vector of `size` bytes to be overwritten. It reuses `memory` unless that is far too
/// large.
pub fn sized(mut memory: Vec<u8>, size: usize) -> Vec<u8> {
    if memory.capacity() == 0 || memory.capacity() / 2 > size {
        // Free the old buffer before allocating the new one.
        drop(memory);
        return vec![0; size];
    }
    // Conversations grow; glibc grows large memory without copying it.
    memory.reserve_exact(size.saturating_sub(memory.len()));
    memory.resize(size, 0);
    memory
}
