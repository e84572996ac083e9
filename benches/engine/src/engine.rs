//! Runs elpis and generates with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use elpis::backend::ModelFacts;
use elpis::settings::{BackendKind, HardwareBackend, ModelSettings, RuntimeSettings, TorchDtype};
use elpis::{Chat, Coefficients, Elpis, GenerationReport, Session, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::apart::Apart;
use crate::arrivals::{self, Arrivals, read};
use crate::bare::{BareOptions, TEMPERATURE, TOP_K, TOP_P};
use crate::measure::Run;
use crate::model::{Encoding, Format, Noise};
use crate::vectors;

/// A runtime with the model of a run.
pub struct Engine {
    pub elpis: Elpis,
    runtime: Runtime,
    vectors: TempDir,
    facts: Arc<ModelFacts>,
    threads: usize,
    offload: bool,
}

/// A generation to run.
pub struct Ask {
    pub session: Session,
    pub prompt: String,
    pub tokens: usize,
    pub seed: u64,
    pub coefficients: Coefficients,
    /// Whether to choose the likeliest token instead of drawing one.
    pub greedy: bool,
}

impl Ask {
    /// A generation with the sampling parameters that both sides use.
    pub fn chat(self) -> Chat {
        let chat = sampled(self.session.chat(self.prompt), self.tokens, self.seed)
            .coefficients(self.coefficients);
        if self.greedy {
            chat.temperature(0.0)
        } else {
            chat
        }
    }
}

/// Fixes the parameters that would otherwise follow the mood.
pub fn sampled(chat: Chat, tokens: usize, seed: u64) -> Chat {
    chat.max_tokens(tokens as u32)
        .temperature(TEMPERATURE)
        .top_p(TOP_P)
        .top_k(TOP_K)
        .seed(seed)
}

/// A finished generation.
pub struct Trace {
    /// The time at which each token's text reached its reader.
    pub arrivals: Vec<Instant>,
    /// The text of each token.
    pub texts: Vec<String>,
    pub report: Arc<GenerationReport>,
}

/// Total rate of concurrent generations, in tokens per second.
pub fn rate(traces: &[Trace]) -> Result<f64> {
    let streams: Vec<_> = traces.iter().map(|trace| &*trace.arrivals).collect();
    arrivals::rate(&streams)
}

impl Engine {
    /// Starts a runtime with room for `parallel` sessions of `context` tokens.
    pub fn start(run: &Run, context: u32, parallel: usize) -> Result<Self> {
        Self::start_with(run, context, parallel, |settings| settings)
    }

    /// Like [`start`](Self::start), with further settings.
    pub fn start_with(
        run: &Run,
        context: u32,
        parallel: usize,
        more: impl FnOnce(RuntimeSettings) -> RuntimeSettings,
    ) -> Result<Self> {
        let vectors = tempfile::tempdir()?;
        let model = ModelSettings::default()
            .path(run.path.display().to_string())
            .hardware_backend(run.hardware)
            .context_length(context)
            .n_threads(run.threads)
            // Random weights loop, and must be steered nevertheless.
            .repetition_guard(false)
            .emotion_vectors_dir(vectors.path());
        let model = match run.spec.format {
            Format::Gguf => model,
            Format::Folder => {
                model
                    .backend(BackendKind::Transformers)
                    .torch_dtype(match run.spec.encoding {
                        Encoding::Bf16 => TorchDtype::Bfloat16,
                        _ => TorchDtype::Float32,
                    })
            }
        };
        let settings = more(RuntimeSettings::default().n_parallel(parallel));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let settings = Settings::default().model(model).runtime(settings);
        let elpis = runtime.block_on(Elpis::start(settings))?;
        let facts = elpis.model().context("no model is loaded")?;
        Ok(Self {
            elpis,
            runtime,
            vectors,
            facts,
            threads: run.threads,
            offload: run.hardware != HardwareBackend::Cpu,
        })
    }

    /// Writes the steering vectors and waits until they are in force.
    pub fn load_vectors(&self) -> Result<()> {
        vectors::fill(self.vectors(), &self.facts)?;
        self.reload_vectors()
    }

    /// Reloads the folder and waits until it is in force.
    pub fn reload_vectors(&self) -> Result<()> {
        let library = self.block_on(self.elpis.reload_vectors())?;
        ensure!(library.emotions().len() == vectors::COUNT);
        Ok(())
    }

    /// Loads the same model in bare llama.cpp, with a context of the same size.
    pub fn bare(&self, run: &Run) -> Result<Apart> {
        Apart::load(run, self.bare_options())
    }

    /// The options for a context of the same size.
    pub fn bare_options(&self) -> BareOptions {
        BareOptions {
            context: self.facts.context_length,
            sequences: self.facts.n_sequences,
            batch: self.facts.batch_size as u32,
            threads: self.threads,
            offload: self.offload,
        }
    }

    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// The folder of the steering vectors.
    pub fn vectors(&self) -> &Path {
        self.vectors.path()
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// One generation for each of `sessions` new sessions, with the prompts of [`prompts`].
    pub fn asks(
        &self,
        sessions: usize,
        tokens: usize,
        seed: u64,
        coefficients: impl Fn(usize) -> Result<Coefficients>,
    ) -> Result<Vec<Ask>> {
        prompts(sessions, seed)
            .into_iter()
            .enumerate()
            .map(|(session, prompt)| {
                let seed = seed << 8 | session as u64;
                Ok(Ask {
                    // An earlier session of this name would have evaluated its template already.
                    session: self.elpis.session(format!("session {seed}"))?,
                    prompt,
                    tokens,
                    seed,
                    coefficients: coefficients(session)?,
                    greedy: false,
                })
            })
            .collect()
    }

    /// Runs generations concurrently.
    pub fn generate(&self, asks: Vec<Ask>) -> Result<Vec<Trace>> {
        let tokens: Vec<usize> = asks.iter().map(|ask| ask.tokens).collect();
        // All readers run on this thread. It wakes up for each token or batch, and no other thread of
        // the runtime has to wake up to look for work.
        let local = LocalSet::new();
        let traces = self.block_on(local.run_until(async {
            let mut readers = Vec::new();
            for ask in asks {
                let (chat, arrivals) = (ask.chat(), Arrivals::default());
                let taken = arrivals.clone();
                // Prompts are prepared concurrently too, because on a tiny model the first reply would
                // otherwise end before the last one begins.
                let reading = async move { read(chat.stream().await?, taken).await };
                let reader = tokio::task::spawn_local(reading);
                readers.push((reader, arrivals));
            }
            let mut traces = Vec::new();
            for (reader, arrivals) in readers {
                let report = reader.await??;
                traces.push(Trace {
                    arrivals: arrivals.take(),
                    texts: arrivals.take_texts(),
                    report,
                });
            }
            anyhow::Ok(traces)
        }))?;
        for (trace, tokens) in traces.iter().zip(tokens) {
            let arrived = trace.arrivals.len();
            ensure!(
                arrived == tokens && trace.report.completion_tokens as usize == tokens,
                "{tokens} tokens were requested, {} generated, {arrived} texts arrived",
                trace.report.completion_tokens
            );
            ensure!(
                trace.report.cached_prompt_tokens <= 1,
                "{} tokens of a prompt were already cached",
                trace.report.cached_prompt_tokens
            );
        }
        Ok(traces)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.runtime.block_on(self.elpis.shutdown());
    }
}

/// Number of words of a usual prompt.
const WORDS: usize = 24;

/// The prompts of `count` sessions.
pub fn prompts(sessions: usize, seed: u64) -> Vec<String> {
    (0..sessions as u64)
        .map(|session| words(WORDS, seed << 8 | session))
        .collect()
}

/// A text of `count` words of two letters, each of which is one token.
pub fn words(count: usize, seed: u64) -> String {
    let noise = Noise::new(!seed);
    let letter = |bits: u64| char::from(b'a' + (bits % 26) as u8);
    (0..count as u64)
        .map(|index| {
            let bits = noise.bits(index);
            format!("{}{}", letter(bits), letter(bits >> 32))
        })
        .collect::<Vec<_>>()
        .join(" ")
}
