//! Time to blend the vectors of a state into the plan of a row: `cargo bench --bench blend`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringVector, VectorFormat, write,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// The base emotions, each at one layer of a model of this width.
fn library(width: usize) -> Option<SteeringLibrary> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut files = Vec::new();
    for name in ["excited", "frustrated", "depleted", "calm"] {
        let row =
            (0..width).map(|_| (f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5) as f32);
        let vector = SteeringVector::bare(row.collect()).ok()?;
        files.push(LibraryFile {
            name: format!("{name}.safetensors"),
            bytes: write(VectorFormat::Safetensors, &vector).ok()?,
        });
    }
    let context = LibraryContext {
        default_layer: Some(16),
        residual_norms: Some(vec![(width as f32).sqrt(); 32]),
        unsteerable: None,
        ..LibraryContext::new(32, width)
    };
    SteeringLibrary::build(files, &context).ok()
}

fn blend(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("blend");
    for width in [1024, 4096, 8192] {
        let Some(library) = library(width) else {
            continue;
        };
        let coefficients = library.coefficients(0.4, -0.3, 1.0);
        let options = BlendOptions::default();
        if library.blend(coefficients.iter(), &options).is_none() {
            continue;
        }
        group.bench_function(BenchmarkId::new("four emotions", width), |bencher| {
            bencher.iter(|| library.blend(black_box(&coefficients).iter(), &options));
        });
    }
    group.finish();
}

criterion_group!(benches, blend);
criterion_main!(benches);
