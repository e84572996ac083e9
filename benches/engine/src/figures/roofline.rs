//! Compares decoding with the memory bandwidth.

use std::cell::Cell;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use elpis::Coefficients;

use crate::engine::{Engine, rate};
use crate::measure::{Outcome, Run};
use crate::stats::median;

/// This only applies to a processor's memory.
pub const NAME: &str = "roofline";

const CONTEXT: u32 = 2048;

/// Number of bytes read to measure the bandwidth, far more than any cache holds.
const READ_BYTES: usize = 1 << 30;

/// The fraction of the bandwidth that one session's decoding reaches, and that of bare llama.cpp.
pub fn run(run: &Run) -> Result<Outcome> {
    let engine = Engine::start(run, CONTEXT, 1)?;
    let mut bare = engine.bare(run)?;
    let tokens = run.spec.tokens;
    let read = if run.smoke { 1 << 24 } else { READ_BYTES };
    let memory = vec![1_u64; read / size_of::<u64>()];
    let bytes = run.spec.bytes_per_token() as f64;
    let (mut shares, mut reference, mut bandwidths) = (Vec::new(), Vec::new(), Vec::new());
    let prompt = Cell::new(0);
    for round in 0..=run.rounds {
        let seed = round as u64;
        let ours = || {
            let asks = engine.asks(1, tokens, seed, |_| Ok(Coefficients::new()))?;
            let traces = engine.generate(asks)?;
            let trace = traces.first().context("no generation")?;
            prompt.set(trace.report.prompt_tokens as usize);
            rate(&traces)
        };
        // Elpis goes first, because its report contains the length of the prompt. Then the sides
        // alternate.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours()?;
            (ours, bare.decode_rate(&[prompt.get()], tokens, seed)?)
        } else {
            let theirs = bare.decode_rate(&[prompt.get()], tokens, seed)?;
            (ours()?, theirs)
        };
        // The best of several measurements counts, because other programs can only reduce it.
        let looks = (0..3).map(|_| bandwidth(&memory, run.threads));
        let bandwidth = looks.reduce(f64::max).context("no measurement")?;
        // The first round warms the caches.
        let Some(round) = round.checked_sub(1) else {
            continue;
        };
        let share = ours * bytes / bandwidth;
        run.tell(round, &format!("{share:.3} of {:.1} GB/s", bandwidth / 1e9));
        shares.push(share);
        reference.push(theirs * bytes / bandwidth);
        bandwidths.push(bandwidth / 1e9);
    }
    Ok(Outcome::median(shares)
        .with("reference_share", median(&reference))
        .with("gigabytes_per_second", median(&bandwidths))
        .with("bytes_per_token", bytes))
}

/// The bandwidth of `threads` threads that read, in bytes per second.
fn bandwidth(memory: &[u64], threads: usize) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for part in memory.chunks(memory.len().div_ceil(threads)) {
            scope.spawn(move || {
                // Separate sums, so that no addition waits for another.
                let mut sums = [0_u64; 16];
                for values in part.chunks_exact(sums.len()) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = sum.wrapping_add(*value);
                    }
                }
                black_box(sums);
            });
        }
    });
    size_of_val(memory) as f64 / start.elapsed().as_secs_f64()
}
