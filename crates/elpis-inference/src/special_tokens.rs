//! The tokens that templates write by name.

/// The special tokens that templates write by name. `None` is undefined in templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `bos_token`: begins a text.
    pub bos: Option<String>,
    /// `eos_token`: ends a text.
    pub eos: Option<String>,
    /// `pad_token`.
    pub pad: Option<String>,
    /// `unk_token`.
    pub unk: Option<String>,
}

impl SpecialTokens {
    /// Creates special tokens from the two that most templates use.
    pub fn new(bos: impl Into<String>, eos: impl Into<String>) -> Self {
        Self {
            bos: Some(bos.into()),
            eos: Some(eos.into()),
            pad: None,
            unk: None,
        }
    }
}
