//! Time to sample one token: `cargo bench --bench sampling`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elpis::inference::{Sampler, SamplingParams};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Logits with a spread that is typical of chat models.
fn logits(size: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5;
    (0..size)
        .map(|_| ((0..12).map(|_| uniform()).sum::<f64>() * 5.0) as f32)
        .collect()
}

fn sampling(criterion: &mut Criterion) {
    let all = SamplingParams {
        top_k: 0,
        top_p: 1.0,
        ..SamplingParams::default()
    };
    let cases = [
        ("greedy", SamplingParams::greedy()),
        ("default", SamplingParams::default()),
        ("top_k 40", SamplingParams { top_k: 40, ..all }),
        ("top_p 0.9", SamplingParams { top_p: 0.9, ..all }),
        ("min_p 0.05", SamplingParams { min_p: 0.05, ..all }),
    ];
    let mut group = criterion.benchmark_group("sample");
    for size in [32_000, 128_000] {
        let logits = logits(size);
        for (name, params) in cases {
            let Ok(mut sampler) = Sampler::new(params, size) else {
                continue;
            };
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| sampler.sample(&logits));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sampling);
criterion_main!(benches);
