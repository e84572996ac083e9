//! A backend layer that records the tokens of each sequence and injects faults.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use elpis::backend::{
    Backend, BackendError, BackendFactory, BackendLayer, Batch, SequenceId, Token, Tokenizer,
};

/// Number of finished sequences that are remembered.
const REMEMBERED: usize = 512;

/// Records the evaluated text of each sequence.
#[derive(Debug, Default)]
pub(super) struct TokenAuditor {
    seen: Mutex<Seen>,
    fault: AtomicU32,
}

#[derive(Debug, Default)]
struct Seen {
    running: HashMap<SequenceId, Vec<Token>>,
    over: VecDeque<String>,
    saved: VecDeque<(blake3::Hash, Vec<Token>)>,
}

/// The fault of the next evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) enum InjectedFault {
    Panic = 1,
    Error = 2,
}

impl TokenAuditor {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next evaluation fail.
    pub(super) fn break_next(&self, fault: InjectedFault) {
        self.fault.store(fault as u32, Ordering::SeqCst);
    }

    /// Whether a sequence held both the prompt's mark and the reply after it;
    /// `None` if no sequence with the mark is remembered.
    pub(super) fn saw(&self, mark: &str, reply: &str, tokenizer: &dyn Tokenizer) -> Option<bool> {
        let seen = self.lock();
        let running: Vec<_> = seen
            .running
            .values()
            .map(|tokens| text(tokens, tokenizer))
            .collect();
        let mut marked = running
            .iter()
            .chain(&seen.over)
            .filter_map(|text| Some(&text[text.find(mark)?..]))
            .peekable();
        marked.peek()?;
        Some(marked.any(|text| text.contains(reply)))
    }
}

fn text(tokens: &[Token], tokenizer: &dyn Tokenizer) -> String {
    let mut bytes = Vec::new();
    for &token in tokens {
        tokenizer.append_piece(token, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Wraps the backends of a factory in a token auditor.
pub(super) fn watched(
    factory: BackendFactory,
    token_auditor: &Arc<TokenAuditor>,
) -> BackendFactory {
    let token_auditor = Arc::clone(token_auditor);
    factory.map(move |inner| {
        token_auditor.lock().running.clear();
        Box::new(Watched {
            inner,
            token_auditor: Arc::clone(&token_auditor),
        })
    })
}

struct Watched {
    inner: Box<dyn Backend>,
    token_auditor: Arc<TokenAuditor>,
}

impl Watched {
    fn over(&self, tokens: &[Token]) {
        let text = text(tokens, self.inner.tokenizer().as_ref());
        let mut seen = self.token_auditor.lock();
        if seen.over.len() == REMEMBERED {
            seen.over.pop_front();
        }
        seen.over.push_back(text);
    }
}

impl BackendLayer for Watched {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.inner
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        match self.token_auditor.fault.swap(0, Ordering::SeqCst) {
            1 => panic!("a fault of the trial"),
            2 => {
                return Err(BackendError::Native {
                    call: FAULT,
                    reason: "a fault of the trial".to_owned(),
                });
            }
            _ => {}
        }
        self.inner.decode(batch)?;
        let mut seen = self.token_auditor.lock();
        for row in batch.rows() {
            let tokens = seen.running.entry(row.sequence).or_default();
            tokens.truncate(row.position as usize);
            tokens.push(row.token);
        }
        Ok(())
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        let whole = {
            let mut seen = self.token_auditor.lock();
            let tokens = seen.running.entry(sequence).or_default();
            let whole = tokens.clone();
            tokens.truncate(from as usize);
            whole
        };
        if whole.len() > from as usize {
            self.over(&whole);
        }
        self.inner.truncate(sequence, from)
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.inner.share_prefix(from, to, length)?;
        let mut seen = self.token_auditor.lock();
        let mut tokens = seen.running.get(&from).cloned().unwrap_or_default();
        tokens.truncate(length as usize);
        seen.running.insert(to, tokens);
        Ok(())
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        let bytes = self.inner.save_sequence(sequence, memory)?;
        let mut seen = self.token_auditor.lock();
        let tokens = seen.running.get(&sequence).cloned().unwrap_or_default();
        if seen.saved.len() == REMEMBERED {
            seen.saved.pop_front();
        }
        seen.saved.push_back((blake3::hash(&bytes), tokens));
        Ok(bytes)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        {
            let hash = blake3::hash(bytes);
            let mut seen = self.token_auditor.lock();
            let saved = seen.saved.iter().rev().find(|(saved, _)| *saved == hash);
            let tokens = saved.map(|(_, tokens)| tokens.clone()).unwrap_or_default();
            seen.running.insert(sequence, tokens);
        }
        self.inner.restore_sequence(sequence, length, bytes)
    }
}

/// The call that an injected error names.
pub(super) const FAULT: &str = "soak";
