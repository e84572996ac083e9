//! Time of the mask for one token: `cargo bench --bench constraint --features tools`.
//!
//! The median over the tokens of whole replies with a vocabulary of 128,000 tokens must stay below
//! 100 µs. The time is the cost of the mask on the engine thread: computing it and writing it into
//! the logits. The time of a token with its mask, including sampling, and the time of sampling
//! alone are printed beside it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use elpis::inference::{
    Grammar, ResponseFormat, Sampler, SamplingParams, Scope, ToolFormat, ToolSet, Vocabulary,
    masked,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

const SIZE: usize = 128_000;
/// Number of replies of each format in the medians.
const REPLIES: u64 = 40;
const END: u32 = SIZE as u32 - 1;
const SIGNS: &[u8] = b"(){}[]<>.,;:!?'\"=-+*/\n";

/// Bytes, pieces of JSON, and words of random letters as long as those of a BPE vocabulary.
fn tokens() -> Vec<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |bound: u32| random.next_u32() % bound;
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    for piece in [
        "\": \"", "\", \"", "{\"", "\"}", "}}", "\": ", "\\n", "\\\"", "}, {", "]}",
    ] {
        tokens.push(piece.as_bytes().to_vec());
    }
    let mut seen: HashSet<_> = tokens.iter().cloned().collect();
    while tokens.len() + 1 < SIZE {
        let mut word = Vec::new();
        if below(2) == 0 {
            word.push(b' ');
        }
        match below(20) {
            0 => word.extend((0..=below(3)).map(|_| b'0' + below(10) as u8)),
            1 => word.extend("żółć".bytes().take(2 + 2 * below(4) as usize)),
            2 => word.extend((0..=below(4)).map(|_| SIGNS[below(SIGNS.len() as u32) as usize])),
            _ => word.extend((0..=below(9)).map(|_| b'a' + below(26) as u8)),
        }
        if seen.insert(word.clone()) {
            tokens.push(word);
        }
    }
    tokens.push(Vec::new());
    tokens
}

struct Times {
    of_mask: Duration,
    in_all: Duration,
}

/// The percentile of the times; `share` is in percent.
fn at(times: &mut [Duration], share: usize) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() * share / 100).copied()
}

struct Model {
    tokens: Vec<Vec<u8>>,
    vocabulary: Arc<Vocabulary>,
    logits: Vec<f32>,
}

impl Model {
    fn new() -> Option<Self> {
        let tokens = tokens();
        let piece = |token: u32, out: &mut Vec<u8>| out.extend(&tokens[token as usize]);
        let start = Instant::now();
        let vocabulary = Vocabulary::new(SIZE, piece, |token| token == END).ok()?;
        println!("vocabulary made in {:?}", start.elapsed());
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let logit = |_| (random.next_u32() % 1000) as f32 / 100.0;
        Some(Self {
            vocabulary: Arc::new(vocabulary),
            logits: (0..SIZE).map(logit).collect(),
            tokens,
        })
    }

    fn sampler(seed: u64) -> Option<Sampler> {
        let params = SamplingParams {
            seed,
            ..SamplingParams::default()
        };
        Sampler::new(params, SIZE).ok()
    }

    /// Generates a reply and records for each token the time of its mask and its total time.
    fn write(&self, (grammar, scope): &(Grammar, Scope), seed: u64) -> Option<Vec<Times>> {
        let mut guide = self.vocabulary.compile(grammar, scope.clone()).ok()?;
        let mut sampler = Self::sampler(seed)?;
        let mut work = Vec::with_capacity(SIZE);
        let mut times = Vec::new();
        for _ in 0..400 {
            let start = Instant::now();
            let mask = guide.mask().ok()?;
            masked(&self.logits, mask.words(), &mut work).ok()?;
            let of_mask = start.elapsed();
            let token = sampler.sample(&work).ok()?;
            let in_all = start.elapsed();
            times.push(Times { of_mask, in_all });
            let mut piece = self.tokens[token as usize].clone();
            if token == END || guide.accept(token, &mut piece).ok()?.complete {
                break;
            }
        }
        Some(times)
    }

    /// The median time of sampling alone.
    fn sampling(&self) -> Option<Duration> {
        let mut sampler = Self::sampler(1)?;
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let start = Instant::now();
                let _ = sampler.sample(&self.logits);
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times.get(100).copied()
    }
}

fn cases() -> Option<Vec<(&'static str, Grammar, Scope)>> {
    let parameters = json!({"type": "object", "properties": {
        "query": {"type": "string"},
        "filters": {"type": "array", "items": {"type": "object", "properties": {
            "field": {"enum": ["title", "author", "year"]},
            "value": {"anyOf": [{"type": "string", "maxLength": 40}, {"type": "integer"}]},
        }, "required": ["field", "value"]}},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        "when": {"type": "string", "format": "date-time"},
    }, "required": ["query", "filters", "limit", "when"]});
    let tools = json!([{"name": "search", "parameters": parameters}]);
    let tools = ToolSet::from_json(&tools).ok()?;
    let answers = [
        ("json schema", ResponseFormat::json_schema(parameters)),
        ("any json object", ResponseFormat::JsonObject),
        (
            "regex of digits",
            ResponseFormat::regex("[0-9]{4}-[01][0-9]-[0-3][0-9]"),
        ),
        (
            "regex of words",
            ResponseFormat::regex("[A-Z][a-z]+( [a-z]+){3,20}\\."),
        ),
        ("regex of letters", ResponseFormat::regex("[a-z]+")),
        (
            "regex of any words",
            ResponseFormat::regex("\\w+([ ,]+\\w+){2,30}[.!?]"),
        ),
        (
            "choice",
            ResponseFormat::choice(["very good", "good", "neither", "bad", "very bad"]),
        ),
        (
            "lark",
            ResponseFormat::lark(
                "start: line+\nline: WORD \"=\" value \"\\n\"\nvalue: WORD | NUMBER | \"(\" value \
                 (\",\" value)* \")\"\nWORD: /[a-z]+/\nNUMBER: /[0-9]+/",
            ),
        ),
    ];
    let mut cases = Vec::new();
    for (name, format) in [
        ("tool call", ToolFormat::Hermes),
        ("tool call of Qwen3-Coder", ToolFormat::Qwen3Coder),
        ("tool call of FunctionGemma", ToolFormat::FunctionGemma),
    ] {
        let grammar = Grammar::of_tools(format.grammar(tools.tools(), true, &[]).unwrap());
        cases.push((name, grammar, Scope::Calls(Vec::new())));
    }
    for (name, format) in answers {
        cases.push((name, format.grammar().ok()??, Scope::Answer));
    }
    Some(cases)
}

fn masks(criterion: &mut Criterion) {
    let (Some(model), Some(cases)) = (Model::new(), cases()) else {
        return;
    };
    println!("sampling without a mask: median {:?}", model.sampling());
    let mut group = criterion.benchmark_group("mask, 128k");
    for (name, grammar, scope) in cases {
        let form = (grammar, scope);
        let times: Vec<_> = (0..REPLIES)
            .filter_map(|seed| model.write(&form, seed))
            .flatten()
            .collect();
        let mut of_mask: Vec<_> = times.iter().map(|times| times.of_mask).collect();
        let mut in_all: Vec<_> = times.iter().map(|times| times.in_all).collect();
        println!(
            "{name}: {} tokens, mask median {:?}, 99% {:?}; with sampling {:?}",
            times.len(),
            at(&mut of_mask, 50),
            at(&mut of_mask, 99),
            at(&mut in_all, 50),
        );
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|tokens| {
                let replies = (0..).map_while(|seed| model.write(&form, seed));
                let times = replies.flatten().map(|times| times.of_mask);
                times.take(tokens as usize).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, masks);
criterion_main!(benches);
