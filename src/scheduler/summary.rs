//! Summaries of a scheduler's work.

/// Use of the key–value cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUsage {
    /// Cells in use, each holding a position of one or more sequences.
    pub used: usize,
    /// Total number of cells.
    pub capacity: usize,
    /// Number of cached sequences of finished generations.
    pub entries: usize,
    /// Size in bytes of the cached sequences stored outside of the cache.
    pub stored_bytes: usize,
    /// Size in bytes of the spare buffer, which falls under the same bound.
    pub spare_bytes: usize,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepSummary {
    /// Rows evaluated.
    pub rows: usize,
    /// Rows among them that belong to prompts.
    pub prefill_rows: usize,
    /// Rows among them that were steered.
    pub steered_rows: usize,
    /// Tokens sampled.
    pub sampled: usize,
    /// Tokens among them that belong to replies; the others end one.
    pub generated: usize,
}
