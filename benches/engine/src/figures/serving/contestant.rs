//! A process that serves the model.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bare::{TEMPERATURE, TOP_K, TOP_P};
use crate::engine::prompts;
use crate::figures::clients;
use crate::kind::{self, CONTEXT, Kind};
use crate::measure::Run;
use crate::model;
use crate::peer;
use crate::process::{self, Usage};
use crate::script::{LLAMA, Script, TORCH, interpreter};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/llama_server_peer.py");

pub struct Contestant {
    pub name: &'static str,
    /// The versions of its libraries.
    pub about: String,
    /// Whether it is another library.
    pub python: bool,
    /// Whether it runs the model as a Hugging Face folder.
    torch: bool,
    script: Script,
    /// The process that computes. It may differ from the one that receives the requests.
    id: u32,
    verb: &'static str,
    /// Extra fields of each request.
    more: Value,
}

/// A request that every contestant gets in turn.
pub struct Turn {
    pub clients: usize,
    pub tokens: usize,
    /// Number of tokens of each client's prompt, once elpis has reported it.
    pub prompt_tokens: Vec<usize>,
    pub seed: u64,
}

/// The result of serving it.
pub struct Served {
    /// For each client, the seconds from the common start to each token.
    pub streams: Vec<Vec<f64>>,
    pub prompt_tokens: Vec<usize>,
    /// Peak of memory meanwhile in bytes, if the system reports it.
    pub peak: Option<f64>,
    /// Processor time in seconds, if the system reports it.
    pub processor: Option<f64>,
}

/// Starts all contestants that can serve the model here, elpis first.
pub fn all(run: &Run, clients: usize) -> Result<Vec<Contestant>> {
    let mut all = Vec::new();
    for kind in [Kind::Elpis, Kind::Steered, Kind::Bare] {
        all.push(own(kind.name(), kind, run, clients)?);
    }
    if interpreter(LLAMA).is_some() {
        let batch = all.first().and_then(|first| first.more["batch"].as_u64());
        let load = json!({
            "do": "load",
            "file": run.path,
            "context": CONTEXT,
            "batch": batch.context("no size of a batch")?,
            "threads": run.threads,
        });
        for (name, script) in [
            ("llama-cpp-python", clients::SCRIPT),
            ("llama-cpp-python server", SERVER),
        ] {
            let script = Script::python(LLAMA, script)?;
            all.push(load_into(
                script,
                name,
                "generate",
                Value::Null,
                &load,
                run,
            )?);
        }
    } else {
        eprintln!("   {LLAMA} names no Python with llama-cpp-python, which is left out");
    }
    let cache = run.path.parent().context("the model has no folder")?;
    let Some(spec) = run.spec.folder() else {
        return Ok(all);
    };
    if interpreter(TORCH).is_none() || !cfg!(feature = "transformers") {
        eprintln!("   libtorch or {TORCH} is not there: everything on it is left out");
        return Ok(all);
    }
    let folder = Run::new(spec, model::ensure(spec, cache)?, run.rounds, run.smoke);
    let beginning = all.len();
    all.push(own("elpis on libtorch", Kind::Elpis, &folder, clients)?);
    for (name, steered) in [
        ("transformers", false),
        ("transformers, repeng's way", true),
    ] {
        let script = Script::python(TORCH, peer::SCRIPT)?;
        let load = peer::load(&folder);
        let more = json!({"steered": steered});
        all.push(load_into(script, name, "serve", more, &load, run)?);
    }
    for one in &mut all[beginning..] {
        one.torch = true;
    }
    Ok(all)
}

fn own(name: &'static str, kind: Kind, run: &Run, clients: usize) -> Result<Contestant> {
    let script = kind::start(kind, run)?;
    let load = json!({"do": "load", "clients": clients});
    let mut contestant = load_into(script, name, "generate", Value::Null, &load, run)?;
    contestant.python = false;
    Ok(contestant)
}

fn load_into(
    mut script: Script,
    name: &'static str,
    verb: &'static str,
    mut more: Value,
    load: &Value,
    run: &Run,
) -> Result<Contestant> {
    eprintln!("   loading into {name}");
    let loaded = script.ask(load)?;
    ensure!(
        loaded["threads"] == run.threads,
        "{name} computes with other threads: {loaded}"
    );
    if more.is_null() {
        more = json!({"batch": loaded["batch"]});
    }
    let id = match loaded["pid"].as_u64() {
        Some(id) => u32::try_from(id)?,
        None => script.id(),
    };
    Ok(Contestant {
        name,
        about: loaded["about"].as_str().unwrap_or(name).to_owned(),
        python: true,
        torch: false,
        script,
        id,
        verb,
        more,
    })
}

impl Contestant {
    pub fn serve(&mut self, turn: &Turn) -> Result<Served> {
        let prompts = match self.verb {
            // Elpis applies the template itself.
            "serve" => prompts(turn.clients, turn.seed),
            _ => clients::rendered(turn.clients, turn.seed),
        };
        let mut ask = json!({
            "do": self.verb,
            "prompts": prompts,
            "tokens": turn.tokens,
            "seed": turn.seed,
            "top_k": TOP_K,
            "top_p": TOP_P,
            "temperature": TEMPERATURE,
        });
        if self.verb == "serve" {
            ask["steered"] = self.more["steered"].clone();
        }
        if !self.python {
            ask["prompt_tokens"] = json!(turn.prompt_tokens);
        }
        process::forget_peak(self.id);
        let before = self.usage();
        let mut answer = self.script.ask(&ask)?;
        let after = self.usage();
        let streams: Vec<Vec<f64>> = serde_json::from_value(answer["streams"].take())?;
        ensure!(
            streams.len() == turn.clients && streams.iter().all(|s| s.len() == turn.tokens),
            "{} was asked for {} tokens for each of {} clients",
            self.name,
            turn.tokens,
            turn.clients
        );
        let told: Option<Vec<usize>> = serde_json::from_value(answer["prompt_tokens"].take())?;
        let lengths = told.unwrap_or_else(|| turn.prompt_tokens.clone());
        ensure!(
            // Contestants on libtorch use their own tokenizer on the same texts.
            self.torch || turn.prompt_tokens.is_empty() || lengths == turn.prompt_tokens,
            "the prompts have {lengths:?} tokens at {}, {:?} at elpis",
            self.name,
            turn.prompt_tokens
        );
        Ok(Served {
            streams,
            prompt_tokens: lengths,
            peak: after.map(|usage| usage.peak),
            processor: before
                .zip(after)
                .map(|(before, after)| after.processor - before.processor),
        })
    }

    /// The resources that its process has used so far, if the system reports them.
    fn usage(&self) -> Option<Usage> {
        process::usage(self.id).ok()
    }
}
