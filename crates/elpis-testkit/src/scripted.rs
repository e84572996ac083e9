//! A small deterministic backend. Its next token only depends on the tokens and the steering of the
//! sequence.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use elpis_steering::{Projection, ReadingAxes};

use elpis_backend::{
    Backend, BackendError, BackendKind, Batch, ModelFacts, SequenceId, Token, Tokenizer,
};

/// Ends a generation.
pub const END: Token = 0;

/// The input of one decode: for each row, sequence, position and steering norm.
pub type SeenBatch = Vec<(SequenceId, u32, Option<f32>)>;

/// Lets a test inspect a backend that a scheduler owns.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    /// The input of every decode.
    pub batches: Arc<Mutex<Vec<SeenBatch>>>,
    /// Errors to return from the next decodes.
    pub failures: Arc<Mutex<Vec<BackendError>>>,
    /// Number of tokens in all sequences together.
    pub cached: Arc<AtomicUsize>,
    /// Number of sequences that were saved into buffers of earlier ones.
    pub used_again: Arc<AtomicUsize>,
}

/// Bytes as tokens: token `n` is the byte `n`, and so is token `n + 128`.
#[derive(Debug)]
pub struct Letters;

impl Tokenizer for Letters {
    fn encode(&self, text: &str, _: bool) -> Result<Vec<Token>, BackendError> {
        Ok(text.bytes().map(Token::from).collect())
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        out.push((token % 128) as u8);
    }

    fn is_end(&self, token: Token) -> bool {
        token == END
    }
}

/// A function from the prompt, up to the reply's beginning, to the reply.
pub type Script = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Precedes a reply in the prompts of a backend with a script.
pub const REPLY: &str = "<|im_start|>assistant\n";

/// The backend.
pub struct Scripted {
    facts: Arc<ModelFacts>,
    sequences: Vec<Vec<(Token, u32)>>,
    logits: Vec<Option<Vec<f32>>>,
    axes: Option<Arc<ReadingAxes>>,
    /// For each row of the last batch that has logits, its token.
    read: Vec<Option<Token>>,
    /// The probe that records the backend's calls.
    pub probe: Probe,
    /// Total length at which a sequence ends by itself.
    ends_at: usize,
    script: Option<Script>,
}

impl Scripted {
    /// Creates a backend whose sequences end by themselves at a length of `ends_at` tokens.
    pub fn new(n_sequences: u32, batch_size: usize, context: u32, ends_at: usize) -> Self {
        let mut facts = ModelFacts::new("scripted", BackendKind::LlamaCpp);
        facts.architecture = "scripted".into();
        facts.description = "scripted".into();
        facts.n_layers = 4;
        facts.n_embd = 4;
        facts.n_vocab = 256;
        facts.context_trained = context;
        facts.context_length = context;
        facts.n_sequences = n_sequences;
        facts.cache_cells = context * n_sequences;
        facts.batch_size = batch_size;
        facts.residual_norms = vec![1.0; 4];
        Self {
            facts: Arc::new(facts),
            sequences: vec![Vec::new(); n_sequences as usize + 1],
            logits: Vec::new(),
            axes: None,
            read: Vec::new(),
            probe: Probe::default(),
            ends_at,
            script: None,
        }
    }

    /// Makes it reply with the script's text, byte by byte.
    #[must_use]
    pub fn saying(mut self, script: Script) -> Self {
        self.script = Some(script);
        self
    }

    /// Makes it only continue from the end of a sequence, like recurrent models.
    #[must_use]
    pub fn recurrent(mut self) -> Self {
        Arc::make_mut(&mut self.facts).supports_truncation = false;
        self
    }

    fn next_logits(&self, sequence: SequenceId) -> Vec<f32> {
        let tokens = &self.sequences[sequence as usize];
        if let Some(script) = &self.script {
            let letter = |(token, _): &(Token, u32)| char::from((token % 128) as u8);
            let text: String = tokens.iter().map(letter).collect();
            let from = text.rfind(REPLY).map_or(text.len(), |at| at + REPLY.len());
            let (prompt, said) = text.split_at(from);
            let next = script(prompt).as_bytes().get(said.len()).copied();
            let mut logits = vec![0.0; self.facts.n_vocab];
            logits[next.map_or(END as usize, usize::from)] = 40.0;
            return logits;
        }
        let mut hasher = DefaultHasher::new();
        tokens.hash(&mut hasher);
        let hash = hasher.finish();
        let mut logits = vec![f32::NEG_INFINITY; self.facts.n_vocab];
        if tokens.len() >= self.ends_at {
            logits[END as usize] = 1.0;
        } else {
            for choice in 0..4 {
                let letter = b'a' + (hash >> (8 * choice)) as u8 % 26;
                logits[letter as usize] = 4.0 - choice as f32;
            }
        }
        logits
    }

    fn count(&self) {
        let cached = self.sequences.iter().map(Vec::len).sum();
        self.probe.cached.store(cached, Ordering::SeqCst);
    }
}

impl Backend for Scripted {
    fn facts(&self) -> &Arc<ModelFacts> {
        &self.facts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::new(Letters)
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        assert!(!batch.is_empty() && batch.len() <= self.facts.batch_size);
        if let Some(error) = self.probe.failures.lock().unwrap().pop() {
            return Err(error);
        }
        self.logits.clear();
        self.read.clear();
        let mut seen = Vec::new();
        for (index, row) in batch.rows().iter().enumerate() {
            let norm = batch.plan_of(index).map(|plan| plan.layers[0].norm);
            let sequence = &mut self.sequences[row.sequence as usize];
            assert_eq!(
                row.position as usize,
                sequence.len(),
                "positions follow each other"
            );
            sequence.push((row.token, norm.unwrap_or_default().to_bits()));
            assert!(sequence.len() <= self.facts.context_length as usize);
            seen.push((row.sequence, row.position, norm));
            let logits = row.logits.then(|| self.next_logits(row.sequence));
            self.logits.push(logits);
            self.read.push(row.logits.then_some(row.token));
        }
        self.probe.batches.lock().unwrap().push(seen);
        self.count();
        Ok(())
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        match self.logits.get(row) {
            Some(Some(logits)) => Ok(logits),
            _ => Err(BackendError::NoLogits { row }),
        }
    }

    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        self.axes = axes;
        Ok(())
    }

    /// The residual stream of a token is its letter, then zeros.
    fn projection(&self, row: usize) -> Option<Projection> {
        let token = self.read.get(row).copied().flatten()?;
        let axes = self.axes.as_ref()?;
        Some(axes.project(&[(token % 128) as f32, 0.0, 0.0, 0.0]))
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.sequences[sequence as usize].truncate(from as usize);
        self.count();
        Ok(())
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        assert!(
            self.facts.supports_truncation,
            "cannot be shared in the middle"
        );
        assert!(self.sequences[to as usize].is_empty());
        let prefix = self.sequences[from as usize][..length as usize].to_vec();
        self.sequences[to as usize] = prefix;
        Ok(())
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        mut memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.probe
            .used_again
            .fetch_add(usize::from(memory.capacity() > 0), Ordering::SeqCst);
        memory.clear();
        for (token, norm) in &self.sequences[sequence as usize] {
            memory.extend(token.to_le_bytes());
            memory.extend(norm.to_le_bytes());
        }
        memory.shrink_to_fit();
        Ok(memory)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let rows = bytes
            .chunks(8)
            .map(|row| (word(&row[..4]), word(&row[4..])));
        self.sequences[sequence as usize] = rows.collect();
        assert_eq!(self.sequences[sequence as usize].len(), length as usize);
        Ok(())
    }

    fn residual_stream(
        &mut self,
        _: &[Token],
        _: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        Err(BackendError::Aborted)
    }
}
