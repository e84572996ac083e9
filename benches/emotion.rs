//! Time of an event, a snapshot and a message on one state: `cargo bench --bench emotion`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use elpis::emotion::{EmotionConfig, EmotionEvent, EmotionTracker, KNOWN_EVENTS};
use elpis::{EventSource, LexicalAppraiser};

const REPLY: &str = "I am sorry, the tests failed again. There is an error in the parser: it reads \
past the end of its input, which I should have seen. Let me fix it and run everything once more.";

/// A state that has felt each of the known events, a second apart.
fn seasoned() -> Option<(EmotionTracker, Vec<EmotionEvent>)> {
    let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).ok()?;
    let events: Vec<_> = KNOWN_EVENTS
        .iter()
        .filter_map(|known| EmotionEvent::named(known.name).ok())
        .collect();
    for (second, event) in events.iter().enumerate() {
        tracker.apply(event, second as f64).ok()?;
    }
    Some((tracker, events))
}

fn emotion(criterion: &mut Criterion) {
    let Some((tracker, events)) = seasoned() else {
        return;
    };
    let now = tracker.last_at() + 1.0;
    let mut group = criterion.benchmark_group("emotion");
    group.bench_function("apply", |bencher| {
        let mut events = events.iter().cycle();
        bencher.iter_batched_ref(
            || tracker.clone(),
            |tracker| events.next().map(|event| tracker.apply(event, now)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| tracker.snapshot_at(black_box(now)));
    });
    group.bench_function("bounded", |bencher| {
        bencher.iter(|| tracker.bounded(&events[0], black_box(now), 0.05));
    });
    group.bench_function("appraise a reply", |bencher| {
        let appraiser = LexicalAppraiser::default();
        bencher.iter(|| appraiser.appraise(black_box(REPLY), EventSource::Reply));
    });
    group.finish();
}

criterion_group!(benches, emotion);
criterion_main!(benches);
