//! A constraint in force on one reply.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use super::vocabulary::{Vocabulary, reason};
use super::{ConstraintError, Grammar, Progress, Scope};
use crate::sampling::Sampler;
use crate::tools::{ControlToken, Finder, Preface};

/// Time limit for the mask of one token. A grammar that exceeds it ends its reply, because the
/// other replies of the batch wait for it.
const MASK_LIMIT: Duration = Duration::from_secs(2);

/// Maximum white space between thinking and the constrained part, in bytes. It belongs to neither.
const MAX_SPACE: usize = 16;

/// Determines before every token of one reply which tokens may follow.
pub struct Guide {
    vocabulary: Arc<Vocabulary>,
    matcher: Matcher,
    watch: Watch,
    control: Vec<ControlToken>,
    /// The last tokens, back to the text that is held back for an opening.
    recent: Recent,
    calls: bool,
    /// How much more white space is allowed before the constrained part.
    space: usize,
    tokens: u32,
}

impl Vocabulary {
    /// Compiles a grammar, or takes it from the cache, and creates a guide for one reply. This
    /// takes milliseconds, for large grammars up to a second, and is aborted after ten seconds.
    ///
    /// # Errors
    /// [`ConstraintError::Refused`] for a grammar that is invalid, cannot be enforced, matches
    /// nothing or takes too much work.
    pub fn compile(
        self: &Arc<Self>,
        grammar: &Grammar,
        scope: Scope,
    ) -> Result<Guide, ConstraintError> {
        let matcher = self.compiled(grammar)?;
        Ok(Guide::new(Arc::clone(self), matcher, scope))
    }
}

/// The event that ends the free part of a reply.
enum Watch {
    Nothing,
    Opening(Finder),
    Thinking(Preface),
}

/// The tokens that may follow, in the format of [`Sampler::sample_masked`].
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

/// The effect of a token on a reply that is still free.
enum Outlook {
    Free,
    /// It begins the constrained part and continues it validly.
    Enters,
    /// It begins the constrained part and continues it invalidly.
    Breaks,
}

impl Guide {
    pub(super) fn new(vocabulary: Arc<Vocabulary>, matcher: Matcher, scope: Scope) -> Self {
        let (watch, control, calls) = match scope {
            Scope::Answer => (Watch::Nothing, Vec::new(), false),
            Scope::Calls(control) => (Watch::Nothing, control, true),
            Scope::AfterThinking {
                format,
                control,
                thinking,
                calls,
            } => {
                let preface = Preface::new(format, &control, thinking);
                let watch = preface.map_or(Watch::Nothing, Watch::Thinking);
                (watch, control, calls)
            }
            Scope::FromOpening {
                format,
                names,
                control,
                thinking,
            } => {
                let names = names.iter().map(String::as_str);
                let finder = format.finder(names, &control, thinking);
                (Watch::Opening(finder), control, true)
            }
        };
        Self {
            vocabulary,
            matcher,
            watch,
            control,
            recent: Recent::default(),
            calls,
            space: 0,
            tokens: 0,
        }
    }

    /// Whether the reply is constrained at this point.
    pub fn is_active(&self) -> bool {
        matches!(self.watch, Watch::Nothing)
    }

    /// Whether the reply must reach the constrained part, even if it is still free.
    pub fn is_binding(&self) -> bool {
        !matches!(self.watch, Watch::Opening(_))
    }

    /// Whether the reply would be complete if it ended here.
    pub fn is_accepting(&mut self) -> bool {
        match self.watch {
            Watch::Nothing => self.matcher.is_accepting().unwrap_or(false),
            Watch::Opening(_) => true,
            Watch::Thinking(_) => false,
        }
    }

    /// Whether the constrained part consists of tool calls.
    pub fn writes_calls(&self) -> bool {
        self.calls
    }

    /// The tokens that may follow if the reply is constrained.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`] if they cannot be computed.
    pub fn mask(&mut self) -> Result<Mask, ConstraintError> {
        let start = Instant::now();
        let mask = self.matcher.compute_mask_or_eos();
        let mut mask = mask.map_err(|error| self.failed(&error))?;
        if start.elapsed() > MASK_LIMIT {
            return Err(self.failed(&"the grammar takes too long for a token"));
        }
        if self.space > 0 {
            let spaces = self.vocabulary.spaces().iter();
            let short = spaces.filter(|(_, length)| *length <= self.space);
            short.for_each(|(token, _)| mask.allow_token(*token));
        }
        Ok(Mask(mask))
    }

    /// Samples the next token among those that may follow. The mask is applied before any other
    /// truncation, so that top-k, top-p and min-p only consider allowed tokens.
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
            Outlook::Free | Outlook::Enters => Ok(token),
            Outlook::Breaks => {
                let mask = self.unbroken(logits.len())?;
                Ok(sampler.sample_masked(logits, &mask)?)
            }
        }
    }

    /// Records the chosen token. `piece` holds its bytes. A marker of the tool format that is a
    /// control token, and therefore has no bytes, gets its text. White space between thinking and
    /// the constrained part is removed.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`].
    pub fn accept(&mut self, token: u32, piece: &mut Vec<u8>) -> Result<Progress, ConstraintError> {
        self.tokens += 1;
        let control = self.control.iter().find(|control| control.id == token);
        if let Some(control) = control {
            piece.clear();
            piece.extend_from_slice(control.text.as_bytes());
        }
        let is_control = control.is_some();
        let mut progress = Progress::default();
        let following = match &mut self.watch {
            Watch::Nothing => {
                if self.space > 0 && self.is_space(token, piece)? {
                    self.space -= piece.len();
                    piece.clear();
                    return Ok(progress);
                }
                self.space = 0;
                Some(vec![token])
            }
            Watch::Opening(finder) => {
                self.recent.push(token, piece, is_control);
                if !finder.push(piece, &mut Vec::new()) {
                    self.recent.keep(finder.pending().len());
                    return Ok(progress);
                }
                self.recent.keep(finder.pending().len());
                let recent = std::mem::take(&mut self.recent);
                recent.tokens(&self.vocabulary, finder.pending())
            }
            Watch::Thinking(preface) => {
                let Some(behind) = preface.push(piece, &mut Vec::new()) else {
                    return Ok(progress);
                };
                self.space = MAX_SPACE;
                let rest = behind.trim_ascii_start();
                let space = behind.len() - rest.len();
                let from = piece.len().saturating_sub(behind.len());
                piece.drain(from..(from + space).min(piece.len()));
                if rest.is_empty() {
                    Some(Vec::new())
                } else {
                    self.space = 0;
                    spelled(&self.vocabulary, rest)
                }
            }
        };
        progress.entered = !self.is_active();
        self.watch = Watch::Nothing;
        let Some(tokens) = following else {
            return Err(self.failed(&"the constrained part cannot begin like this"));
        };
        let consumed = self.matcher.consume_tokens(&tokens);
        consumed.map_err(|error| self.failed(&error))?;
        progress.complete = self.matcher.is_stopped();
        Ok(progress)
    }

    /// Whether a token is white space before the constrained part and does not belong to it.
    fn is_space(&mut self, token: u32, piece: &[u8]) -> Result<bool, ConstraintError> {
        let blank = !piece.is_empty() && piece.iter().all(u8::is_ascii_whitespace);
        if !blank || piece.len() > self.space {
            return Ok(false);
        }
        let valid = self.matcher.validate_tokens(&[token]);
        Ok(valid.map_err(|error| self.failed(&error))? == 0)
    }

    fn outlook(&mut self, token: u32) -> Result<Outlook, ConstraintError> {
        let control = self.control.iter().find(|control| control.id == token);
        let is_control = control.is_some();
        let piece = match control {
            Some(control) => control.text.as_bytes(),
            None => self.vocabulary.trie().token(token),
        };
        let tokens = match &self.watch {
            Watch::Nothing => return Ok(Outlook::Free),
            Watch::Opening(finder) => {
                let mut finder = finder.clone();
                if !finder.push(piece, &mut Vec::new()) {
                    return Ok(Outlook::Free);
                }
                let mut recent = self.recent.clone();
                recent.push(token, piece, is_control);
                recent.keep(finder.pending().len());
                recent.tokens(&self.vocabulary, finder.pending())
            }
            Watch::Thinking(_) if self.vocabulary.is_end(token) => return Ok(Outlook::Breaks),
            Watch::Thinking(preface) => {
                let mut preface = preface.clone();
                let Some(behind) = preface.push(piece, &mut Vec::new()) else {
                    return Ok(Outlook::Free);
                };
                let rest = behind.trim_ascii_start();
                if rest.is_empty() && behind.len() <= MAX_SPACE {
                    return Ok(Outlook::Enters);
                }
                spelled(&self.vocabulary, rest)
            }
        };
        let Some(tokens) = tokens else {
            return Ok(Outlook::Breaks);
        };
        let valid = self.matcher.validate_tokens(&tokens);
        let valid = valid.map_err(|error| self.failed(&error))?;
        if valid == tokens.len() {
            Ok(Outlook::Enters)
        } else {
            Ok(Outlook::Breaks)
        }
    }

    /// Every token except those that begin the constrained part and continue it invalidly, and
    /// those that end a reply too early. This is slow but rare: a model would have to write half a
    /// call in one token.
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

/// The last tokens of a reply with their bytes.
#[derive(Debug, Clone, Default)]
struct Recent(VecDeque<(Vec<u8>, Option<u32>)>);

impl Recent {
    /// Adds a token. For a control token, its id is kept as well.
    fn push(&mut self, token: u32, piece: &[u8], is_control: bool) {
        self.0
            .push_back((piece.to_vec(), is_control.then_some(token)));
    }

    /// Keeps the tokens that contain the last `length` bytes.
    fn keep(&mut self, length: usize) {
        let mut bytes: usize = self.0.iter().map(|(piece, _)| piece.len()).sum();
        while let Some((piece, _)) = self.0.front()
            && bytes - piece.len() >= length
        {
            bytes -= piece.len();
            self.0.pop_front();
        }
    }

    /// Tokens with these last bytes, for the matcher. It only considers bytes, so any such tokens
    /// suffice. `None` if no tokens have these bytes.
    fn tokens(&self, vocabulary: &Vocabulary, bytes: &[u8]) -> Option<Vec<u32>> {
        let all: usize = self.0.iter().map(|(piece, _)| piece.len()).sum();
        let mut outside = all.checked_sub(bytes.len())?;
        let mut tokens = Vec::new();
        let mut text = Vec::new();
        for (piece, control) in &self.0 {
            let from = outside.min(piece.len());
            outside -= from;
            match control {
                // A control token is always separate.
                Some(id) if from == 0 => {
                    tokens.extend(spelled(vocabulary, &text)?);
                    text.clear();
                    tokens.push(*id);
                }
                Some(_) => return None,
                None => text.extend_from_slice(&piece[from..]),
            }
        }
        tokens.extend(spelled(vocabulary, &text)?);
        Some(tokens)
    }
}

/// Tokens with these bytes.
fn spelled(vocabulary: &Vocabulary, bytes: &[u8]) -> Option<Vec<u32>> {
    let trie = vocabulary.trie();
    let tokens = trie.greedy_tokenize(bytes);
    (trie.decode_raw(&tokens) == bytes).then_some(tokens)
}
