//! The tokens of a model for masks, and the cache of compiled grammars.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::format::Source;
use super::{ConstraintError, Grammar};

/// Number of compiled grammars that are kept. The least recently used is dropped first.
const KEPT: usize = 16;

/// Slices of a vocabulary that are allowed as a whole if a lexeme accepts all such text, without
/// checking each token. The first four, those of the crate, are for JSON strings; the others,
/// subsets of these, for expressions that match words.
const SLICES: [&str; 10] = [
    r"[\x20\x0A\x0D\x09]+",
    r#"[^"\\\x00-\x1F\x7F]{1,10}"#,
    r#"[^"\\\x00-\x1F\x7F]{1,30}"#,
    r#"[^"\\\x00-\x1F\x7F]+"#,
    r"[a-zA-Z]{1,10}",
    r"[a-z]{1,10}",
    r" [a-zA-Z]{1,9}",
    r" [a-z]{1,9}",
    r"[a-zA-Z]{11,30}",
    r" [a-zA-Z]{10,29}",
];

/// Stack size of the compiling thread, because grammars are parsed by recursive code.
const COMPILER_STACK: usize = 32 << 20;

/// Time limit for the compilation of a grammar.
const COMPILE_LIMIT: Duration = Duration::from_secs(10);

/// Maximum number of abandoned compilations that still run. Beyond that, nothing is compiled until
/// one ends.
const LEFT_BEHIND: usize = 4;

/// Maximum length of a reason in an error, in characters.
const REASON: usize = 400;

/// The vocabulary of a loaded model, created once and shared.
///
/// Memory: about 30 bytes for each token besides its text.
pub struct Vocabulary {
    factory: ParserFactory,
    trie: TokEnv,
    /// The tokens that end a reply, in order.
    ends: Vec<u32>,
    /// The tokens that are white space, with their lengths.
    spaces: Vec<(u32, usize)>,
    compiled: Mutex<VecDeque<(blake3::Hash, Matcher)>>,
    /// Held by the abandoned compilations.
    left_behind: Mutex<Vec<Weak<()>>>,
}

impl Vocabulary {
    /// Creates a vocabulary of `size` tokens. `piece` appends the bytes of a token, none for a
    /// control token. `is_end` returns whether a token ends a reply.
    ///
    /// # Errors
    /// [`ConstraintError::Vocabulary`] if it is empty or no token ends a reply.
    pub fn new(
        size: usize,
        mut piece: impl FnMut(u32, &mut Vec<u8>),
        is_end: impl FnMut(u32) -> bool,
    ) -> Result<Self, ConstraintError> {
        let refused = |reason: String| ConstraintError::Vocabulary { reason };
        let count = u32::try_from(size).map_err(|error| refused(error.to_string()))?;
        let ends: Vec<u32> = (0..count)
            .filter({
                let mut is_end = is_end;
                move |&token| is_end(token)
            })
            .collect();
        let Some(&first_end) = ends.first() else {
            return Err(refused("no token ends a reply".to_owned()));
        };
        let words: Vec<Vec<u8>> = (0..count)
            .map(|token| {
                let mut bytes = Vec::new();
                piece(token, &mut bytes);
                // 0xFF does not occur in text, and marks control tokens in the trie.
                let text = !bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER);
                let usable = text && bytes.len() < 256 && !ends.contains(&token);
                if usable { bytes } else { Vec::new() }
            })
            .collect();
        let spaces = (0..count)
            .zip(&words)
            .filter(|(_, bytes)| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace));
        let spaces = spaces.map(|(token, bytes)| (token, bytes.len())).collect();
        let trie = TokTrie::from(&TokRxInfo::new(count, first_end), &words).with_eos_tokens(&ends);
        let trie: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SLICES.map(str::to_owned);
        let mut factory = ParserFactory::new(&trie, InferenceCapabilities::default(), &slices)
            .map_err(|error| refused(reason(&error)))?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            // A lexer state takes 1 to 2 kB.
            max_lexer_states: 50_000,
            max_grammar_size: 250_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Self {
            factory,
            trie,
            ends,
            spaces,
            compiled: Mutex::default(),
            left_behind: Mutex::default(),
        })
    }

    /// The matcher of a grammar at the beginning of a reply.
    pub(super) fn compiled(
        self: &Arc<Self>,
        grammar: &Grammar,
    ) -> Result<Matcher, ConstraintError> {
        let key = key(grammar);
        if let Some(matcher) = self.kept(&key) {
            return Ok(matcher);
        }
        let matcher = self.matcher(grammar)?;
        let fresh = matcher.deep_clone();
        let mut compiled = lock(&self.compiled);
        compiled.truncate(KEPT - 1);
        compiled.push_front((key, fresh));
        Ok(matcher)
    }

    pub(super) fn trie(&self) -> &TokTrie {
        self.trie.tok_trie()
    }

    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.binary_search(&token).is_ok()
    }

    /// The tokens that are white space, with their lengths in bytes.
    pub(super) fn spaces(&self) -> &[(u32, usize)] {
        &self.spaces
    }

    /// Returns a separate copy, because a shared one would share its lexer states and their bound.
    fn kept(&self, key: &blake3::Hash) -> Option<Matcher> {
        let mut compiled = lock(&self.compiled);
        let at = compiled.iter().position(|(known, _)| known == key)?;
        let entry = compiled.remove(at)?;
        let copy = entry.1.deep_clone();
        compiled.push_front(entry);
        Some(copy)
    }

    fn matcher(self: &Arc<Self>, grammar: &Grammar) -> Result<Matcher, ConstraintError> {
        let refused = |reason: String| ConstraintError::refused(grammar.field, reason);
        if self.left_behind().len() >= LEFT_BEHIND {
            let reason = "grammars that took too long are still being compiled, try again later";
            return Err(refused(reason.to_owned()));
        }
        let (vocabulary, source) = (Arc::clone(self), grammar.source.clone());
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let running = Arc::new(());
        let trace = Arc::downgrade(&running);
        let compile = move || {
            // If nobody waits any more, the compilation took too long.
            let _ = sender.send(vocabulary.compile_source(source));
            drop(running);
        };
        // Not a scoped thread, because a compilation that takes forever is abandoned.
        std::thread::Builder::new()
            .name("elpis-grammar".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn(compile)
            .map_err(|error| refused(error.to_string()))?;
        match receiver.recv_timeout(COMPILE_LIMIT) {
            Ok(compiled) => compiled.map_err(refused),
            Err(RecvTimeoutError::Timeout) => {
                self.left_behind().push(trace);
                let limit = COMPILE_LIMIT.as_secs();
                Err(refused(format!("it takes more than {limit} s to compile")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(refused("the compiler failed".to_owned())),
        }
    }

    /// The abandoned compilations that still run.
    fn left_behind(&self) -> MutexGuard<'_, Vec<Weak<()>>> {
        let mut left_behind = lock(&self.left_behind);
        left_behind.retain(|trace| trace.strong_count() > 0);
        left_behind
    }

    fn compile_source(&self, source: Source) -> Result<Matcher, String> {
        let grammar = match source {
            Source::Regex(regex) => GrammarWithLexer::from_regex(&regex),
            Source::Lark(lark) => GrammarWithLexer::from_lark(lark),
        };
        let top = TopLevelGrammar::from_grammar(grammar);
        let mut matcher = Matcher::new(self.factory.create_parser(top));
        match matcher.compute_mask() {
            Ok(mask) if !mask.is_zero() => Ok(matcher),
            Err(error) if !error.to_string().starts_with("NoExtension") => Err(reason(&error)),
            Ok(_) | Err(_) => Err("nothing fulfils it".to_owned()),
        }
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("tokens", &self.trie().vocab_size())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(grammar: &Grammar) -> blake3::Hash {
    blake3::hash(format!("{:?}", grammar.source).as_bytes())
}

/// The first line of an error, shortened.
pub(super) fn reason(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("no reason given")
        .chars()
        .take(REASON)
        .collect()
}
