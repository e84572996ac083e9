//! The sampler against a naive one, and the shape of what it draws.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]

mod limits;
mod penalties;

use elpis_inference::{MAX_REPETITION_WINDOW, Sampler, SamplingParams, greedy};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

fn random_stream(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(b"elpis sampling stream v1");
    ChaCha8Rng::from_seed(key)
}

fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn plain() -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        ..SamplingParams::greedy()
    }
}

/// Logits of a made-up vocabulary: a few likely tokens over a wide floor.
fn logits(size: usize, seed: u64, spread: f32) -> Vec<f32> {
    let mut rng = random_stream(seed ^ 0xABCD);
    let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| unit(rng)).sum::<f64>() - 6.0;
    (0..size)
        .map(|_| normal(&mut rng) as f32 * spread)
        .collect()
}

/// Everything by a full sort in f64. Returns the survivors with their probabilities, in token
/// order, and whether a limit fell too near to a token to be sure of it.
fn naive(logits: &[f32], params: &SamplingParams, window: &[u32]) -> (Vec<(u32, f64)>, bool) {
    let mut near = false;
    let mut all: Vec<(u32, f64)> = logits
        .iter()
        .enumerate()
        .map(|(token, &logit)| {
            let penalty = params.repetition_penalty;
            let count = window.iter().filter(|&&seen| seen == token as u32).count();
            let logit = match (count > 0, logit > 0.0) {
                (true, true) => logit / penalty,
                (true, false) => logit * penalty,
                (false, _) => logit,
            };
            let present = if count > 0 {
                params.presence_penalty
            } else {
                0.0
            };
            let frequent = count as f32 * params.frequency_penalty;
            (token as u32, f64::from(logit - (frequent + present)))
        })
        .filter(|(_, logit)| logit.is_finite())
        .collect();
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("no NaN").then(a.0.cmp(&b.0)));
    let max = all[0].1;
    if params.top_k > 0 {
        all.truncate(params.top_k as usize);
    }
    if params.top_p < 1.0 {
        let total: f64 = all.iter().map(|(_, logit)| (logit - max).exp()).sum();
        let mut sum = 0.0;
        let mut keep = all.len();
        for (index, (_, logit)) in all.iter().enumerate() {
            sum += (logit - max).exp() / total;
            near |= (sum - f64::from(params.top_p)).abs() < 1e-5;
            if sum >= f64::from(params.top_p) {
                keep = index + 1;
                break;
            }
        }
        all.truncate(keep);
    }
    if params.min_p > 0.0 {
        let min_p = f64::from(params.min_p);
        near |= all
            .iter()
            .any(|(_, logit)| ((logit - max).exp() / min_p - 1.0).abs() < 1e-5);
        all.retain(|(_, logit)| (logit - max).exp() >= min_p);
    }
    let weight = |logit: f64| ((logit - max) / f64::from(params.temperature)).exp();
    let total: f64 = all.iter().map(|&(_, logit)| weight(logit)).sum();
    let mut all: Vec<_> = all
        .iter()
        .map(|&(token, logit)| (token, weight(logit) / total))
        .collect();
    all.sort_by_key(|&(token, _)| token);
    (all, near)
}

fn walk(survivors: &[(u32, f64)], random: f64) -> (u32, bool) {
    let mut sum = 0.0;
    for &(token, probability) in survivors {
        sum += probability;
        if sum > random {
            let edge = (sum - random).min(random - (sum - probability));
            return (token, edge < 1e-5);
        }
    }
    (survivors[survivors.len() - 1].0, true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_naive_sampler(
        size in prop_oneof![1_usize..40, 900..1200_usize, Just(5000_usize)],
        source in any::<u64>(),
        spread in prop_oneof![Just(0.0_f32), 0.1_f32..8.0],
        coarse in any::<bool>(),
        temperature in prop_oneof![Just(1.0_f32), 0.05_f32..2.0],
        top_k in prop_oneof![Just(0_u32), 1_u32..60],
        top_p in prop_oneof![Just(1.0_f32), 0.01_f32..1.0],
        min_p in prop_oneof![Just(0.0_f32), 0.001_f32..0.9],
        repetition_penalty in prop_oneof![Just(1.0_f32), 0.5_f32..2.0],
        presence_penalty in prop_oneof![Just(0.0_f32), -2.0_f32..2.0],
        frequency_penalty in prop_oneof![Just(0.0_f32), -2.0_f32..2.0],
        history in proptest::collection::vec(any::<u32>(), 0..100),
        seed in any::<u64>(),
    ) {
        let mut logits = logits(size, source, spread);
        if coarse {
            for logit in &mut logits { *logit = logit.round(); }
        }
        for token in (3..size).step_by(7) {
            logits[token] = f32::NEG_INFINITY;
        }
        let params = SamplingParams {
            temperature, top_k, top_p, min_p, repetition_penalty, presence_penalty,
            frequency_penalty, seed, ..SamplingParams::default()
        };
        let history: Vec<u32> = history.iter().map(|token| token % size as u32).collect();
        let window = &history[history.len().saturating_sub(64)..];
        let mut sampler = Sampler::new(params, size).expect("valid");
        for &token in &history {
            sampler.accept(token).expect("in range");
        }
        let (survivors, near_limit) = naive(&logits, &params, window);
        let mut rng = random_stream(seed);
        for _ in 0..4 {
            let got = sampler.sample(&logits).expect("a token");
            let (expected, near_edge) = walk(&survivors, unit(&mut rng));
            if !near_limit && !near_edge {
                prop_assert_eq!(got, expected);
            }
            if !near_limit {
                prop_assert!(survivors.iter().any(|&(token, _)| token == got));
            }
        }
    }

    #[test]
    fn penalties_of_one_and_zero_change_no_token(
        source in any::<u64>(),
        history in proptest::collection::vec(0_u32..300, 0..200),
        window in 0_u32..=MAX_REPETITION_WINDOW,
        negative in any::<bool>(),
        temperature in prop_oneof![Just(0.0_f32), 0.05_f32..2.0],
        seed in any::<u64>(),
    ) {
        let logits = logits(300, source, 2.0);
        let off = if negative { -0.0 } else { 0.0 };
        let params = SamplingParams {
            temperature, seed, repetition_penalty: 1.0, presence_penalty: off,
            frequency_penalty: off, repetition_window: window, ..SamplingParams::default()
        };
        let mut empty = Sampler::new(params, 300).expect("valid");
        let mut filled = empty.clone();
        for &token in &history {
            filled.accept(token).expect("in range");
        }
        let switched_off = SamplingParams {
            repetition_penalty: 1.3, presence_penalty: 1.0, frequency_penalty: 0.5,
            repetition_window: 0, ..params
        };
        let mut windowless = filled.clone();
        windowless.set_params(switched_off).expect("valid");
        for _ in 0..20 {
            let expected = empty.sample(&logits);
            prop_assert_eq!(&filled.sample(&logits), &expected);
            prop_assert_eq!(&windowless.sample(&logits), &expected);
        }
    }

    #[test]
    fn truncation_keeps_the_most_likely_token(
        source in any::<u64>(),
        top_k in prop_oneof![Just(0_u32), 1_u32..60],
        top_p in prop_oneof![Just(1.0_f32), 0.01_f32..1.0],
        min_p in prop_oneof![Just(0.99_f32), 0.001_f32..0.99],
        temperature in 0.05_f32..2.0,
        seed in any::<u64>(),
    ) {
        let mut logits = logits(200, source, 2.0);
        let params = SamplingParams { temperature, top_k, top_p, min_p, seed, ..plain() };
        let mut sampler = Sampler::new(params, 200).expect("valid");
        let best = greedy(&logits).expect("a token") as usize;
        for _ in 0..20 {
            let token = sampler.sample(&logits).expect("a token") as usize;
            let share = f64::from(logits[token] - logits[best]).exp();
            prop_assert!(share >= f64::from(min_p) * (1.0 - 1e-5), "{} of {}", share, min_p);
        }
        // With no other token near it, it is the only one left.
        logits[best] += 10.0;
        for _ in 0..20 {
            prop_assert_eq!(sampler.sample(&logits).expect("a token") as usize, best);
        }
    }

    #[test]
    fn a_mask_equals_logits_without_the_masked_tokens(
        source in any::<u64>(),
        words in proptest::collection::vec(prop_oneof![Just(0_u32), Just(u32::MAX), any::<u32>()], 4),
        temperature in prop_oneof![Just(0.0_f32), Just(0.7_f32)],
        top_p in prop_oneof![Just(1.0_f32), Just(0.8_f32)],
    ) {
        let logits = logits(100, source, 3.0);
        let allowed = |token: usize| words[token / 32] >> (token % 32) & 1 == 1;
        let cut: Vec<f32> = logits.iter().enumerate()
            .map(|(token, &logit)| if allowed(token) { logit } else { f32::NEG_INFINITY }).collect();
        let params = SamplingParams { temperature, top_p, ..plain() };
        let mut masked = Sampler::new(params, 100).expect("valid");
        let mut bare = masked.clone();
        prop_assert_eq!(masked.sample_masked(&logits, &words), bare.sample(&cut));
    }
}

/// Pearson's statistic for draws from `params` over ten tokens.
fn chi_square(params: SamplingParams, logits: &[f32]) -> (f64, usize) {
    const DRAWS: usize = 100_000;
    let (survivors, _) = naive(logits, &params, &[]);
    let mut sampler = Sampler::new(params, logits.len()).expect("valid");
    let mut counts = vec![0_usize; logits.len()];
    for _ in 0..DRAWS {
        counts[sampler.sample(logits).expect("a token") as usize] += 1;
    }
    let expected: usize = survivors
        .iter()
        .map(|&(token, _)| counts[token as usize])
        .sum();
    assert_eq!(expected, DRAWS, "only survivors are drawn");
    let statistic = survivors.iter().map(|&(token, probability)| {
        let expected = probability * DRAWS as f64;
        (counts[token as usize] as f64 - expected).powi(2) / expected
    });
    (statistic.sum(), survivors.len() - 1)
}

#[test]
fn draws_follow_the_distribution() {
    let logits: Vec<f32> = (0..10)
        .map(|token| (token as f32 * 0.7).sin() * 1.5)
        .collect();
    // The 99.9 % quantiles of the chi-square distribution for 1 to 9 degrees of freedom.
    let quantile = [
        10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88,
    ];
    for params in [
        SamplingParams { seed: 1, ..plain() },
        SamplingParams {
            temperature: 0.5,
            seed: 2,
            ..plain()
        },
        SamplingParams {
            temperature: 2.0,
            seed: 3,
            ..plain()
        },
        SamplingParams {
            top_k: 4,
            seed: 4,
            ..plain()
        },
        SamplingParams {
            top_p: 0.8,
            seed: 5,
            ..plain()
        },
        SamplingParams {
            min_p: 0.3,
            temperature: 1.5,
            seed: 6,
            ..plain()
        },
    ] {
        let (statistic, freedom) = chi_square(params, &logits);
        assert!(
            statistic < quantile[freedom - 1],
            "{params:?}: {statistic} on {freedom}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    let logits = logits(1000, 9, 2.0);
    let params = SamplingParams {
        seed: 42,
        ..plain()
    };
    let mut sampler = Sampler::new(params, 1000).expect("valid");
    let draw = |sampler: &mut Sampler| -> Vec<u32> {
        (0..8)
            .map(|_| sampler.sample(&logits).expect("a token"))
            .collect()
    };
    let first = draw(&mut sampler);
    // Pinned: these change only when the random stream or the arithmetic does.
    assert_eq!(first, PINNED);
    assert_ne!(draw(&mut sampler), first);
    sampler.reset(42);
    assert_eq!(draw(&mut sampler), first);
    sampler.reset(43);
    assert_ne!(draw(&mut sampler), first);
}

const PINNED: [u32; 8] = [622, 564, 829, 992, 992, 831, 204, 154];

#[test]
fn new_parameters_leave_the_random_stream_alone() {
    let logits = logits(500, 3, 2.0);
    let params = SamplingParams { seed: 7, ..plain() };
    let mut steady = Sampler::new(params, 500).expect("valid");
    let mut changed = steady.clone();
    for step in 0..40 {
        let greedy = step % 4 == 3;
        let hot = SamplingParams {
            temperature: 1.7,
            top_k: 1 + step % 30,
            seed: 99,
            ..plain()
        };
        changed
            .set_params(if greedy {
                SamplingParams::greedy()
            } else {
                hot
            })
            .expect("valid");
        let token = changed.sample(&logits).expect("a token");
        if greedy {
            // A greedy token takes no random number.
            assert_eq!(Ok(token), elpis_inference::greedy(&logits));
        } else {
            steady.sample(&logits).expect("a token");
        }
    }
    changed.set_params(params).expect("valid");
    for _ in 0..10 {
        assert_eq!(changed.sample(&logits), steady.sample(&logits));
    }
    let bad = SamplingParams {
        top_p: 0.0,
        ..plain()
    };
    assert!(changed.set_params(bad).is_err());
    assert_eq!(*changed.params(), params);
}

#[test]
fn a_bias_moves_logits_before_everything_else() {
    let greedy = SamplingParams {
        temperature: 0.0,
        ..plain()
    };
    let mut sampler = Sampler::new(greedy, 4).unwrap();
    let logits = [1.0, 2.0, 3.0, f32::NEG_INFINITY];
    assert_eq!(sampler.sample(&logits).unwrap(), 2);
    sampler.set_bias(vec![(2, -100.0), (3, 100.0)]).unwrap();
    // An excluded token stays excluded.
    assert_eq!(sampler.sample(&logits).unwrap(), 1);
    sampler.set_bias(vec![(0, 1.5)]).unwrap();
    assert_eq!(sampler.sample(&logits).unwrap(), 2);
    assert_eq!(sampler.sample_masked(&logits, &[0b0011]).unwrap(), 0);
    for wrong in [(4, 1.0), (0, 100.5), (0, f32::NAN)] {
        assert!(sampler.set_bias(vec![wrong]).is_err(), "{wrong:?}");
    }
    assert_eq!(
        sampler.sample_masked(&logits, &[0b0011]).unwrap(),
        0,
        "the bias is unchanged"
    );
}
