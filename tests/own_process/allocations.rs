//! The engine thread takes no memory for a token: scheduling, steering,
//! sampling, text, stream and metrics work in what a generation was given at
//! its start.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::in_own_process;
use elpis::backend::{
    Backend, BackendError, BackendFactory, BackendLayer, Batch, Token, Tokenizer, create_backend,
};
use elpis::inference::TextStream;
use elpis::settings::{ModelSettings, RuntimeSettings};
use elpis::{Elpis, GenerationEvent, ModulationTiming, Settings};
use elpis_testkit::allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const STREAMS: u32 = 8;
const TOKENS: u32 = 200;

/// Per step of decoding rows alone: rows, steered rows, and allocations on the
/// engine thread since the step before.
type Steps = Arc<Mutex<Vec<(usize, usize, usize)>>>;

/// Counts what another backend and everything between two of its evaluations
/// take.
struct Counted {
    inner: Box<dyn Backend>,
    steps: Steps,
    before: Option<usize>,
    /// Texts that the readers have taken.
    read: Arc<AtomicUsize>,
    /// What the readers get: a token may be a part of a character, or no text.
    texts: Vec<Option<TextStream>>,
    sent: usize,
    piece: Vec<u8>,
    /// Which rows of the last batch sample the first token of a reply.
    first: Vec<bool>,
    /// Logits that choose the longest token.
    longest: Vec<f32>,
}

impl Counted {
    fn new(inner: Box<dyn Backend>, steps: Steps, read: Arc<AtomicUsize>) -> Self {
        let (tokenizer, n_vocab) = (inner.tokenizer(), inner.facts().n_vocab);
        let length = |&token: &usize| {
            let mut piece = Vec::new();
            tokenizer.append_piece(token as Token, &mut piece);
            piece.len()
        };
        let mut longest = vec![-1e9; n_vocab];
        longest[(0..n_vocab).max_by_key(length).unwrap()] = 0.0;
        Self {
            longest,
            first: Vec::new(),
            inner,
            steps,
            before: None,
            read,
            texts: Vec::new(),
            sent: 0,
            piece: Vec::new(),
        }
    }

    /// Counts the texts of the tokens that were sampled before this batch: the
    /// rows that follow the first with logits of each sequence.
    fn count_texts(&mut self, batch: &Batch) {
        let tokenizer = self.inner.tokenizer();
        self.first.clear();
        for row in batch.rows() {
            self.first.push(false);
            if !row.logits {
                continue;
            }
            let sequence = row.sequence as usize;
            if self.texts.len() <= sequence {
                self.texts.resize_with(sequence + 1, || None);
            }
            match &mut self.texts[sequence] {
                Some(text) => {
                    self.piece.clear();
                    tokenizer.append_piece(row.token, &mut self.piece);
                    self.sent += usize::from(!text.push(&self.piece).text.is_empty());
                }
                none => {
                    *none = Some(TextStream::new(&[]).unwrap());
                    self.first.pop();
                    self.first.push(true);
                }
            }
        }
    }
}

/// A tokenizer none of whose tokens is the last.
#[derive(Debug)]
struct Endless(Arc<dyn Tokenizer>);

impl Tokenizer for Endless {
    fn encode(&self, text: &str, special: bool) -> Result<Vec<Token>, BackendError> {
        self.0.encode(text, special)
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        self.0.append_piece(token, out);
    }

    fn is_end(&self, _: Token) -> bool {
        false
    }
}

/// Metrics that are kept, each in memory of its own from the start.
#[derive(Debug, Default)]
struct Recorder {
    recorded: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl metrics::HistogramFn for Counting {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_histogram(
        &self,
        key: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        let seen = if key.name() == "elpis_inter_token_latency_seconds" {
            Arc::clone(&self.recorded)
        } else {
            Arc::default()
        };
        metrics::Histogram::from_arc(Arc::new(Counting(seen)))
    }
}

impl BackendLayer for Counted {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.inner
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::new(Endless(self.inner.tokenizer()))
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        let between = self.before.map(|before| allocator::count() - before);
        // The channel of a reader that lags takes memory.
        self.count_texts(batch);
        let patience = Instant::now();
        while self.read.load(Ordering::SeqCst) < self.sent {
            assert!(patience.elapsed() < Duration::from_mins(1));
            std::thread::sleep(Duration::from_micros(50));
        }
        let start = allocator::count();
        let result = self.inner.decode(batch);
        let evaluation = allocator::count() - start;
        if let Some(between) = between
            && batch.rows().iter().all(|row| row.logits)
        {
            let steered = (0..batch.len()).filter(|&row| batch.plan_of(row).is_some());
            let step = (batch.len(), steered.count(), between + evaluation);
            self.steps.lock().unwrap().push(step);
        }
        self.before = Some(allocator::count());
        result
    }

    // What grows to the longest piece of text has grown with the first token.
    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        if self.first[row] {
            return Ok(&self.longest);
        }
        self.inner.logits(row)
    }
}

// Runs eight steered streams to their end and looks at the steps in which all
// of them decode, evaluation by llama.cpp included.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_takes_no_memory_on_the_engine_thread() {
    in_own_process!(a_token_takes_no_memory_on_the_engine_thread);
    let recorder = Recorder::default();
    let recorded = Arc::clone(&recorder.recorded);
    metrics::set_global_recorder(recorder).unwrap();
    let steps = Steps::default();
    steps.lock().unwrap().reserve(10 * TOKENS as usize);
    let seen = Arc::clone(&steps);
    let read = Arc::<AtomicUsize>::default();
    let taken = Arc::clone(&read);
    let factory = BackendFactory::new(move |options| {
        let inner = create_backend(options)?;
        let counted = Counted::new(inner, Arc::clone(&seen), Arc::clone(&taken));
        Ok(Box::new(counted))
    });
    let runtime = RuntimeSettings::default()
        .n_parallel(STREAMS as usize)
        .stream_buffer(TOKENS as usize * 2)
        .modulation_timing(ModulationTiming::Live);
    let model = ModelSettings::default()
        .context_length(512_u32)
        .emotion_vectors_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/crates/elpis-backend/models/elpis-tiny/vectors"
        ))
        .repetition_penalty(1.1)
        .presence_penalty(0.1)
        .frequency_penalty(0.1);
    let settings = Settings::default().runtime(runtime).model(model);
    let elpis = Elpis::builder(settings)
        .backend(factory)
        .start()
        .await
        .unwrap();
    let mut streams = Vec::new();
    for index in 0..STREAMS {
        let session = elpis.session(index.to_string()).unwrap();
        session.feel("blocked").await.unwrap();
        let chat = session.chat("hello").max_tokens(TOKENS).seed(index.into());
        let mut stream = chat.stream().await.unwrap();
        let read = Arc::clone(&read);
        streams.push(tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                if let GenerationEvent::Text(_) = event.unwrap() {
                    read.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
    }
    for stream in streams {
        stream.await.unwrap();
    }
    elpis.shutdown().await;
    let steps = steps.lock().unwrap();
    let full: Vec<_> = steps
        .iter()
        .filter(|(rows, ..)| *rows == STREAMS as usize)
        .collect();
    assert!(full.len() > TOKENS as usize / 2, "{} steps", full.len());
    assert!(full.iter().all(|(rows, steered, _)| rows == steered));
    // What grows once grows in the first steps: a channel takes its second
    // block with its 33rd message and uses both in turn from then on.
    let taken: Vec<_> = full[80..].iter().map(|(.., taken)| *taken).collect();
    assert_eq!(taken.iter().sum::<usize>(), 0, "{taken:?}");
    assert!(recorded.load(Ordering::Relaxed) >= full.len() * STREAMS as usize);
}
