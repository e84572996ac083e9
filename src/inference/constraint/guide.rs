//! A constraint in force on one reply.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use super::vocabulary::{Vocabulary, reason};
use super::{ConstraintError, Extent, Progress};
use crate::inference::sampling::Sampler;
use crate::inference::tools::{ControlToken, Finder};

/// A grammar that takes longer for the mask of one token ends its reply: the other replies of a
/// batch wait for it.
const MASK_LIMIT: Duration = Duration::from_secs(2);

/// Says before every token of one reply which ones may follow.
pub struct Guide {
    vocabulary: Arc<Vocabulary>,
    matcher: Matcher,
    /// Looks for the opening while the reply is free.
    watch: Option<Finder>,
    control: Vec<ControlToken>,
    calls: bool,
    tokens: u32,
}

/// The tokens that may follow, as [`Sampler::sample_masked`] takes them.
pub struct Mask(SimpleVob);

impl Mask {
    /// A bit for each token.
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask")
            .field("tokens", &self.0.num_set())
            .finish()
    }
}

/// What a token would do to a reply that is still free.
enum Outlook {
    Free,
    /// Opens a call and goes on with what may stand there.
    Opens,
    /// Opens a call and goes on with what may not stand there.
    Breaks,
}

impl Guide {
    pub(super) fn new(vocabulary: Arc<Vocabulary>, matcher: Matcher, extent: Extent) -> Self {
        let calls = extent != Extent::Answer;
        let (watch, control) = match extent {
            Extent::Answer => (None, Vec::new()),
            Extent::Calls(control) => (None, control),
            Extent::FromOpening {
                format,
                control,
                thinking,
            } => (Some(format.finder(thinking)), control),
        };
        Self {
            vocabulary,
            matcher,
            watch,
            control,
            calls,
            tokens: 0,
        }
    }

    /// Whether the reply is constrained at this point.
    pub fn is_active(&self) -> bool {
        self.watch.is_none()
    }

    /// Whether the reply would be whole if it ended here.
    pub fn is_accepting(&mut self) -> bool {
        self.watch.is_some() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether what is constrained is tool calls.
    pub fn writes_calls(&self) -> bool {
        self.calls
    }

    /// The tokens that may follow where the reply is constrained.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`] if they cannot be computed.
    pub fn mask(&mut self) -> Result<Mask, ConstraintError> {
        let start = Instant::now();
        let mask = self.matcher.compute_mask_or_eos();
        let mask = mask.map_err(|error| self.failed(&error))?;
        if start.elapsed() > MASK_LIMIT {
            return Err(self.failed(&"the grammar takes too long for a token"));
        }
        Ok(Mask(mask))
    }

    /// Samples the next token among those that may follow. They are left before any other
    /// truncation, so that top-k, top-p and min-p choose among them alone.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`] if no mask can be computed, [`ConstraintError::Sampling`].
    pub fn choose(
        &mut self,
        sampler: &mut Sampler,
        logits: &[f32],
    ) -> Result<u32, ConstraintError> {
        if self.is_active() {
            let mask = self.mask()?;
            return Ok(sampler.sample_masked(logits, mask.words())?);
        }
        let token = sampler.sample(logits)?;
        match self.outlook(token)? {
            Outlook::Free | Outlook::Opens => Ok(token),
            Outlook::Breaks => {
                let mask = self.unbroken(logits.len())?;
                Ok(sampler.sample_masked(logits, &mask)?)
            }
        }
    }

    /// Takes note of the token that was chosen. `piece` holds its bytes; a marker of the tool
    /// format that is a control token, and therefore has none, gets its text.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`].
    pub fn accept(&mut self, token: u32, piece: &mut Vec<u8>) -> Result<Progress, ConstraintError> {
        self.tokens += 1;
        if let Some(control) = self.control.iter().find(|control| control.id == token) {
            piece.clear();
            piece.extend_from_slice(control.text.as_bytes());
        }
        let mut progress = Progress::default();
        let consumed = match &mut self.watch {
            None => self.matcher.consume_token(token),
            Some(watch) => {
                if !watch.push(piece, &mut Vec::new()) {
                    return Ok(progress);
                }
                progress.entered = true;
                let tokens =
                    opening_tokens(&self.vocabulary, &self.control, token, watch.pending());
                self.watch = None;
                let Some(tokens) = tokens else {
                    return Err(self.failed(&"a call cannot begin so"));
                };
                self.matcher.consume_tokens(&tokens)
            }
        };
        consumed.map_err(|error| self.failed(&error))?;
        progress.complete = self.matcher.is_stopped();
        Ok(progress)
    }

    fn outlook(&mut self, token: u32) -> Result<Outlook, ConstraintError> {
        let Some(watch) = &self.watch else {
            return Ok(Outlook::Free);
        };
        let control = self.control.iter().find(|control| control.id == token);
        let piece = match control {
            Some(control) => control.text.as_bytes(),
            None => self.vocabulary.trie().token(token),
        };
        let mut watch = watch.clone();
        if !watch.push(piece, &mut Vec::new()) {
            return Ok(Outlook::Free);
        }
        let tokens = opening_tokens(&self.vocabulary, &self.control, token, watch.pending());
        let Some(tokens) = tokens else {
            return Ok(Outlook::Breaks);
        };
        let valid = self.matcher.validate_tokens(&tokens);
        let valid = valid.map_err(|error| self.failed(&error))?;
        if valid == tokens.len() {
            Ok(Outlook::Opens)
        } else {
            Ok(Outlook::Breaks)
        }
    }

    /// Every token but those that open a call and go on with what may not stand there. Slow, and
    /// rare: a model would have to write half a call in one token.
    fn unbroken(&mut self, vocabulary: usize) -> Result<Vec<u32>, ConstraintError> {
        let mut mask = vec![u32::MAX; vocabulary.div_ceil(32)];
        let known = vocabulary.min(self.vocabulary.trie().vocab_size());
        for token in 0..known {
            if let Outlook::Breaks = self.outlook(token as u32)? {
                mask[token / 32] &= !(1 << (token % 32));
            }
        }
        Ok(mask)
    }

    fn failed(&self, error: &impl fmt::Display) -> ConstraintError {
        ConstraintError::Failed {
            tokens: self.tokens,
            reason: reason(error),
        }
    }
}

impl fmt::Debug for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guide")
            .field("active", &self.is_active())
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// Tokens that say what stands from the opening on, for the matcher alone: it looks at bytes, so
/// any that spell them will do. `None` if no tokens spell them.
fn opening_tokens(
    vocabulary: &Vocabulary,
    control: &[ControlToken],
    token: u32,
    bytes: &[u8],
) -> Option<Vec<u32>> {
    // A control token always stands alone.
    if control.iter().any(|control| control.id == token) {
        return Some(vec![token]);
    }
    let trie = vocabulary.trie();
    let tokens = trie.greedy_tokenize(bytes);
    (trie.decode_raw(&tokens) == bytes).then_some(tokens)
}
