//! The buckets of the histograms.

/// vLLM's buckets of times to the first token.
pub(super) const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// vLLM's buckets of times between tokens, with finer ones below.
pub(super) const BETWEEN_TOKENS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
    5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// vLLM's buckets of whole requests.
pub(super) const REQUEST: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
pub(super) const SHORT: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// vLLM's buckets of tokens per step.
pub(super) const ITERATION: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];
/// vLLM's buckets of a request's tokens, which there end with the context.
pub(super) const TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0, 200_000.0,
];
pub(super) const PLANE: &[f64] = &[-0.8, -0.6, -0.4, -0.2, -0.05, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0];
pub(super) const DEVIATIONS: &[f64] = &[
    -4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0,
];
pub(super) const FRACTION: &[f64] = &[
    0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0,
];

pub(super) const COEFFICIENT: &[f64] = &[
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
];
/// OpenTelemetry's buckets of durations.
pub(super) const OTEL_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// OpenTelemetry's buckets of times to the first token.
pub(super) const OTEL_FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// OpenTelemetry's buckets of times per token.
pub(super) const OTEL_PER_TOKEN_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// OpenTelemetry's buckets of tokens.
pub(super) const OTEL_COUNTS: &[f64] = &[
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

#[cfg(test)]
mod tests {
    use crate::telemetry::{METRICS, MetricKind, OPENTELEMETRY, buckets};

    #[test]
    fn every_histogram_has_buckets_in_order() {
        for metric in METRICS.iter().chain(OPENTELEMETRY) {
            let is_histogram = metric.kind == MetricKind::Histogram;
            assert_eq!(!metric.buckets.is_empty(), is_histogram, "{}", metric.name);
        }
        for (name, bounds) in buckets() {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
        }
    }

    fn bounds(name: &str) -> &'static [f64] {
        buckets().find(|(known, _)| *known == name).unwrap().1
    }

    /// The names and bounds of vLLM, repeated here for comparison.
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
