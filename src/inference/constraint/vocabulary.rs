//! The tokens of a model as masks need them, and compiled grammars.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::format::Source;
use super::guide::Guide;
use super::{ConstraintError, Extent, Grammar};

/// Grammars that are kept compiled, the least recently used goes first.
const KEPT: usize = 16;

/// Stack of the thread that compiles: grammars are read by recursive code.
const COMPILER_STACK: usize = 32 << 20;

/// Longest time that the compilation of a grammar is waited for.
const COMPILE_LIMIT: Duration = Duration::from_secs(10);

/// Most compilations at once; those that were given up count until they end.
const COMPILERS: usize = 4;

/// Longest reason in an error, in characters.
const REASON: usize = 400;

/// The vocabulary of a loaded model, made once and shared.
///
/// Memory: about 30 bytes for each token besides its text.
pub struct Vocabulary {
    factory: ParserFactory,
    trie: TokEnv,
    compiled: Mutex<VecDeque<(blake3::Hash, Matcher)>>,
    compilers: AtomicUsize,
}

impl Vocabulary {
    /// Takes the `size` tokens of a vocabulary: `piece` appends the bytes of a token, none for a
    /// control token; `is_end` tells whether a token ends a reply.
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
                // 0xFF is in no text, and marks control tokens there.
                let text = !bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER);
                let usable = text && bytes.len() < 256 && !ends.contains(&token);
                if usable { bytes } else { Vec::new() }
            })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(count, first_end), &words).with_eos_tokens(&ends);
        let trie: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory =
            ParserFactory::new_simple(&trie).map_err(|error| refused(reason(&error)))?;
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
            compiled: Mutex::default(),
            compilers: AtomicUsize::new(0),
        })
    }

    /// Compiles a grammar, or takes it from those that were compiled before, and makes a guide
    /// for one reply. Takes milliseconds, for large grammars up to a second, and is given up after
    /// ten.
    ///
    /// # Errors
    /// [`ConstraintError::Refused`] for a grammar that is wrong, that cannot be enforced, that
    /// nothing fulfils, or that takes too much work.
    pub fn compile(
        self: &Arc<Self>,
        grammar: &Grammar,
        extent: Extent,
    ) -> Result<Guide, ConstraintError> {
        let key = key(grammar);
        let matcher = match self.kept(&key) {
            Some(matcher) => matcher,
            None => {
                let matcher = self.matcher(grammar)?;
                let fresh = matcher.deep_clone();
                let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                compiled.truncate(KEPT - 1);
                compiled.push_front((key, fresh));
                matcher
            }
        };
        Ok(Guide::new(Arc::clone(self), matcher, extent))
    }

    pub(super) fn trie(&self) -> &TokTrie {
        self.trie.tok_trie()
    }

    /// A copy of its own: a shared one would share what it learns, and with it its bound.
    fn kept(&self, key: &blake3::Hash) -> Option<Matcher> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let at = compiled.iter().position(|(known, _)| known == key)?;
        let entry = compiled.remove(at)?;
        let copy = entry.1.deep_clone();
        compiled.push_front(entry);
        Some(copy)
    }

    fn matcher(self: &Arc<Self>, grammar: &Grammar) -> Result<Matcher, ConstraintError> {
        let refused = |reason: String| ConstraintError::Refused {
            field: grammar.field,
            reason,
        };
        let place = Compiler::of(self).ok_or_else(|| {
            refused("too many other grammars are being compiled, try again later".to_owned())
        })?;
        let source = grammar.source.clone();
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let compile = move || {
            // Nobody waits any more: then it took too long.
            let _ = sender.send(place.vocabulary.compile_source(source));
        };
        // Not a scoped thread: one that takes for ever is left behind.
        std::thread::Builder::new()
            .name("elpis-grammar".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn(compile)
            .map_err(|error| refused(error.to_string()))?;
        match receiver.recv_timeout(COMPILE_LIMIT) {
            Ok(compiled) => compiled.map_err(refused),
            Err(RecvTimeoutError::Timeout) => Err(refused(format!(
                "it takes more than {} s to compile",
                COMPILE_LIMIT.as_secs()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(refused("the compiler failed".to_owned())),
        }
    }

    fn compile_source(&self, source: Source) -> Result<Matcher, String> {
        let grammar = match source {
            Source::Schema(schema) => GrammarWithLexer::from_json_schema(schema),
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

/// A place among the [`COMPILERS`], free again when dropped.
struct Compiler {
    vocabulary: Arc<Vocabulary>,
}

impl Compiler {
    fn of(vocabulary: &Arc<Vocabulary>) -> Option<Self> {
        let vocabulary = Arc::clone(vocabulary);
        let busy = vocabulary.compilers.fetch_add(1, Ordering::SeqCst);
        // Dropped on refusal, which takes the place back.
        let place = Self { vocabulary };
        (busy < COMPILERS).then_some(place)
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.vocabulary.compilers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("tokens", &self.trie().vocab_size())
            .finish_non_exhaustive()
    }
}

fn key(grammar: &Grammar) -> blake3::Hash {
    blake3::hash(format!("{:?}", grammar.source).as_bytes())
}

/// The first line of an error, cut.
pub(super) fn reason(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("no reason given")
        .chars()
        .take(REASON)
        .collect()
}
