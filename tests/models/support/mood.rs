//! How well steering sets the bundled model's mood.
#![allow(clippy::disallowed_methods, reason = "no state depends on it")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::Arc;

use super::grammar::Grammar;
use crate::task::{self, Collected};
use elpis::backend::{Backend, BackendKind, Batch, LoadOptions, Token, create_backend};
use elpis::inference::{
    ChatMessage, ChatTemplate, FinishReason, GenerationOptions, RenderOptions, SamplingParams,
    SpecialTokens,
};
use elpis::internal::scheduler::{AdmissionQueue, Scheduler, SchedulerOptions};
use elpis::settings::{ModelSettings, ModelSource};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringVector, VectorFormat,
    parse, write,
};
use elpis::{Coefficients, SystemClock};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::Deserialize;

const SEQUENCES: u32 = 16;
/// Each random vector is added to this share of the prompts.
const RANDOM_SHARE: usize = 2;

/// How much is generated.
pub struct Sizes {
    /// Replies to each prompt.
    pub repeats: u64,
    /// The unsteered shares are small, so they are measured more often.
    pub unsteered_repeats: u64,
    /// Random vectors; 0 leaves that column out.
    pub random_draws: u64,
}

#[derive(Deserialize)]
struct Prompts {
    neutral: Vec<Prompt>,
    mood_lines: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Prompt {
    system: Option<String>,
    user: String,
}

impl Prompts {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/tiny-model/prompts.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// A prompt's tokens and the text of a reply.
struct Reply {
    prompt: Vec<Token>,
    text: String,
    ended: bool,
}

struct Bench {
    template: ChatTemplate,
    scorer: Box<dyn Backend>,
    scheduler: Scheduler,
    files: Vec<LibraryFile>,
    library: Arc<SteeringLibrary>,
    context: LibraryContext,
}

impl Bench {
    fn new(backend: BackendKind, files: Vec<LibraryFile>) -> Self {
        let options = LoadOptions::new(
            ModelSettings::default().backend(backend),
            ModelSource::Bundled,
        )
        .n_sequences(SEQUENCES)
        .devices(crate::support::hardware::devices(backend));
        let backend = create_backend(&options).unwrap();
        let facts = Arc::clone(backend.facts());
        let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
        let source = facts.chat_template.as_deref().unwrap();
        let mut context = LibraryContext::new(facts.n_layers, facts.n_embd);
        context.residual_norms = Some(facts.residual_norms.clone());
        let library = Arc::new(SteeringLibrary::build(files.clone(), &context).unwrap());
        let options_of_scheduler = SchedulerOptions {
            blend: BlendOptions::default(),
            ..SchedulerOptions::default()
        };
        Self {
            template: ChatTemplate::from_source("bundled", source, special).unwrap(),
            scorer: create_backend(&options).unwrap(),
            scheduler: Scheduler::new(
                backend,
                Arc::clone(&library),
                Arc::new(SystemClock::default()),
                options_of_scheduler,
            ),
            files,
            library,
            context,
        }
    }

    fn tokens(&self, system: Option<&str>, user: &str) -> Vec<Token> {
        let messages: Vec<ChatMessage> = system
            .map(ChatMessage::system)
            .into_iter()
            .chain([ChatMessage::user(user)])
            .collect();
        let options = RenderOptions {
            add_generation_prompt: true,
            ..RenderOptions::default()
        };
        let text = self.template.render(&messages, &options).unwrap();
        self.scorer.tokenizer().encode(&text, true).unwrap()
    }

    fn neutral(&self, prompts: &Prompts) -> Vec<Vec<Token>> {
        let neutral = prompts.neutral.iter();
        neutral
            .map(|prompt| self.tokens(prompt.system.as_deref(), &prompt.user))
            .collect()
    }

    fn generate(
        &mut self,
        prompts: &[Vec<Token>],
        seed: u64,
        coefficients: &Coefficients,
    ) -> Vec<Reply> {
        let mut queue = AdmissionQueue::default();
        let mut collected: Vec<Collected> = Vec::new();
        for (index, prompt) in (0..).zip(prompts) {
            let (mut task, sink) = task::task("mood", "", 64);
            task.prompt.clone_from(prompt);
            task.options = GenerationOptions::default().coefficients(coefficients.clone());
            task.sampling = SamplingParams {
                temperature: 0.7,
                top_p: 0.9,
                top_k: 0,
                seed: seed * 10_000 + index,
                ..SamplingParams::default()
            };
            queue.push(task);
            collected.push(sink);
        }
        while collected.iter().any(|sink| !sink.ended()) {
            while self.scheduler.free_slots() > 0
                && let Some(task) = queue.pop()
            {
                self.scheduler.admit(task).unwrap();
            }
            self.scheduler.step().unwrap();
        }
        prompts
            .iter()
            .zip(&collected)
            .map(|(prompt, sink)| Reply {
                prompt: prompt.clone(),
                text: sink.text(),
                ended: sink.report().finish_reason == FinishReason::Stop,
            })
            .collect()
    }

    /// Perplexity of the replies under the unsteered model, end token included.
    fn perplexity(&mut self, replies: &[Reply]) -> f64 {
        let tokenizer = self.scorer.tokenizer();
        let end = tokenizer.encode("<|im_end|>", true).unwrap();
        let (mut loss, mut count) = (0.0, 0);
        for group in replies.chunks(SEQUENCES as usize) {
            let rows: Vec<(usize, Vec<Token>)> = group
                .iter()
                .map(|reply| {
                    let mut tokens = reply.prompt.clone();
                    tokens.extend(tokenizer.encode(&reply.text, false).unwrap());
                    if reply.ended {
                        tokens.extend(&end);
                    }
                    (reply.prompt.len(), tokens)
                })
                .collect();
            let mut batch = Batch::default();
            for (sequence, (prompt, tokens)) in (0..).zip(&rows) {
                batch.clear();
                batch.push(sequence, 0, &tokens[..prompt - 1], false, None);
                self.scorer.decode(&batch).unwrap();
            }
            let longest = rows
                .iter()
                .map(|(prompt, tokens)| tokens.len() - prompt)
                .max();
            for step in 0..longest.unwrap() {
                batch.clear();
                let mut targets = Vec::new();
                for (sequence, (prompt, tokens)) in (0..).zip(&rows) {
                    let at = prompt - 1 + step;
                    if let Some(&target) = tokens.get(at + 1) {
                        batch.push(sequence, at as u32, &tokens[at..=at], true, None);
                        targets.push(target);
                    }
                }
                self.scorer.decode(&batch).unwrap();
                for (row, target) in targets.into_iter().enumerate() {
                    loss += loss_of(self.scorer.logits(row).unwrap(), target);
                    count += 1;
                }
            }
            for sequence in 0..group.len() as u32 {
                self.scorer.truncate(sequence, 0).unwrap();
            }
        }
        (loss / f64::from(count)).exp()
    }

    /// A library whose vectors have the norms of the real ones and random
    /// directions.
    fn random_library(&self, seed: u64) -> Arc<SteeringLibrary> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // A sum of twelve uniform numbers is close to normal.
        let mut normal = || -> f64 {
            let uniform = (0..12).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5);
            uniform.sum()
        };
        let mut files = self.files.clone();
        for file in files
            .iter_mut()
            .filter(|file| file.name.ends_with(".safetensors"))
        {
            let real = parse(VectorFormat::Safetensors, &file.bytes).unwrap();
            let (_, row) = real.rows().next().unwrap();
            let norm = |row: &[f32]| row.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
            let random: Vec<f32> = row.iter().map(|_| normal() as f32).collect();
            let scale = norm(row) / norm(&random);
            let random = SteeringVector::bare(random).unwrap().scaled(scale).unwrap();
            let random = match real.layers().next() {
                Some(layer) => random.at_layer(layer).unwrap(),
                None => random,
            };
            file.bytes = write(VectorFormat::Safetensors, &random).unwrap();
        }
        Arc::new(SteeringLibrary::build(files, &self.context).unwrap())
    }
}

fn loss_of(logits: &[f32], target: Token) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    sum.ln() - f64::from(logits[target as usize] - most)
}

fn share(replies: &[Reply], is: impl Fn(&Reply) -> bool) -> f64 {
    replies.iter().filter(|reply| is(reply)).count() as f64 / replies.len().max(1) as f64
}

/// For each mood the share of replies in it, unsteered and steered; one reply
/// to each of so many prompts.
pub fn shares(
    backend: BackendKind,
    files: Vec<LibraryFile>,
    count: usize,
) -> Vec<(String, [f64; 2])> {
    let grammar = Grammar::load();
    let mut bench = Bench::new(backend, files);
    let mut neutral = bench.neutral(&Prompts::load());
    neutral.truncate(count);
    let plain = bench.generate(&neutral, 100, &Coefficients::new());
    let moods = grammar.moods.iter();
    moods
        .map(|mood| {
            let mut coefficients = Coefficients::new();
            coefficients.insert(mood.as_str(), 1.0).unwrap();
            let steered = bench.generate(&neutral, 200, &coefficients);
            let in_mood = |reply: &Reply| grammar.judge(&reply.text).mood.as_ref() == Some(mood);
            let both = [&plain, &steered].map(|replies| share(replies, in_mood));
            (mood.clone(), both)
        })
        .collect()
}

/// Prints the table of a set of vectors and checks its bounds.
pub fn check_table(backend: BackendKind, files: Vec<LibraryFile>, sizes: &Sizes) {
    let grammar = Grammar::load();
    let prompts = Prompts::load();
    let mut bench = Bench::new(backend, files);
    let neutral = bench.neutral(&prompts);
    assert!(neutral.len() >= 60);
    let repeated = |bench: &mut Bench, repeats: u64, seed: u64, coefficients: &Coefficients| {
        (0..repeats)
            .flat_map(|repeat| bench.generate(&neutral, seed + repeat, coefficients))
            .collect::<Vec<Reply>>()
    };
    let nothing = Coefficients::new();
    let plain = repeated(&mut bench, sizes.unsteered_repeats, 100, &nothing);
    let plain_perplexity = bench.perplexity(&plain[..neutral.len() * sizes.repeats as usize]);
    let parses = |reply: &Reply| grammar.judge(&reply.text).parses;

    println!(
        "| mood | unsteered | steered | random vector | mood line | steered and grammatical | perplexity ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (mut steered_sum, mut failures) = (0.0, Vec::new());
    for mood in &grammar.moods {
        let in_mood = |reply: &Reply| grammar.judge(&reply.text).mood.as_ref() == Some(mood);
        let mut coefficients = Coefficients::new();
        coefficients.insert(mood.as_str(), 1.0).unwrap();
        let steered = repeated(&mut bench, sizes.repeats, 200, &coefficients);
        let mut random = Vec::new();
        for draw in 0..sizes.random_draws {
            let library = bench.random_library(draw + 1);
            bench.scheduler.set_library(library);
            let part = neutral.len() / RANDOM_SHARE;
            let from = (draw as usize % RANDOM_SHARE) * part;
            random.extend(bench.generate(&neutral[from..from + part], 300 + draw, &coefficients));
        }
        bench.scheduler.set_library(Arc::clone(&bench.library));
        let lined: Vec<Vec<Token>> = prompts
            .neutral
            .iter()
            .map(|prompt| bench.tokens(Some(&prompts.mood_lines[mood]), &prompt.user))
            .collect();
        let lined = bench.generate(&lined, 400, &nothing);
        let ratio = bench.perplexity(&steered) / plain_perplexity;
        let [before, after, by_chance, by_line] =
            [&plain, &steered, &random, &lined].map(|replies| share(replies, in_mood));
        let grammatical = share(&steered, parses);
        println!(
            "| {mood} | {before:.3} | {after:.3} | {by_chance:.3} | {by_line:.3} | {grammatical:.3} | {ratio:.2} |"
        );
        steered_sum += after;
        // A share below one reply in the sample is not told apart from none.
        let least = 1.0 / random.len().max(1) as f64;
        for (holds, what) in [
            (
                after >= 3.0 * before,
                "steered share at least 3 times the unsteered one",
            ),
            (grammatical >= 0.85, "85 % of the steered replies parse"),
            (ratio <= 1.5, "perplexity at most 1.5 times"),
            (
                by_chance <= (2.0 * before).max(2.0 * least),
                "random vector at most twice",
            ),
        ] {
            if !holds {
                failures.push(format!("{mood}: {what}"));
            }
        }
    }
    println!(
        "unsteered, {:.3} of the replies parse",
        share(&plain, parses)
    );
    if steered_sum / 4.0 < 0.30 {
        failures.push(format!("average share {}", steered_sum / 4.0));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
