//! Time of the mask for one token: `cargo bench --bench constraint --features tools`.
//!
//! The median over the tokens of whole replies at a vocabulary of 128,000 has to stay below
//! 100 µs for JSON. The times are of masking and sampling together; what sampling takes alone is
//! printed beside them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use elpis::inference::{
    Extent, Grammar, ResponseFormat, Sampler, SamplingParams, ToolFormat, ToolSet, Vocabulary,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

const SIZE: usize = 128_000;
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

    /// Writes a reply and notes the time of each choice of a token, sampling included.
    fn write(&self, (grammar, extent): &(Grammar, Extent), seed: u64) -> Option<Vec<Duration>> {
        let mut guide = self.vocabulary.compile(grammar, extent.clone()).ok()?;
        let mut sampler = Self::sampler(seed)?;
        let mut times = Vec::new();
        for _ in 0..400 {
            let start = Instant::now();
            let token = guide.choose(&mut sampler, &self.logits).ok()?;
            times.push(start.elapsed());
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

fn cases() -> Option<Vec<(&'static str, Grammar, Extent)>> {
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
    let lark = ToolFormat::Hermes.grammar(tools.tools(), true, &[]);
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
    ];
    let mut cases = vec![(
        "tool call",
        Grammar::of_tools(lark),
        Extent::Calls(Vec::new()),
    )];
    for (name, format) in answers {
        cases.push((name, format.grammar().ok()??, Extent::Answer));
    }
    Some(cases)
}

fn masks(criterion: &mut Criterion) {
    let (Some(model), Some(cases)) = (Model::new(), cases()) else {
        return;
    };
    println!("sampling without a mask: median {:?}", model.sampling());
    let mut group = criterion.benchmark_group("mask and sample, 128k");
    for (name, grammar, extent) in cases {
        let form = (grammar, extent);
        let mut times: Vec<_> = (0..40)
            .filter_map(|seed| model.write(&form, seed))
            .flatten()
            .collect();
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied();
        println!(
            "{name}: {} tokens, median {:?}, 99% {:?}",
            times.len(),
            at(50),
            at(99)
        );
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|tokens| {
                let replies = (0..).map_while(|seed| model.write(&form, seed));
                replies.flatten().take(tokens as usize).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, masks);
criterion_main!(benches);
