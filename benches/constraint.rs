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
    Extent, Grammar, Guide, ResponseFormat, Sampler, SamplingParams, ToolFormat, ToolSet,
    Vocabulary,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;

const SIZE: usize = 128_000;
const END: u32 = SIZE as u32 - 1;

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
            1 => word.extend(
                "żółć"
                    .chars()
                    .take(1 + below(4) as usize)
                    .collect::<String>()
                    .bytes(),
            ),
            2 => {
                word.extend((0..=below(4)).map(|_| b"(){}[]<>.,;:!?'\"=-+*/\n"[below(22) as usize]))
            }
            _ => word.extend((0..=below(9)).map(|_| b'a' + below(26) as u8)),
        }
        if seen.insert(word.clone()) {
            tokens.push(word);
        }
    }
    tokens.push(Vec::new());
    tokens
}

/// Writes a reply and notes the time of each choice of a token, sampling included.
fn write(
    mut guide: Guide,
    sampler: &mut Sampler,
    logits: &[f32],
    tokens: &[Vec<u8>],
) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..400 {
        let start = Instant::now();
        let Ok(token) = guide.choose(sampler, logits) else {
            break;
        };
        times.push(start.elapsed());
        let mut piece = tokens[token as usize].clone();
        if token == END
            || guide
                .accept(token, &mut piece)
                .map_or(true, |progress| progress.complete)
        {
            break;
        }
    }
    times
}

fn masks(criterion: &mut Criterion) {
    let tokens = tokens();
    let piece = |token: u32, out: &mut Vec<u8>| out.extend(&tokens[token as usize]);
    let start = Instant::now();
    let Ok(vocabulary) = Vocabulary::new(SIZE, piece, |token| token == END) else {
        return;
    };
    let vocabulary = Arc::new(vocabulary);
    println!("vocabulary made in {:?}", start.elapsed());
    let parameters = json!({"type": "object", "properties": {
        "query": {"type": "string"},
        "filters": {"type": "array", "items": {"type": "object", "properties": {
            "field": {"enum": ["title", "author", "year"]},
            "value": {"anyOf": [{"type": "string", "maxLength": 40}, {"type": "integer"}]},
        }, "required": ["field", "value"]}},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        "when": {"type": "string", "format": "date-time"},
    }, "required": ["query", "filters", "limit", "when"]});
    let Ok(tools) = ToolSet::from_json(&json!([{"name": "search", "parameters": parameters}]))
    else {
        return;
    };
    let lark = ToolFormat::Hermes.grammar(tools.tools(), true, &[]);
    let answer = |format: ResponseFormat| format.grammar().ok().flatten();
    let cases = [
        (
            "tool call",
            Some(Grammar::of_tools(lark)),
            Extent::Calls(Vec::new()),
        ),
        (
            "json schema",
            answer(ResponseFormat::json_schema(parameters)),
            Extent::Answer,
        ),
        (
            "any json object",
            answer(ResponseFormat::JsonObject),
            Extent::Answer,
        ),
        (
            "regex of digits",
            answer(ResponseFormat::regex("[0-9]{4}-[01][0-9]-[0-3][0-9]")),
            Extent::Answer,
        ),
        (
            "regex of words",
            answer(ResponseFormat::regex("[A-Z][a-z]+( [a-z]+){3,20}\\.")),
            Extent::Answer,
        ),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let logits: Vec<f32> = (0..SIZE)
        .map(|_| (random.next_u32() % 1000) as f32 / 100.0)
        .collect();
    let mut group = criterion.benchmark_group("mask and sample, 128k");
    for (name, grammar, extent) in cases {
        let Some(grammar) = grammar else { continue };
        let start = Instant::now();
        let guide = vocabulary.compile(&grammar, extent.clone());
        println!(
            "{name}: compiled in {:?}, {}",
            start.elapsed(),
            if guide.is_ok() { "ok" } else { "refused" }
        );
        let mut times = Vec::new();
        let mut free = Vec::new();
        for seed in 0..40 {
            let params = SamplingParams {
                temperature: 1.0,
                seed,
                ..SamplingParams::default()
            };
            let (Ok(guide), Ok(mut sampler)) = (
                vocabulary.compile(&grammar, extent.clone()),
                Sampler::new(params, SIZE),
            ) else {
                continue;
            };
            times.extend(write(guide, &mut sampler, &logits, &tokens));
            for _ in 0..20 {
                let start = Instant::now();
                let _ = sampler.sample(&logits);
                free.push(start.elapsed());
            }
        }
        times.sort_unstable();
        free.sort_unstable();
        let at = |times: &[Duration], share: usize| times.get(times.len() * share / 100).copied();
        println!(
            "{name}: {} tokens, median {:?}, 99% {:?}; sampling without a mask {:?}",
            times.len(),
            at(&times, 50),
            at(&times, 99),
            at(&free, 50),
        );
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                let mut done = 0;
                let mut seed = 0;
                while done < iterations {
                    seed += 1;
                    let params = SamplingParams {
                        seed,
                        ..SamplingParams::default()
                    };
                    let (Ok(guide), Ok(mut sampler)) = (
                        vocabulary.compile(&grammar, extent.clone()),
                        Sampler::new(params, SIZE),
                    ) else {
                        break;
                    };
                    for time in write(guide, &mut sampler, &logits, &tokens) {
                        if done < iterations {
                            total += time;
                            done += 1;
                        }
                    }
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group!(benches, masks);
criterion_main!(benches);
