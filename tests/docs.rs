//! Documents that follow from the code.
//!
//! `ELPIS_UPDATE_DOCS=1 cargo test --test docs` writes them anew.

use std::fs;
use std::path::Path;

fn check(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("ELPIS_UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is out of date; ELPIS_UPDATE_DOCS=1 cargo test --test docs writes it anew"
    );
}

#[test]
fn every_setting_is_documented() {
    let table = elpis::settings::reference_markdown();
    let text = format!(
        "# Settings\n\nEach can be set in code, in `elpis.toml`, in `.env` and in the environment, the later over \
         the earlier. `elpis doctor` shows what is in force and where it came from.\n\n{}\n",
        table.trim_end()
    );
    check("docs/settings.md", &text);
}

#[test]
fn every_metric_is_documented() {
    use elpis::telemetry::{METRICS, OPENTELEMETRY, TRACE_TARGET, reference_markdown};
    let text = format!(
        "# Metrics\n\nThey go to the recorder of the host program (crate `metrics`). With the feature `prometheus` \
         and the setting `metrics.listen`, Prometheus reads them at `/metrics`, for as long as the process lives; \
         several runtimes of one process share it, and `process_…` is measured as well. Names have vLLM's suffixes \
         and buckets where vLLM has such a metric; times are in seconds. `deploy/` has a dashboard and alerts.\n\n\
         {}\n## By the names of OpenTelemetry\n\nWith `metrics.opentelemetry` also under the names of its \
         conventions for generative AI; Prometheus shows `.` as `_`.\n\n{}\n## Traces\n\nEach generation is a \
         span of the crate `tracing`, below the caller's: `generation`, with `queue`, `prefill` and `decode` in it \
         (target `{TRACE_TARGET}`, level INFO). Its fields are the session, the state it was generated under, the \
         coefficients, the version of the steering library, tokens and outcome, under OpenTelemetry's names where \
         it has one. A modulation that changes within a generation is an event. Prompts and replies are told only \
         with `metrics.trace_text`. `examples/opentelemetry.rs` exports them.\n",
        reference_markdown(METRICS),
        reference_markdown(OPENTELEMETRY),
    );
    check("docs/metrics.md", &text);
}
