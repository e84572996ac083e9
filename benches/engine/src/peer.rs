//! Hugging Face's transformers in a separate process.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::measure::Run;
use crate::model::Encoding;
use crate::script::{Script, TORCH};
use crate::vectors::Rows;

pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/peer.py");

/// The request that loads the model of a run.
pub fn load(run: &Run) -> Value {
    json!({
        "do": "load",
        "folder": run.path,
        "dtype": match run.spec.encoding {
            Encoding::Bf16 => "bfloat16",
            _ => "float32",
        },
        "threads": run.threads,
    })
}

/// The process, with a model loaded.
pub struct Peer {
    script: Script,
    /// The versions and the kind of attention.
    pub about: String,
}

/// The generations of the process.
pub struct Generated {
    /// Total rate of all prompts in tokens per second, from the first tokens to the last.
    pub rate: f64,
    pub prompt_tokens: usize,
    /// The text of each token, for each prompt.
    pub texts: Vec<Vec<String>>,
}

impl Peer {
    /// Starts the process and loads the model of a run.
    pub fn start(run: &Run) -> Result<Self> {
        let mut peer = Self {
            script: Script::python(TORCH, SCRIPT)?,
            about: String::new(),
        };
        let answer = peer.script.ask(&load(run))?;
        ensure!(
            answer["threads"] == run.threads,
            "it computes with {} threads instead of {}",
            answer["threads"],
            run.threads
        );
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        peer.about = format!("{}, {} attention", text("about"), text("attention"));
        Ok(peer)
    }

    /// Answers each prompt greedily with `tokens` tokens, all in one batch.
    pub fn generate(
        &mut self,
        prompts: &[String],
        tokens: usize,
        steering: Option<&Rows>,
    ) -> Result<Generated> {
        let steering = steering.map(|rows| json!({"layer": rows.layer, "rows": rows.values}));
        let mut answer = self.script.ask(&json!({
            "do": "generate",
            "prompts": prompts,
            "tokens": tokens,
            "steering": steering,
        }))?;
        ensure!(
            answer["tokens"] == tokens,
            "{tokens} tokens were requested, {} generated",
            answer["tokens"]
        );
        let seconds = answer["seconds"].as_f64().context("no time")?;
        Ok(Generated {
            rate: ((tokens - 1) * prompts.len()) as f64 / seconds,
            prompt_tokens: answer["prompt_tokens"].as_u64().unwrap_or_default() as usize,
            texts: serde_json::from_value(answer["texts"].take())?,
        })
    }

    /// The difference between the highest logit and that of the less likely of two candidates, after
    /// the text written so far.
    pub fn gap(
        &mut self,
        prompt: &str,
        written: &[String],
        candidates: [&str; 2],
        steering: Option<(usize, &[f32])>,
    ) -> Result<f64> {
        let answer = self.script.ask(&json!({
            "do": "gap",
            "prompt": prompt,
            "written": written,
            "candidates": candidates,
            "steering": steering.map(|(layer, row)| json!({"layer": layer, "rows": [row]})),
        }))?;
        answer["gap"].as_f64().context("no gap")
    }
}
