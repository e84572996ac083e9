//! What a scheduler tells of its work.

/// What the key–value cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUsage {
    /// Cells in use, each holding a position of one or more sequences.
    pub used: usize,
    /// Cells in all.
    pub capacity: usize,
    /// Finished conversations that are kept.
    pub entries: usize,
    /// Bytes of those that are kept outside the cache.
    pub stored_bytes: usize,
    /// Bytes of one that was, for the next; within the same bound.
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
