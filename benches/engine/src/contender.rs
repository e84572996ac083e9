//! Serves elpis or bare llama.cpp from a separate process, so that memory and processor time can be
//! measured separately. Like the Python scripts, it answers each line of input with one line.
//!
//! `{"do": "load", "clients": 16}` returns the number of threads and the rows of a batch. For bare
//! llama.cpp, `context`, `batch` and `offload` may be added.
//! `{"do": "generate", "prompts": […], "tokens": 48, "seed": 1, "prompt_tokens": [40, …]}` returns the
//! seconds from the common start to each token of each client.

use std::io::{Write, stdin, stdout};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use elpis::Coefficients;
use serde_json::{Value, json};

use crate::bare::{self, Bare, BareOptions};
use crate::engine::Engine;
use crate::kind::{CONTEXT, Kind};
use crate::measure::Run;
use crate::vectors;

enum Contender {
    Elpis { engine: Box<Engine>, steered: bool },
    Bare(Box<Bare>),
}

/// Answers the lines of standard input until it ends.
pub fn serve(kind: Kind, run: &Run) -> Result<()> {
    let mut contender = None;
    for line in stdin().lines() {
        let ask: Value = serde_json::from_str(&line?)?;
        let number = |name: &str| {
            let number = ask[name].as_u64().and_then(|number| number.try_into().ok());
            number.with_context(|| format!("no `{name}` in {ask}"))
        };
        let answer = match ask["do"].as_str() {
            Some("load") => {
                let (loaded, answer) = Contender::load(kind, run, number("clients")?, &ask)?;
                contender = Some(loaded);
                answer
            }
            Some("generate") => {
                let contender = contender.as_mut().context("nothing is loaded")?;
                contender.generate(&Ask {
                    clients: ask["prompts"].as_array().context("no `prompts`")?.len(),
                    tokens: number("tokens")?,
                    prompt_tokens: serde_json::from_value(ask["prompt_tokens"].clone())?,
                    seed: number("seed")? as u64,
                })?
            }
            _ => bail!("unexpected: {ask}"),
        };
        let mut out = stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

struct Ask {
    clients: usize,
    tokens: usize,
    /// The lengths of the prompts, for contenders that take tokens instead of text.
    prompt_tokens: Vec<usize>,
    seed: u64,
}

impl Contender {
    fn load(kind: Kind, run: &Run, clients: usize, ask: &Value) -> Result<(Self, Value)> {
        if kind == Kind::Bare {
            bare::silence();
            let number = |name: &str, default: u32| match ask[name].as_u64() {
                Some(number) => u32::try_from(number),
                None => Ok(default),
            };
            let options = BareOptions {
                context: number("context", CONTEXT)?,
                sequences: u32::try_from(clients)?,
                batch: number("batch", BATCH)?,
                threads: run.threads,
                offload: ask["offload"].as_bool().unwrap_or_default(),
            };
            let bare = Box::new(Bare::load(&run.path, options)?);
            let answer = json!({
                "about": "bare llama.cpp",
                "threads": run.threads,
                "batch": options.batch,
            });
            return Ok((Self::Bare(bare), answer));
        }
        // Cached sequences of finished conversations would count as memory of the current ones.
        let engine = Engine::start_with(run, CONTEXT, clients, |more| more.prefix_cache_mib(0))?;
        let engine = Box::new(engine);
        let steered = kind == Kind::Steered;
        if steered {
            engine.load_vectors()?;
        }
        let answer = json!({
            "about": format!("elpis on {}", engine.facts().backend),
            "threads": run.threads,
            "batch": engine.facts().batch_size,
        });
        Ok((Self::Elpis { engine, steered }, answer))
    }

    fn generate(&mut self, ask: &Ask) -> Result<Value> {
        let (streams, prompt, start) = match self {
            Self::Elpis { engine, steered } => {
                let asks = engine.asks(ask.clients, ask.tokens, ask.seed, |session| {
                    if *steered {
                        vectors::mix(session)
                    } else {
                        Ok(Coefficients::new())
                    }
                })?;
                let start = Instant::now();
                let traces = engine.generate(asks)?;
                let lengths = traces
                    .iter()
                    .map(|trace| trace.report.prompt_tokens as usize);
                let lengths: Vec<_> = lengths.collect();
                let streams: Vec<_> = traces.into_iter().map(|trace| trace.arrivals).collect();
                (streams, lengths, start)
            }
            Self::Bare(bare) => {
                let start = Instant::now();
                let streams = bare.streams(&ask.prompt_tokens, ask.tokens, ask.seed)?;
                (streams, ask.prompt_tokens.clone(), start)
            }
        };
        let seconds = |times: &Vec<Instant>| -> Vec<f64> {
            let since = times.iter().map(|at| (*at - start).as_secs_f64());
            since.collect()
        };
        let streams: Vec<_> = streams.iter().map(seconds).collect();
        Ok(json!({"streams": streams, "prompt_tokens": prompt}))
    }
}

/// Rows of a batch of bare llama.cpp: the default of elpis.
const BATCH: u32 = 512;
