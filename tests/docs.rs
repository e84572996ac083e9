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
    let table = elpis::telemetry::reference_markdown();
    let text = format!(
        "# Metrics\n\nThey go to the recorder of the host program (crate `metrics`). With the feature `prometheus` \
         and the setting `metrics.listen`, Prometheus reads them at `/metrics`, for as long as the process lives; \
         several runtimes of one process share it. Names have vLLM's suffixes and buckets where vLLM has such a \
         metric; times are in seconds.\n\n{}\n",
        table.trim_end()
    );
    check("docs/metrics.md", &text);
}
