//! The buckets of the histograms.

use super::names::{
    AROUSAL, DECODE_TIME, INFERENCE_TIME, INTER_TOKEN_LATENCY, ITERATION_TOKENS, LATENCY,
    OTEL_DURATION, OTEL_PER_TOKEN, OTEL_TIME_TO_FIRST_TOKEN, OTEL_TOKENS, PREFILL_TIME, QUEUE_TIME,
    REQUEST_GENERATION_TOKENS, REQUEST_PROMPT_TOKENS, STEERING_COEFFICIENT, STEERING_FRACTION,
    STEERING_RELOAD_TIME, STORE_COMMIT, TIME_TO_FIRST_TOKEN, VALENCE,
};

/// vLLM's buckets of times to the first token.
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// vLLM's buckets of times between tokens, with finer ones below.
const BETWEEN_TOKENS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
    5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// vLLM's buckets of whole requests.
const REQUEST: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const SHORT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// vLLM's buckets of tokens per step.
const ITERATION: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];
/// vLLM's buckets of a request's tokens, which there end with the context.
const TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0, 200_000.0,
];
const PLANE: &[f64] = &[-0.8, -0.6, -0.4, -0.2, -0.05, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0];
const FRACTION: &[f64] = &[
    0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0,
];

const COEFFICIENT: &[f64] = &[
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
];
/// The conventions' buckets of durations.
const OTEL_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// The conventions' buckets of times to the first token.
const OTEL_FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// The conventions' buckets of times per token.
const OTEL_PER_TOKEN_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// The conventions' buckets of tokens.
const OTEL_COUNTS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

const BUCKETS: &[(&str, &[f64])] = &[
    (TIME_TO_FIRST_TOKEN, FIRST_TOKEN),
    (INTER_TOKEN_LATENCY, BETWEEN_TOKENS),
    (QUEUE_TIME, REQUEST),
    (LATENCY, REQUEST),
    (INFERENCE_TIME, REQUEST),
    (PREFILL_TIME, REQUEST),
    (DECODE_TIME, REQUEST),
    (STORE_COMMIT, SHORT),
    (STEERING_RELOAD_TIME, SHORT),
    (ITERATION_TOKENS, ITERATION),
    (REQUEST_PROMPT_TOKENS, TOKENS),
    (REQUEST_GENERATION_TOKENS, TOKENS),
    (VALENCE, PLANE),
    (AROUSAL, PLANE),
    (STEERING_FRACTION, FRACTION),
    (STEERING_COEFFICIENT, COEFFICIENT),
    (OTEL_DURATION, OTEL_SECONDS),
    (OTEL_TIME_TO_FIRST_TOKEN, OTEL_FIRST_TOKEN),
    (OTEL_PER_TOKEN, OTEL_PER_TOKEN_SECONDS),
    (OTEL_TOKENS, OTEL_COUNTS),
];

/// The upper bounds of each histogram's buckets, for a recorder of one's own.
pub fn buckets() -> impl Iterator<Item = (&'static str, &'static [f64])> {
    BUCKETS.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{METRICS, MetricKind, OPENTELEMETRY};

    #[test]
    fn every_histogram_has_buckets_in_order() {
        let known: Vec<_> = buckets().map(|(name, _)| name).collect();
        for metric in METRICS.iter().chain(OPENTELEMETRY) {
            let is_histogram = metric.kind == MetricKind::Histogram;
            assert_eq!(
                known.contains(&metric.name),
                is_histogram,
                "{}",
                metric.name
            );
        }
        for (name, bounds) in buckets() {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
        }
    }

    fn bounds(name: &str) -> &'static [f64] {
        buckets().find(|(known, _)| *known == name).unwrap().1
    }

    /// Names and bounds as vLLM has them, written down once more.
    #[test]
    fn what_vllm_has_is_here_in_its_buckets() {
        let request: &[f64] = &[
            0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
            120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
        ];
        for part in ["queue", "prefill", "decode", "inference"] {
            let name = format!("elpis_request_{part}_time_seconds");
            assert_eq!(bounds(&name), request, "{name}");
        }
        assert_eq!(bounds("elpis_e2e_request_latency_seconds"), request);
        assert_eq!(
            bounds("elpis_time_to_first_token_seconds"),
            [
                0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0
            ]
        );
        assert_eq!(
            bounds("elpis_iteration_tokens_total"),
            [
                1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
                16384.0
            ]
        );
        let between = bounds("elpis_inter_token_latency_seconds");
        for bound in [
            0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 20.0, 40.0, 80.0,
        ] {
            assert!(between.contains(&bound), "{bound}");
        }
        for name in [
            "elpis_request_prompt_tokens",
            "elpis_request_generation_tokens",
        ] {
            // 1, 2 and 5 of every power of ten.
            for (index, bound) in bounds(name).iter().enumerate() {
                let first = [1.0, 2.0, 5.0][index % 3];
                let power: f64 = std::iter::repeat_n(10.0, index / 3).product();
                assert!((bound - first * power).abs() < 1e-6, "{name}: {bound}");
            }
        }
        let known: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        for name in [
            "elpis_num_requests_running",
            "elpis_num_requests_waiting",
            "elpis_kv_cache_usage_perc",
            "elpis_prefix_cache_queries_total",
            "elpis_prefix_cache_hits_total",
            "elpis_prompt_tokens_total",
            "elpis_generation_tokens_total",
        ] {
            assert!(known.contains(&name), "{name}");
        }
    }
}
